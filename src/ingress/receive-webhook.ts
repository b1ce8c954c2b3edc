import type {
  AcceptResult,
  BodyCheck,
  BorderRequest,
  InvalidRequest,
  VerifiedRequest,
} from '../inbox/index.ts'
import type { Verified } from '../security/index.ts'
import { answerSignedHandshake } from './answer-handshake.ts'
import type { IngressResponse } from './ingress-request.ts'
import { problem } from './problem.ts'
import { type Crossing, receiveBody, turnAway } from './receive-body.ts'
import type { RequestHeaders } from './request-headers.ts'
import { inSpan, verifyRequest } from './verify-request.ts'

/**
 * The way of one webhook request after its route is known, the cheapest refusal first: its body,
 * signature and timestamp, parse, version, schema, accept. Nothing is stored for a request that is
 * not verified.
 */
export const receiveWebhook = (crossing: Crossing): Promise<IngressResponse> =>
  receiveBody(crossing, async (mediaType, raw) => {
    const verified = await verifyRequest(crossing, raw)
    if ('status' in verified) return verified
    const handshake = answerSignedHandshake(crossing, raw)
    if (handshake) return handshake
    return acceptRequest(crossing, borderRequest(crossing, { verified, mediaType, raw }))
  })

/** Checks what a verified request holds, and stores it or refuses it. */
export const acceptRequest = async (
  crossing: Crossing,
  border: BorderRequest,
): Promise<IngressResponse> => {
  const { context } = crossing
  const check = inSpan(crossing, 'validate body', () => context.inbox.check(border.webhook, border))
  if (!check.ok) return refuseContent(crossing, border, check)
  const { data, text, version, key, keyCovered } = check
  const accepted: VerifiedRequest = { ...border, data, text, version, key, keyCovered }
  const result = await inAsyncSpan(crossing, 'store', () => context.inbox.accept(accepted))
  return answer(crossing, result)
}

export function borderRequest(
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
export const LABEL: RegExp = /^[\w.:~-]{1,128}$/

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
