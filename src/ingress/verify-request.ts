import type { SignatureScheme } from '../contract/index.ts'
import {
  type Refused,
  requestFacts,
  type RequestLine,
  type SigningKey,
  type Verified,
  verifySignature,
} from '../security/index.ts'
import type { RefusalDetail } from './ingress-context.ts'
import type { IngressResponse } from './ingress-request.ts'
import type { ProblemOptions } from './problem.ts'
import { type Crossing, turnAway } from './receive-body.ts'

/** Who sent it, or the answer to somebody who does not prove it. */
export const verifyRequest = async (
  crossing: Crossing,
  raw: Uint8Array,
): Promise<Verified | IngressResponse> => {
  const { desk } = crossing
  const keys = await signerKeys(crossing, raw)
  const verified = inSpan(crossing, 'verify signature', () => verify(crossing, raw, keys))
  if (!verified.ok) {
    return turnAway(crossing, 'JUNCTURA_SIGNATURE_REFUSED', {
      reason: 'signature',
      ...refusalOf(verified),
      ...challengeOf(desk.webhook.verify),
      close: false,
    })
  }
  if (verified.skewMs !== undefined) desk.skew.set(verified.skewMs / 1_000)
  return verified
}

/** @see RFC 9110 section 11.6.1: an answer of 401 says which scheme would do. */
export const challengeOf = ({ kind }: SignatureScheme): Pick<ProblemOptions, 'headers'> =>
  kind === 'bearer' ? { headers: { 'www-authenticate': 'Bearer' } } : {}

/** Why a request is not believed, for operators: its answer is the same for every reason (F110). */
export const refusalOf = (
  refused: Refused,
): { readonly detail: RefusalDetail; readonly skewMs?: number } => ({
  detail: refused.reason,
  ...(refused.skewMs !== undefined && { skewMs: refused.skewMs }),
})

const verify = (crossing: Crossing, body: Uint8Array, keys: readonly SigningKey[]) =>
  verifySignature({
    scheme: crossing.desk.webhook.verify,
    keys,
    headers: crossing.headers.lookup,
    body,
    request: requestLine(crossing),
    nowMs: crossing.context.kernel.clock.now(),
  })

/** What a sender may have signed of where it sends. */
export const requestLine = ({ request, desk }: Crossing): RequestLine => ({
  method: request.method,
  target: request.target,
  path: desk.webhook.path,
})

/** The secrets, and the key of a certificate where the scheme has the request name it. */
async function signerKeys(crossing: Crossing, body: Uint8Array): Promise<readonly SigningKey[]> {
  const { context, desk, headers } = crossing
  const scheme = desk.webhook.verify
  const keys = context.keysOf(desk.webhook)
  if (scheme.kind !== 'signed' || !scheme.certificate) return keys
  const request = requestLine(crossing)
  const facts = requestFacts({ headers: headers.lookup, body, request })
  const fetched = await context.certificates?.keyFor(scheme, facts)
  return fetched ? [...keys, fetched] : keys
}

/** One span per step of the border, where somebody records spans. */
export function inSpan<T>({ context, trace }: Crossing, name: string, step: () => T): T {
  if (!context.tracer?.isRecording) return step()
  const span = context.tracer.startSpan(name, { parent: trace })
  try {
    return span.run(step)
  } finally {
    span.end()
  }
}
