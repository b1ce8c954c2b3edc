import type { ErrorCode } from '../../src/kernel/index.ts'

/** What a page adds to an error's own words: causes, what was stored, where to look next. */
export const ERROR_NOTES: Readonly<Partial<Record<ErrorCode, string>>> = {
  JUNCTURA_REFUSED_START: `
Nothing was opened and nothing was written. Every finding is listed at once. The rule in brackets at the end
of a finding is explained in [what is refused at start](declarations.md#what-is-refused-at-start).
\`junctura doctor FILE\` shows the findings without starting.`,
  JUNCTURA_CONTRACT_TEST: `
Thrown by a case of \`contractTests\`, and shown as \`FAIL\` by \`junctura test\`. The message says what was tried and what
came instead of what is declared: [run contract tests](../how-to/run-contract-tests.md).`,
  JUNCTURA_INVARIANT: `
The unit of work at fault was stopped; others go on. Keep the message and the log lines around it.`,
  JUNCTURA_RECORD_TOO_LARGE: `
Thrown before anything is written. At the border the raw body and the event are stored in one record; when both
together are too large, the raw body alone is stored and the message becomes a dead letter of its transform.`,
  JUNCTURA_RECORD_DAMAGED: `
A damaged record is never skipped: the consumer that meets it stops (mode \`stopped\`), raises an alert, and the
others go on. See [the file is damaged](../how-to/run-in-production.md#a-damaged-file).`,
  JUNCTURA_STORE_FULL: `
The border answers 503 with \`Retry-After\`, so partners send again. Nothing is half accepted. Reading, the management
API and the page still work. Readiness is off until a commit succeeds. No restart is needed.
See [a full disk](../how-to/run-in-production.md#a-full-disk).`,
  JUNCTURA_STORE_FAILED: `
The commit was rolled back. Handlers whose commit was refused this way are offered the store again after half a
second; it does not count as a failed attempt.`,
  JUNCTURA_STORE_UNKNOWN: `
The disk reported an error while a commit was being made durable (for example a failed fsync), or another process
took a PostgreSQL store over. What memory believes and what the disk holds may differ, so this process refuses every
further write: the border answers 503, readiness is off, and \`junctura start\` drains and ends with exit code 70. Let
the supervisor start it again. Senders whose answer was lost send again and are answered as duplicates if
their message was stored.`,
  JUNCTURA_STORE_BUSY: `
Back-pressure, not damage: more than the maximum of units or bytes wait for a commit
([limits](limits.md): \`acceptQueueMax\`, \`acceptQueueBytesMax\`). If it lasts, the disk is too slow for the load.`,
  JUNCTURA_STORE_LOCKED: `
The lock belongs to the operating system and ends with the process, also after \`kill -9\`: there is never a stale
lock file to delete. Do not delete \`junctura.lock\` while a process runs.`,
  JUNCTURA_STORE_DAMAGED: `
The file is left exactly as it was found. Copy the data directory away before anything else. Then see
[a damaged file](../how-to/run-in-production.md#a-damaged-file).`,
  JUNCTURA_STORE_FORMAT: `
A newer release has written this store. It was not changed. Going back to an older release needs a backup from
before the upgrade.`,
  JUNCTURA_STORE_ROLLED_BACK: `
The file \`junctura.mark\` beside the database remembers how far it had come, and the database is behind that: a backup
was put back, another volume is mounted, the disk lost writes, or the file is gone. Nothing was changed. See
[restore](../how-to/run-in-production.md#restore).`,
  JUNCTURA_MIGRATION_CHANGED: `
The identity of a migration is its \`name\` (or the first table it creates), its content is its checksum. Also a
change of white space is a change.`,
  JUNCTURA_TX_LEFT: `
The callback of \`ctx.tx\` runs inside the group commit: while it awaits a timer or a network call, every other message
would wait with it. Nothing of the attempt was written. The message becomes a dead letter at once, without retry:
no later attempt can mend the code. See [effects once](../how-to/write-a-handler.md).`,
  JUNCTURA_TX_TWICE: `
The message becomes a dead letter at once, without retry. If the first call of \`ctx.tx\` had committed, the message is
done and this error changes nothing.`,
  JUNCTURA_TX_OVER: `
The usual cause is a missing \`await\` before \`db.run\`. A statement that was started before the callback ended still
belongs to the transaction; one that starts later is refused with this error.`,
  JUNCTURA_ATTEMPT_OVER: `
Seen by a handler that goes on after its deadline, after its end, or after a stop. Whatever it tries then is
refused, so a late attempt has no effect beside the next one. The attempt itself counts as failed (outcome
\`timeout\` in the metrics) when the deadline ended it.`,
  JUNCTURA_ATTEMPT_CRASHED: `
The message ran alone, with nothing beside it, and the process died each time. It was taken out so that the rest can
go on. Retry it only after the handler was mended.
See [crash recovery](../explanation/crash-recovery.md).`,
  JUNCTURA_DATA_UNREADABLE: `
The dead letter comes at once, without retry. After the mend: \`junctura dlq retry --cause CAUSE\`.`,
  JUNCTURA_EMIT_INVALID: `
From a transform: the raw message is stored, its sender has its 202, and it waits as a dead letter of stage
\`transform\`. From a handler: the dead letter comes at once, without retry. From \`publish\`: nothing was published.`,
  JUNCTURA_SECRET_MISSING: `
A start without its secret is refused; there is no way to run with verification silently off. A development value
stands in only for a variable that is unset, and never when \`NODE_ENV\` is \`production\`. An empty variable is an
error everywhere.`,
  JUNCTURA_SIGNATURE_REFUSED: `
Every reason gets this same answer, so that nobody can learn from it. Nothing is stored. Usual causes, most frequent first: the secret of another environment; a
proxy that changed the body; a clock that is more than the tolerance off; a wrong scheme. Operators see which one it was: \`detail\` in \`junctura tail\`,
in the log and in the metric [junctura_ingress_refused](metrics.md#junctura_ingress_refused); see [when requests are refused](../how-to/verify-a-signature.md#when-requests-are-refused). The metric
[junctura_ingress_signature_skew_seconds](metrics.md#junctura_ingress_signature_skew_seconds) shows clocks that drift.`,
  JUNCTURA_BODY_SYNTAX: `
The request was verified, so its bytes are kept as *invalid*. JSON is read strictly: a key given twice, a byte order
mark, broken UTF-8, a number beyond a double and nesting beyond the limit are refused.`,
  JUNCTURA_VERSION_UNKNOWN: `
The bytes were kept as *invalid* and no key was claimed. After the contract has the version:
[re-admit invalid requests](../how-to/re-admit-invalid-requests.md).`,
  JUNCTURA_BODY_INVALID: `
The member \`errors\` of the answer names every field at fault by JSON Pointer, up to the limit. The bytes were kept as
*invalid*, and \`keptAs\` is their id. No key was claimed: the sender may correct the body and use the same key.`,
  JUNCTURA_KEY_CONFLICT: `
The answer has \`conflictsWith\`, the id of the first message, and \`keptAs\`, the id under which the bytes were kept
as *invalid*; the owner is alerted. Re-admitting it takes it as a message of its own. The rule is
\`idempotency.mismatch\` of the webhook.`,
  JUNCTURA_KEY_IN_FLIGHT: `
Only webhooks with \`inFlight: 'conflict'\` answer this. The default waits for the first request instead.`,
  JUNCTURA_OVERLOADED: `
Memory stays bounded: requests in flight, bytes in flight and commits that wait each have a maximum. It recovers by
itself. The wait in \`Retry-After\` is spread by chance.`,
  JUNCTURA_INTERNAL: `
The reason is in the log of the process, at level \`error\`. Nothing of the request was stored.`,
  JUNCTURA_TRANSFORM_TIMEOUT: `
The raw message is stored, its sender has its 202, and it waits as a dead letter of stage \`transform\`. Code that
loops for ever after an \`await\` of its own is outside this guard: it holds the process.`,
  JUNCTURA_OPERATION_REFUSED: `
The refusal is in the journal too (\`junctura operations\`). Frequent ones: the consumer declares \`replay: 'never'\`; the
token of a guarded replay is missing; the dead letter is running already or was dealt with.`,
  JUNCTURA_UNREACHABLE: `
The command talks to the management listener, which listens on \`127.0.0.1:7071\` unless it was started otherwise.`,
  JUNCTURA_MANAGEMENT_OPEN: `
Set a token of at least 8 characters in the variable that \`--token-env\` names (default \`JUNCTURA_TOKEN\`).`,
  JUNCTURA_HOST_REFUSED: `
Without a token only requests that name a loopback address are answered. This stops a web page that has bound its
own name to 127.0.0.1.`,
}
