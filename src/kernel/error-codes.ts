import { BORDER_ERROR_CODES } from './border-error-codes.ts'
import { OUTBOX_ERROR_CODES } from './outbox-error-codes.ts'
import { SAGA_ERROR_CODES } from './saga-error-codes.ts'
import { TOPIC_ERROR_CODES } from './topic-error-codes.ts'

const MOST_ERROR_CODES = {
  // Declaring and starting: the caller's bug, thrown at once.
  JUNCTURA_DECLARATION: {
    status: 500,
    retryable: false,
    message: '{field}: {problem}',
    advice: 'Correct the field as the detail `fix` says.',
  },
  JUNCTURA_REFUSED_START: {
    status: 500,
    retryable: false,
    message: 'The integration is refused at start, {count} finding(s):\n{findings}',
    advice: 'Each finding names the declaration, its line and what to write there.',
  },
  JUNCTURA_USAGE: {
    status: 400,
    retryable: false,
    message: '{problem}',
    advice: 'See `junctura help` for the allowed values.',
  },
  JUNCTURA_PEER_MISSING: {
    status: 500,
    retryable: false,
    message: 'The package `{package}` is needed for {feature} and is not installed.',
    advice: 'Install it beside junctura with npm.',
  },
  JUNCTURA_NODE_VERSION: {
    status: 500,
    retryable: false,
    message: 'Junctura needs Node 22.18 or later; this is {version}.',
    advice: 'Install a newer Node, or bring one into the project: npm i junctura node@24',
  },
  JUNCTURA_INVARIANT: {
    status: 500,
    retryable: false,
    message: 'An internal invariant does not hold: {invariant}',
    advice: 'This is a defect in Junctura; please report it with this message.',
  },
  JUNCTURA_CLOSED: {
    status: 503,
    retryable: true,
    message: '{what} is closed.',
    advice: 'Start it again before using it.',
  },
  JUNCTURA_POLICY_RANGE: {
    status: 500,
    retryable: false,
    message: '{field} is {value}; allowed is {allowed}. {fix}',
    advice: 'Write a value inside the allowed range; the detail `fix` says which.',
  },
  // The transport.
  JUNCTURA_TRANSPORT_UNAVAILABLE: {
    status: 503,
    retryable: true,
    message: 'The broker {engine} did not do it: {problem}',
    advice:
      'What is in the store is published later; what a failed publish to a broker that is the record held may be there.',
  },
  JUNCTURA_TRANSPORT_REFUSED: {
    status: 500,
    retryable: false,
    message: 'The broker {engine} refuses {resource}: {problem}',
    advice: 'The detail `fix` says what to change; `junctura doctor` looks at the live broker.',
  },
  JUNCTURA_TRANSPORT_BUSY: {
    status: 503,
    retryable: true,
    message: 'The broker {engine} is slow: {waiting} messages wait to be confirmed.',
    advice: 'Publish again a little later; what was refused is not there.',
  },
  JUNCTURA_RECORD_REFUSED: {
    status: 500,
    retryable: false,
    message: 'The transport {engine} cannot be the record of {contracts}: {problem}',
    advice: 'The detail `fix` says what to change.',
  },
  JUNCTURA_RECORD_CHANGED: {
    status: 500,
    retryable: false,
    message:
      'The consumers of channel {channel} have progress of another record, or of other partitions.',
    advice: 'The detail `fix` says how to go on; nothing was changed.',
  },
  // The log and the store.
  JUNCTURA_RECORD_TOO_LARGE: {
    status: 413,
    retryable: false,
    message: 'A record of {type} would take {size} bytes; the maximum is {maximum}.',
    advice: 'Send less in one message, or keep the large part elsewhere and send its address.',
  },
  JUNCTURA_RECORD_DAMAGED: {
    status: 500,
    retryable: false,
    message: 'The record at position {position} is damaged: {problem}.',
    advice: 'Run `junctura doctor --data DIR`; it names the damaged file and how to repair it.',
  },
  JUNCTURA_RECORD_VERSION: {
    status: 500,
    retryable: false,
    message: 'The record at position {position} has format {version}; this release knows {known}.',
    advice: 'Start a release that is at least as new as the one that wrote the store.',
  },
  JUNCTURA_STORE_FULL: {
    status: 503,
    retryable: true,
    message: 'The store has no room: {problem}',
    advice: 'Free disk space; accepting resumes by itself.',
  },
  JUNCTURA_STORE_FAILED: {
    status: 503,
    retryable: true,
    message: 'The store did not take a commit: {problem}',
    advice: 'Look at the cause; nothing of the commit was written.',
  },
  JUNCTURA_STORE_UNKNOWN: {
    status: 503,
    retryable: true,
    message:
      'A commit may or may not be on disk, so this process no longer trusts its store: {problem}',
    advice: 'Restart the process; it reads the store again and goes on from what is there.',
  },
  JUNCTURA_STORE_BUSY: {
    status: 503,
    retryable: true,
    message: 'The store is busy: {waiting} units wait for a commit.',
    advice: 'Send again after the time in Retry-After.',
  },
  JUNCTURA_STORE_LOCKED: {
    status: 500,
    retryable: false,
    message: '{directory} is in use by process {pid}.',
    advice: 'Stop that process, or start this one with another data directory or schema.',
  },
  JUNCTURA_STORE_FENCED: {
    status: 503,
    retryable: false,
    message:
      'Another process has taken over the store {store}; nothing of this commit was written.',
    advice: 'Let the supervisor start it again; this process was silent for longer than its lease.',
  },
  JUNCTURA_STORE_DAMAGED: {
    status: 500,
    retryable: false,
    message: 'The file {file} is damaged: {problem}',
    advice: 'Run `junctura doctor --data DIR` for what is readable and `--repair` to salvage it.',
  },
  JUNCTURA_STORE_FORMAT: {
    status: 500,
    retryable: false,
    message: 'The store {file} has format {format}; this release reads {known}.',
    advice: 'Start a release that is at least as new as the one that wrote the store.',
  },
  JUNCTURA_STORE_ROLLED_BACK: {
    status: 500,
    retryable: false,
    message: 'The store {file} has gone back in time: {problem}.',
    advice:
      'Put the newer file back. If it is lost, read what a restore means, then start once with --accept-rollback.',
  },
  JUNCTURA_MIGRATION_CHANGED: {
    status: 500,
    retryable: false,
    message: 'The migration {name} was applied with other statements.',
    advice: 'Leave an applied migration as it was and add a new one with the change.',
  },
  JUNCTURA_MIGRATION_FAILED: {
    status: 500,
    retryable: false,
    message: 'The migration {name} failed: {problem}',
    advice: 'Correct its statements; nothing of it was applied.',
  },
  JUNCTURA_MIGRATION_DIALECT: {
    status: 500,
    retryable: false,
    message: 'The migration {name} has no statements for {dialect}.',
    advice: 'Add them: sql({ sqlite, postgres }).',
  },
  // Inside a handler.
  JUNCTURA_TX_LEFT: {
    status: 500,
    retryable: false,
    message:
      'The callback of ctx.tx awaited something other than db; its statements were rolled back.',
    advice: 'Do calls and timers before ctx.tx, and await only db inside it.',
  },
  JUNCTURA_TX_TWICE: {
    status: 500,
    retryable: false,
    message: 'ctx.tx was called twice in one attempt of {consumer}.',
    advice: 'ctx.tx completes the message: put all statements into one callback.',
  },
  JUNCTURA_TX_OVER: {
    status: 500,
    retryable: false,
    message: 'db was used after the callback of ctx.tx had ended; the statement was not run.',
    advice: 'Await every call of db inside the callback.',
  },
  JUNCTURA_TX_STATEMENT: {
    status: 500,
    retryable: false,
    message: 'A statement of ctx.tx was refused: {problem}',
    advice:
      'ctx.tx begins and ends the transaction; write one statement per call, with $1, $2 for values.',
  },
  JUNCTURA_ATTEMPT_OVER: {
    status: 500,
    retryable: true,
    message: 'The attempt of {consumer} is over: {reason}.',
    advice: 'Stop work when ctx.signal aborts, or give the consumer a longer timeout.',
  },
  // Schemas.
  JUNCTURA_UPCAST_FAILED: {
    status: 500,
    retryable: false,
    message:
      '{contract}: data of version {from} cannot be lifted to {to}; at version {step}: {problem}',
    advice:
      'Correct the upcaster of that version; it must be pure and return valid data of the next.',
  },
  JUNCTURA_EXAMPLE_FAILED: {
    status: 400,
    retryable: false,
    message: 'No example can be made from the schema: {problem}',
    advice: 'Give the body yourself: --data FILE.',
  },
  // Secrets and signing.
  JUNCTURA_SECRET_MISSING: {
    status: 500,
    retryable: false,
    message: 'The secret in {source} is missing: {problem}',
    advice: 'Set it to the secret that the sender gave you, then start again.',
  },
  JUNCTURA_SECRET_WEAK: {
    status: 500,
    retryable: false,
    message: 'A secret in {source} has {bytes} bytes; {scheme} asks for at least {bytesMin}.',
    advice: 'Use a longer secret; `openssl rand -base64 32` makes one.',
  },
  JUNCTURA_SECRET_INVALID: {
    status: 500,
    retryable: false,
    message: 'A secret in {source} cannot be used for {scheme}: {problem}',
    advice: 'Copy the secret again as the sender shows it, with its prefix.',
  },
  JUNCTURA_ATTEMPT_CRASHED: {
    status: 500,
    retryable: false,
    message: 'The process died {crashes} times while this message alone was being handled.',
    advice:
      'Look for what kills the process (memory, native code, process.exit) and mend the handler.',
  },
  JUNCTURA_DATA_UNREADABLE: {
    status: 500,
    retryable: false,
    message: 'The data of {type} version {version} cannot be read as version {asked}: {problem}',
    advice: 'Correct the upcaster of the contract, then retry the dead letter.',
  },
  JUNCTURA_VERSION_NEWER: {
    status: 500,
    retryable: true,
    message: 'The data of {type} version {version} is newer than this process knows, {known}',
    advice: 'Start code that declares the version; what waits for it runs by itself then.',
  },
  JUNCTURA_EMIT_INVALID: {
    status: 500,
    retryable: false,
    message: 'A message of {type} was not emitted: {problem}',
    advice: 'Emit data that fits the latest version of the contract.',
  },
  // Pushing to receivers.
  JUNCTURA_PUSH_FAILED: {
    status: 502,
    retryable: true,
    message: 'The receiver {host} did not take the message: {problem}',
    advice: 'It is sent again as the consumer’s retry policy says; look at the receiver.',
  },
  JUNCTURA_PUSH_REFUSED: {
    status: 502,
    retryable: false,
    message: 'The receiver {host} refuses the message: {problem}',
    advice: 'Mend the receiver or the message, then retry the dead letter.',
  },
  // Transforms.
  JUNCTURA_TRANSFORM_TIMEOUT: {
    status: 500,
    retryable: false,
    message: 'The transform did not return within {timeoutMs} ms.',
    advice: 'A transform is pure and quick: no calls, no waiting, no endless loop.',
  },
  // Running and driving it.
  JUNCTURA_OPERATION_REFUSED: {
    status: 409,
    retryable: false,
    message: 'The operation is refused: {problem}.',
    advice: 'Do what the detail `fix` says.',
  },
  JUNCTURA_ROLE_ELSEWHERE: {
    status: 421,
    retryable: true,
    message: 'This process does not run the consumers, so it cannot do {command}. {where}.',
    advice: 'Use `--management-url` of the process that runs them, or start one as worker.',
  },
  JUNCTURA_PARTITIONS_CHANGED: {
    status: 500,
    retryable: false,
    message:
      'The consumer {consumer} has {partitions} partitions now, and those it had are more than {records} messages apart: {positions}.',
    advice: 'Do what the detail `fix` says.',
  },
  JUNCTURA_TOO_MANY_READERS: {
    status: 503,
    retryable: true,
    message: 'The event stream has its maximum of {maximum} readers.',
    advice: 'Close another reader, or come back later.',
  },
  JUNCTURA_NOT_FOUND: {
    status: 404,
    retryable: false,
    message: 'There is no {what} {id}.',
    advice: 'List what there is; ids are case sensitive.',
  },
  // The command line.
  JUNCTURA_UNREACHABLE: {
    status: 503,
    retryable: true,
    message: 'Nothing answers at {url}: {problem}',
    advice:
      'Start the integration (`junctura start FILE`), or say where it is: --management-url URL, --url URL.',
  },
  JUNCTURA_API_REFUSED: {
    status: 400,
    retryable: false,
    message: '{problem}',
    advice: 'The answer says what is wrong; `junctura help COMMAND` lists the allowed values.',
  },
  JUNCTURA_ENTRY_UNUSABLE: {
    status: 500,
    retryable: false,
    message: 'The file {file} gives no integration: {problem}',
    advice: "Export one: export default integration('name', { parts: [ … ] })",
  },
  // The management listener.
  JUNCTURA_MANAGEMENT_OPEN: {
    status: 500,
    retryable: false,
    message: 'The management listener would be open to everyone who reaches {host}.',
    advice: 'Give it a token, or bind it to 127.0.0.1.',
  },
  JUNCTURA_TOKEN_REQUIRED: {
    status: 401,
    retryable: false,
    message: 'The management API asks for its token.',
    advice: 'Send `Authorization: Bearer TOKEN` with the token that it was started with.',
  },
  JUNCTURA_HOST_REFUSED: {
    status: 421,
    retryable: false,
    message: 'The Host header names no loopback address.',
    advice: 'Use http://127.0.0.1:PORT, or start the management listener with a token.',
  },
  JUNCTURA_ORIGIN_REFUSED: {
    status: 403,
    retryable: false,
    message: 'The request comes from a page of another origin.',
    advice: 'Call the management API from its own page or from a program, not from another site.',
  },
  JUNCTURA_PARAMETER_INVALID: {
    status: 400,
    retryable: false,
    message: '{parameter}: {problem}',
    advice: 'Send what the member `allowed` names.',
  },
  JUNCTURA_RESOURCE_UNKNOWN: {
    status: 404,
    retryable: false,
    message: 'There is no {kind} with this id.',
    advice: 'List them for the ids there are; retention removes what is old.',
  },
  // Tests of an integration.
  JUNCTURA_CONTRACT_TEST: {
    status: 500,
    retryable: false,
    message: '{problem}',
    advice: 'Change what the sentence names: the handler, the declaration, or the example data.',
  },
} as const

/**
 * The only list of errors. A code is permanent once released; message and advice may improve.
 * `status` is the HTTP answer, `retryable` whether the same thing may succeed later unchanged; in
 * `message`, `{name}` is the detail of that name. Every code is in docs/reference/errors.md.
 */
export const ERROR_CODES: typeof MOST_ERROR_CODES &
  typeof BORDER_ERROR_CODES &
  typeof OUTBOX_ERROR_CODES &
  typeof TOPIC_ERROR_CODES &
  typeof SAGA_ERROR_CODES = {
  ...MOST_ERROR_CODES,
  ...BORDER_ERROR_CODES,
  ...OUTBOX_ERROR_CODES,
  ...TOPIC_ERROR_CODES,
  ...SAGA_ERROR_CODES,
}

export type ErrorCode = keyof typeof ERROR_CODES

export interface ErrorCodeEntry {
  readonly status: number
  readonly retryable: boolean
  readonly message: string
  readonly advice: string
}
