import { answerHandshake, findHandshake, requestFacts } from '../security/index.ts'
import type { IngressResponse } from './ingress-request.ts'
import { type Crossing, turnAway } from './receive-body.ts'
import { requestLine, verifyRequest } from './verify-request.ts'

const NO_BODY = new Uint8Array(0)

/**
 * Answers a sender that sets up its subscription with a request other than a POST. Nothing of it is
 * stored. What is no handshake of the scheme is told which methods there are.
 */
export const answerSubscription = async (crossing: Crossing): Promise<IngressResponse> => {
  const input = handshakeInput(crossing, NO_BODY)
  const handshake = findHandshake(input)
  if (!handshake) return notAllowed(crossing)
  if (handshake.signed) {
    const verified = await verifyRequest(crossing, NO_BODY)
    if ('status' in verified) return verified
  }
  return replyTo(crossing, answerHandshake(handshake, input))
}

/** The answer to a verified POST that is a handshake; undefined where it is a message. */
export const answerSignedHandshake = (
  crossing: Crossing,
  body: Uint8Array,
): IngressResponse | undefined => {
  const { verify } = crossing.desk.webhook
  if (verify.kind === 'unsigned' || !verify.handshakes) return undefined
  const input = handshakeInput(crossing, body)
  const handshake = findHandshake(input)
  return handshake && replyTo(crossing, answerHandshake(handshake, input))
}

const handshakeInput = (crossing: Crossing, body: Uint8Array) => {
  const { context, desk, headers } = crossing
  const request = requestLine(crossing)
  return {
    scheme: desk.webhook.verify,
    keys: context.keysOf(desk.webhook),
    facts: requestFacts({ headers: headers.lookup, body, request }),
  }
}

/** Whatever is wrong with a handshake, the answer is that to a wrong signature (F110). */
function replyTo(crossing: Crossing, reply: ReturnType<typeof answerHandshake>): IngressResponse {
  if (!reply) {
    const detail = 'mismatch' as const
    return turnAway(crossing, 'JUNCTURA_SIGNATURE_REFUSED', { reason: 'signature', detail })
  }
  const { context, desk, request } = crossing
  context.kernel.log.info(
    { webhook: desk.webhook.name, remoteAddress: request.remoteAddress },
    'a sender set up its subscription',
  )
  return { ...reply, close: hasBody(crossing) && request.method !== 'POST' }
}

const hasBody = ({ headers }: Crossing): boolean =>
  headers.lookup('transfer-encoding') !== undefined ||
  (headers.lookup('content-length') ?? '0') !== '0'

function notAllowed(crossing: Crossing): IngressResponse {
  const allow = 'POST, OPTIONS'
  if (crossing.request.method === 'OPTIONS') {
    return { status: 204, headers: { allow }, body: '', close: true }
  }
  const headers = { allow }
  return turnAway(crossing, 'JUNCTURA_METHOD_NOT_ALLOWED', { reason: 'method', headers })
}
