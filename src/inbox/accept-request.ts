import { hash } from 'node:crypto'
import { keyGroup, type Receipt, type Webhook } from '../contract/index.ts'
import { isJuncturaError, JuncturaError, messageOf } from '../kernel/index.ts'
import type { Claim } from '../store/index.ts'
import { commitMessage, type MessageCommit } from './commit-message.ts'
import type { InboxContext } from './inbox-context.ts'
import { type Made, makeEvents } from './make-events.ts'
import { keyOfBody, salted } from './message-keys.ts'
import type { MessageOrigin } from './message-record.ts'
import { readRecordAt } from './read-record-at.ts'
import { type FirstMessage, judgeRepeat } from './repeat-verdict.ts'
import {
  alertTransformFailure,
  deadLetterWrite,
  describeTransformFailure,
  transformDeadLetter,
} from './transform-dead-letter.ts'
import type { AcceptResult, VerifiedRequest } from './verified-request.ts'
import { keepHeaders, type WebhookDesk } from './webhook-desk.ts'

/** A request with everything about it worked out once. */
interface Intake {
  readonly request: VerifiedRequest
  readonly desk: WebhookDesk
  readonly key: string
  readonly bodySha256: string
  readonly id: string
}

/** Salts beyond the first are for two keys with one fingerprint; three in a row do not happen. */
const SALTS_MAX = 4

const IN_FLIGHT: AcceptResult = { kind: 'in-flight' }

/**
 * Accepts verified requests. In one durable commit: the key is claimed, the raw bytes and the
 * receipt are stored, the events are appended. A repeat costs one look at the dedupe record.
 *
 * Repeats of a key whose first request is still on its way wait for it and share its outcome, or
 * are sent away, as the webhook says. Across processes the claim in the commit decides.
 */
export const createAcceptor = (
  context: InboxContext,
): ((request: VerifiedRequest) => Promise<AcceptResult>) => {
  const leaders = new Map<
    string,
    { readonly intake: Intake; readonly work: Promise<AcceptResult> }
  >()
  return async (request) => {
    const intake = openIntake(context, request)
    const lane = `${keyGroup(request.webhook.name)}\n${intake.key}`
    const leader = leaders.get(lane)
    if (leader) {
      if (request.webhook.idempotency.inFlight === 'conflict') return IN_FLIGHT
      const isSame =
        leader.intake.bodySha256 === intake.bodySha256 &&
        leader.intake.request.webhook.name === request.webhook.name
      const outcome = await leader.work.catch((error: unknown) => {
        // The same bytes would meet the same fate; other bytes may not.
        if (isSame) throw error
      })
      if (isSame && outcome?.kind === 'accepted') {
        const { id, position } = outcome
        const { receivedAtMs } = leader.intake.request
        const first = { id, position, receivedAtMs }
        return acceptRepeat(context, intake, first)
      }
      return acceptAlone(context, intake)
    }
    const work = acceptAlone(context, intake)
    leaders.set(lane, { intake, work })
    try {
      return await work
    } finally {
      leaders.delete(lane)
    }
  }
}

function openIntake(context: InboxContext, request: VerifiedRequest): Intake {
  const bodySha256 = hash('sha256', request.raw, 'hex')
  return {
    request,
    desk: context.deskOf(request.webhook),
    key: request.key ?? keyOfBody(bodySha256),
    bodySha256,
    id: request.readmission?.messageId ?? context.kernel.ids.next('msg'),
  }
}

async function acceptAlone(context: InboxContext, intake: Intake): Promise<AcceptResult> {
  const { desk, bodySha256, request } = intake
  let key = intake.key
  let made: Made | undefined
  for (let salt = 0; salt < SALTS_MAX;) {
    const known = await context.store.claimedPosition(salted(desk.scope, salt), key)
    let taken = known === undefined ? undefined : { claim: 0, position: known }
    if (!taken) {
      made ??= await makeEvents(context, request, intake.id)
      const result = await commitIntake(context, intake, { key, salt, made })
      if (result.kind !== 'taken') return result
      taken = result
    }
    const record = await readRecordAt(context.store, taken.position)
    const claimed = taken.claim === 0 ? ({ by: 'key', key } as const) : ({ by: 'bytes' } as const)
    const verdict = judgeRepeat(record, { request, bodySha256, claimed, position: taken.position })
    if (verdict.kind === 'collision') salt++
    else if (verdict.kind === 'gone') return acceptRepeat(context, intake, undefined)
    else if (verdict.kind === 'same') return acceptRepeat(context, intake, verdict.first)
    else if (ruleOf(request) !== 'accept-as-new') return refuseOther(context, intake, verdict.first)
    else {
      // The content is part of the key then, so that a repeat of this one is found again.
      key = `${intake.key}#${keyOfBody(bodySha256)}`
      salt = 0
    }
  }
  const invariant = 'a key has a fingerprint of its own under one of its salts'
  throw new JuncturaError('JUNCTURA_INVARIANT', { details: { invariant } })
}

const ruleOf = (request: VerifiedRequest): Webhook['idempotency']['mismatch'] =>
  request.readmission?.asNew ? 'accept-as-new' : request.webhook.idempotency.mismatch

type Committed =
  | AcceptResult
  | { readonly kind: 'taken'; readonly claim: number; readonly position: number }

async function commitIntake(
  context: InboxContext,
  intake: Intake,
  step: { readonly key: string; readonly salt: number; readonly made: Made },
): Promise<Committed> {
  const { made } = step
  if (!made.ok) return commitFailure(context, intake, { ...step, error: made.error })
  try {
    return await commitEvents(context, intake, { ...step, events: made.events })
  } catch (error) {
    // The event is too large for a record beside the raw bytes; they alone may fit.
    const isTooLarge = isJuncturaError(error, 'JUNCTURA_RECORD_TOO_LARGE')
    if (!isTooLarge || made.events.length === 0) throw error
    return commitFailure(context, intake, { ...step, error })
  }
}

interface ClaimStep {
  readonly key: string
  readonly salt: number
}

async function commitEvents(
  context: InboxContext,
  intake: Intake,
  step: ClaimStep & { readonly events: MessageCommit['events'] },
): Promise<Committed> {
  const { request, desk } = intake
  const result = await commitMessage(context, {
    ...commitParts(context, intake, step),
    events: step.events,
  })
  if (result.kind === 'taken') return result
  const { key } = step
  const atMs = context.kernel.clock.now()
  const webhook = request.webhook.name
  if (result.events.length === 0 && result.duplicateOf !== undefined) {
    desk.repeated.add()
    const id = result.duplicateOf
    context.tell({ kind: 'duplicate-fact', webhook, id, key, atMs })
    return { kind: 'duplicate', id }
  }
  desk.accepted.add()
  const events = result.events.length
  context.tell({ kind: 'accepted', webhook, id: intake.id, key, events, atMs })
  return { kind: 'accepted', id: intake.id, events, position: result.positions[0] ?? 0 }
}

/** The raw message is stored and its dead letter with it; the sender has done its part. */
async function commitFailure(
  context: InboxContext,
  intake: Intake,
  step: ClaimStep & { readonly error: unknown },
): Promise<Committed> {
  const { request, desk } = intake
  const parts = commitParts(context, intake, step, messageOf(step.error))
  const words = describeTransformFailure(context, request, step.error)
  const { origin } = parts
  const row = transformDeadLetter(context, request, { origin, words, key: step.key })
  const alert = alertTransformFailure(context, request, row)
  const result = await commitMessage(context, {
    ...parts,
    rows: [...(parts.rows ?? []), ...alert],
    rowsAt: ([position = 0]) => [deadLetterWrite({ ...row, position })],
  })
  if (result.kind === 'taken') return result
  desk.accepted.add()
  desk.failedTransforms.add()
  const webhook = request.webhook.name
  const atMs = row.diedAtMs
  context.tell({ kind: 'transform-failed', webhook, id: intake.id, deadLetter: row.id, atMs })
  return { kind: 'accepted', id: intake.id, events: 0, position: result.positions[0] ?? 0 }
}

function commitParts(
  context: InboxContext,
  intake: Intake,
  step: ClaimStep,
  transformError?: string,
): MessageCommit {
  const { request, desk, bodySha256 } = intake
  const { webhook } = request
  const nowMs = context.kernel.clock.now()
  const origin: MessageOrigin = {
    id: intake.id,
    tenant: context.tenant,
    source: webhook.path,
    receivedAtMs: request.receivedAtMs,
    appendedAtMs: nowMs,
    correlationId: request.correlationId,
    causationId: request.causationId,
    idempotencyKey: step.key,
    trace: request.trace,
  }
  const receipt: Receipt = {
    webhook: webhook.name,
    receivedAtMs: request.receivedAtMs,
    scheme: request.scheme,
    ...(request.keyIndex !== undefined && { keyIndex: request.keyIndex }),
    ...(request.signedAtMs !== undefined && { signedAtMs: request.signedAtMs }),
    mediaType: request.mediaType,
    version: request.version,
    headers: keepHeaders(desk, request.header),
    bodySha256,
    ...(transformError !== undefined && {
      transformError: context.maskText(webhook.accepts, transformError, request.data),
    }),
    ...(request.readmission && { readmittedFrom: request.readmission.invalidId }),
  }
  return {
    origin,
    events: [],
    border: { receipt, raw: request.raw },
    receiptLog: { channel: desk.channel, type: webhook.accepts.name },
    claims: claimsOf(intake, step, nowMs),
    ...(request.readmission && { rows: request.readmission.rows }),
  }
}

function claimsOf(
  { request, desk, bodySha256 }: Intake,
  { key, salt }: ClaimStep,
  nowMs: number,
): readonly Omit<Claim, 'append'>[] {
  const expiresAtMs = nowMs + heldForMs(request.webhook)
  const own = { scope: salted(desk.scope, salt), key, expiresAtMs }
  if (request.keyCovered) return [own]
  return [own, { scope: salted(desk.bodyScope, salt), key: bodySha256, expiresAtMs }]
}

/** A key outlives the tolerance of its timestamp, or a late replay would be new (F113). */
function heldForMs({ verify, idempotency }: Webhook): number {
  if (verify.kind !== 'signed') return idempotency.retentionMs
  return Math.max(idempotency.retentionMs, verify.tolerance.pastMs + verify.tolerance.futureMs)
}

function acceptRepeat(
  context: InboxContext,
  intake: Intake,
  first: FirstMessage | undefined,
): AcceptResult {
  const { desk, key } = intake
  const webhook = desk.webhook.name
  desk.repeated.add()
  if (first) context.repeats.note({ webhook, first, isDifferent: false })
  context.tell({ kind: 'duplicate', webhook, id: first?.id, key, atMs: context.kernel.clock.now() })
  return { kind: 'duplicate', id: first?.id }
}

/** The key was used with other content, and the webhook's rule is not to take it as new. */
async function refuseOther(
  context: InboxContext,
  intake: Intake,
  first: FirstMessage,
): Promise<AcceptResult> {
  const { desk, key, request } = intake
  const webhook = desk.webhook.name
  const { id } = first
  desk.mismatched.add()
  if (ruleOf(request) === 'first-wins') {
    context.repeats.note({ webhook, first, isDifferent: true })
    context.tell({ kind: 'duplicate', webhook, id, key, atMs: context.kernel.clock.now() })
    return { kind: 'duplicate', id }
  }
  if (request.readmission) return { kind: 'conflict', id, invalidId: request.readmission.invalidId }
  const kept = await context.shelf.keep({
    request,
    reason: 'conflict',
    version: request.version,
    errors: [{ pointer: '', message: 'The idempotency key was used with other content.' }],
    conflictsWith: id,
  })
  const invalidId = kept.id
  context.tell({ kind: 'conflict', webhook, id, key, invalidId, atMs: context.kernel.clock.now() })
  return { kind: 'conflict', id, invalidId }
}
