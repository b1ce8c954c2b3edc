import type { MessageStatus } from '../inbox/index.ts'
import { verifySignature } from '../security/index.ts'
import { refuse } from './ingress-context.ts'
import type { IngressResponse } from './ingress-request.ts'
import type { Crossing } from './receive-body.ts'
import { challengeOf, refusalOf, requestLine } from './verify-request.ts'

const EMPTY = new Uint8Array(0)

/**
 * Tells a sender what became of a message, by the id it was answered or by its own idempotency
 * key. The sender proves itself as it does for a message, with a signature over an empty body; a
 * message of another webhook does not exist for it.
 */
export const answerStatus = async (crossing: Crossing, id: string): Promise<IngressResponse> => {
  const { context, desk, request, headers } = crossing
  const place = { desk, remoteAddress: request.remoteAddress }
  const verified = verifySignature({
    scheme: desk.webhook.verify,
    keys: context.keysOf(desk.webhook),
    headers: headers.lookup,
    body: EMPTY,
    request: requestLine(crossing),
    nowMs: context.kernel.clock.now(),
  })
  if (!verified.ok) {
    return refuse(context, place, {
      code: 'JUNCTURA_SIGNATURE_REFUSED',
      reason: 'signature',
      ...refusalOf(verified),
      ...challengeOf(desk.webhook.verify),
    })
  }
  const status = await context.inbox.statusOf(desk.messagesOf, id)
  if (!status) return refuse(context, place, { code: 'JUNCTURA_MESSAGE_UNKNOWN', reason: 'route' })
  const outcome = await outcomeOf(crossing, status)
  const last = status.lastRepeatAtMs
  const document = {
    id: status.id,
    key: status.key,
    receivedAt: new Date(status.receivedAtMs).toISOString(),
    repeats: status.repeats,
    ...(last !== undefined && { lastRepeatAt: new Date(last).toISOString() }),
    outcome,
    ...(status.duplicateOf !== undefined && { duplicateOf: status.duplicateOf }),
  }
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify(document),
    close: false,
  }
}

async function outcomeOf({ context }: Crossing, status: MessageStatus): Promise<string> {
  if (status.border === 'duplicate-fact') return 'duplicate'
  if (status.border === 'no-event') return 'delivered'
  const idle = status.border === 'events' ? 'stored' : 'held'
  return (await context.outcomeOf?.(status)) ?? idle
}
