import type { ErrorCode } from '../kernel/index.ts'
import type { SpanContext } from '../observe/index.ts'
import {
  CONTENT_ENCODINGS,
  type ContentEncoding,
  decompressBody,
  readContentEncoding,
} from './decompress-body.ts'
import {
  type IngressContext,
  type IngressDesk,
  type RefusalOptions,
  refuse,
  retryAfterS,
} from './ingress-context.ts'
import type { BodyOutcome, IngressRequest, IngressResponse } from './ingress-request.ts'
import { readMediaType } from './media-type.ts'
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

/** What is done with a body that was read. */
export type TakeBody = (mediaType: string, raw: Uint8Array) => Promise<IngressResponse>

/**
 * Reads the body of a request whose route is known and hands it on, the cheapest refusal first:
 * media type and encoding, declared size, body, decompression.
 *
 * A sender signs its message; a compression is put around it for the way, often by somebody else.
 * So the signature is checked over the body after its content encoding was undone, under every
 * scheme, and those bytes are what is kept. The caps on what a body may grow to hold before that.
 */
export const receiveBody = async (crossing: Crossing, take: TakeBody): Promise<IngressResponse> => {
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
    if (encoding === 'identity') return await take(media.mediaType, read.bytes)
    const inflated = await inflate(crossing, read.bytes, encoding)
    if ('status' in inflated) return inflated
    held += inflated.bytes.length
    return await take(media.mediaType, inflated.bytes)
  } finally {
    context.budget.give(held)
  }
}

export const turnAway = (
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
