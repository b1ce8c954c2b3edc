import type {
  AcceptResult,
  BodyCheck,
  BorderRequest,
  InvalidRequest,
  VerifiedRequest,
} from '../inbox/index.ts'
import type { ErrorCode } from '../kernel/index.ts'
import type { SpanContext } from '../observe/index.ts'
import { type Refused, type Verified, verifySignature } from '../security/index.ts'
import {
  CONTENT_ENCODINGS,
  type ContentEncoding,
  decompressBody,
  readContentEncoding,
} from './decompress-body.ts'
import {
  type IngressContext,
  type IngressDesk,
  type RefusalDetail,
  type RefusalOptions,
  refuse,
  retryAfterS,
} from './ingress-context.ts'
import type { BodyOutcome, IngressRequest, IngressResponse } from './ingress-request.ts'
import { readMediaType } from './media-type.ts'
import { problem } from './problem.ts'
import type { RequestHeaders } from './request-headers.ts'

/** A request on its way through the border. */
export interface Crossing {
  readonly context: IngressContext
  readonly desk: IngressDesk
  readonly request: IngressRequest
  readonly headers: RequestHeaders
  readonly receivedAtMs: number
  readonly trace: SpanContext | undefined
}

/**
 * The way of one webhook request after its route is known, the cheapest refusal first: media type
 * and encoding, declared size, body, decompression, signature and timestamp, parse, version,
 * schema, accept. Nothing is stored for a request that is not verified.
 *
 * A sender signs its message; a compression is put around it for the way, often by somebody else.
 * So the signature is checked over the body after its content encoding was undone, under every
 * scheme, and those bytes are what is kept. The caps on what a body may grow to hold before that.
 */
export const receiveWebhook = async (crossing: Crossing): Promise<IngressResponse> => {
  const { context, desk, request, headers } = crossing
  const { webhook } = desk
  const media = readMediaType(headers.lookup('content-type'), webhook.contentTypes)
  if (media.kind === 'refused') {
    const details = { taken: webhook.contentTypes.join(', ') }
    return turnAway(crossing, 'JUNCTURA_CONTENT_TYPE', { reason: 'content-type', details })
  }
  const encoding = readContentEncoding(headers.lookup('content-encoding'))
  if (encoding === undefined) {
    const details = { taken: CONTENT_ENCODINGS.join(', ') }
    return turnAway(crossing, 'JUNCTURA_CONTENT_ENCODING', { reason: 'encoding', details })
  }
  if (Number(headers.single('content-length') ?? 0) > desk.bodyBytesMax) return tooLarge(crossing)
  const read = await request.body.read(desk.bodyBytesMax, context.budget)
  if (read.kind !== 'bytes') return refuseBody(crossing, read)
  let held = read.bytes.length
  try {
    if (encoding === 'identity') return await verifyAndAccept(crossing, media.mediaType, read.bytes)
    const inflated = await inflate(crossing, read.bytes, encoding)
    if ('status' in inflated) return inflated
    held += inflated.bytes.length
    return await verifyAndAccept(crossing, media.mediaType, inflated.bytes)
  } finally {
    context.budget.give(held)
  }
}

const turnAway = (
  { context, desk, request, headers }: Crossing,
  code: ErrorCode,
  options: RefusalOptions,
): IngressResponse => {
  const place = { desk, remoteAddress: request.remoteAddress }
  // The body is unread: unless there is none, the next request on the connection starts nowhere.
  const hasBody = headers.lookup('content-length') !== '0'
  return refuse(context, place, { close: hasBody, ...options, code })
}

const tooLarge = (crossing: Crossing): IngressResponse => {
  const details = { maximum: crossing.desk.bodyBytesMax }
  return turnAway(crossing, 'JUNCTURA_BODY_TOO_LARGE', { reason: 'size', details })
}

function refuseBody(
  crossing: Crossing,
  outcome: Exclude<BodyOutcome, { kind: 'bytes' }>,
): IngressResponse {
  if (outcome.kind === 'too-large') return tooLarge(crossing)
  if (outcome.kind === 'no-room') return overloaded(crossing)
  const code = outcome.kind === 'too-slow' ? 'JUNCTURA_REQUEST_SLOW' : 'JUNCTURA_BODY_INCOMPLETE'
  return turnAway(crossing, code, { reason: 'body', detail: outcome.kind })
}

const overloaded = (crossing: Crossing): IngressResponse =>
  turnAway(crossing, 'JUNCTURA_OVERLOADED', {
    reason: 'overload',
    retryAfterS: retryAfterS(crossing.context, 1),
  })

async function inflate(
  crossing: Crossing,
  bytes: Uint8Array,
  encoding: ContentEncoding,
): Promise<{ readonly bytes: Uint8Array } | IngressResponse> {
  const inflated = await decompressBody(bytes, encoding, crossing.desk.bodyBytesMax)
  if (inflated.kind === 'too-large') return tooLarge(crossing)
  if (inflated.kind === 'damaged') {
    return turnAway(crossing, 'JUNCTURA_BODY_UNREADABLE', { reason: 'encoding', close: false })
  }
  return crossing.context.budget.take(inflated.bytes.length) ? inflated : overloaded(crossing)
}

async function verifyAndAccept(
  crossing: Crossing,
  mediaType: string,
  raw: Uint8Array,
): Promise<IngressResponse> {
  const { context, desk } = crossing
  const verified = inSpan(crossing, 'verify signature', () => verify(crossing, raw))
  if (!verified.ok) {
    return turnAway(crossing, 'JUNCTURA_SIGNATURE_REFUSED', {
      reason: 'signature',
      ...refusalOf(verified),
      close: false,
    })
  }
  if (verified.skewMs !== undefined) desk.skew.set(verified.skewMs / 1_000)
  const border = borderRequest(crossing, { verified, mediaType, raw })
  const check = inSpan(crossing, 'validate body', () => context.inbox.check(desk.webhook, border))
  if (!check.ok) return refuseContent(crossing, border, check)
  const { data, text, version, key, keyCovered } = check
  const accepted: VerifiedRequest = { ...border, data, text, version, key, keyCovered }
  const result = await inAsyncSpan(crossing, 'store', () => context.inbox.accept(accepted))
  return answer(crossing, result)
}

/** Why a request is not believed, for operators: its answer is the same for every reason (F110). */
export const refusalOf = (
  refused: Refused,
): { readonly detail: RefusalDetail; readonly skewMs?: number } => ({
  detail: refused.reason,
  ...(refused.skewMs !== undefined && { skewMs: refused.skewMs }),
})

const verify = ({ context, desk, headers }: Crossing, body: Uint8Array) =>
  verifySignature({
    scheme: desk.webhook.verify,
    keys: context.keysOf(desk.webhook),
    headers: headers.lookup,
    body,
    nowMs: context.kernel.clock.now(),
  })

function borderRequest(
  { desk, headers, receivedAtMs, trace }: Crossing,
  parts: { readonly verified: Verified; readonly mediaType: string; readonly raw: Uint8Array },
): BorderRequest {
  const { verified, mediaType, raw } = parts
  const correlationId = readLabel(headers, CORRELATION)
  const causationId = readLabel(headers, CAUSATION)
  return {
    webhook: desk.webhook,
    raw,
    header: headers.lookup,
    mediaType,
    receivedAtMs,
    scheme: verified.scheme,
    ...(verified.keyIndex !== undefined && { keyIndex: verified.keyIndex }),
    ...(verified.timestampMs !== undefined && { signedAtMs: verified.timestampMs }),
    ...(correlationId !== undefined && { correlationId }),
    ...(causationId !== undefined && { causationId }),
    ...(trace && { trace }),
  }
}

const CORRELATION = ['correlation-id', 'x-correlation-id', 'ce-correlationid'] as const
const CAUSATION = ['causation-id', 'x-causation-id', 'ce-causationid'] as const
/** Goes into logs, headers and queries as it is, so it may hold nothing that means something. */
const LABEL = /^[\w.:~-]{1,128}$/

function readLabel(headers: RequestHeaders, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = headers.single(name)
    if (value !== undefined) return LABEL.test(value) ? value : undefined
  }
  return undefined
}

const CONTENT_CODES = {
  syntax: 'JUNCTURA_BODY_SYNTAX',
  version: 'JUNCTURA_VERSION_UNKNOWN',
  schema: 'JUNCTURA_BODY_INVALID',
  key: 'JUNCTURA_KEY_UNUSABLE',
} as const

/** A verified request that is not valid: kept for a later mend, its key free for another try. */
async function refuseContent(
  crossing: Crossing,
  request: BorderRequest,
  check: BodyCheck & { readonly ok: false },
): Promise<IngressResponse> {
  const code = CONTENT_CODES[check.reason]
  const { errors, version } = check
  const options = { details: { problem: check.detail }, errors }
  if (check.reason === 'key') {
    return turnAway(crossing, code, { ...options, reason: 'key', close: false })
  }
  const invalid: InvalidRequest = { request, reason: check.reason, version, errors }
  const kept = await crossing.context.inbox.keepInvalid(invalid)
  return problem(code, {
    ...options,
    ...(kept.id !== undefined && { members: { keptAs: kept.id } }),
  })
}

const JSON_HEADERS = { 'content-type': 'application/json' } as const

/** The statuses of success are those that the scheme's sender expects. */
function answer(crossing: Crossing, result: AcceptResult): IngressResponse {
  const expected = crossing.desk.webhook.verify.answer
  if (result.kind === 'accepted') return success(expected.accepted, result.id, 'accepted')
  if (result.kind === 'duplicate') return success(expected.duplicate, result.id, 'duplicate')
  if (result.kind === 'in-flight') {
    const options = { reason: 'in-flight', close: false, retryAfterS: 1 } as const
    return turnAway(crossing, 'JUNCTURA_KEY_IN_FLIGHT', options)
  }
  const members = {
    ...(result.id !== undefined && { conflictsWith: result.id }),
    ...(result.invalidId !== undefined && { keptAs: result.invalidId }),
  }
  return problem('JUNCTURA_KEY_CONFLICT', { members })
}

const success = (status: number, id: string | undefined, word: string): IngressResponse => ({
  status,
  headers: JSON_HEADERS,
  body: status === 204 ? '' : JSON.stringify({ id: id ?? null, status: word }),
  close: false,
})

/** One span per step of the border, where somebody records spans. */
function inSpan<T>({ context, trace }: Crossing, name: string, step: () => T): T {
  if (!context.tracer?.isRecording) return step()
  const span = context.tracer.startSpan(name, { parent: trace })
  try {
    return span.run(step)
  } finally {
    span.end()
  }
}

async function inAsyncSpan<T>(
  { context, trace }: Crossing,
  name: string,
  step: () => Promise<T>,
): Promise<T> {
  if (!context.tracer?.isRecording) return step()
  const span = context.tracer.startSpan(name, { parent: trace })
  try {
    return await span.run(step)
  } catch (error) {
    span.recordError(error)
    throw error
  } finally {
    span.end()
  }
}
