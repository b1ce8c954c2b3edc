import type { Webhook } from '../../contract/index.ts'
import type { IngressResponse } from '../../ingress/index.ts'
import { bodyOfBytes } from '../../ingress/index.ts'
import { type Random, randomInteger } from '../../kernel/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import { signRequest, type SigningKey } from '../../security/index.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import type { Faults } from './fates.ts'

/** One message that a partner wants to deliver. */
export interface SimulatedMessage {
  readonly webhook: Webhook
  readonly id: string
  readonly body: Uint8Array
}

/** What a partner knows of its message in the end. */
export interface Delivery {
  readonly message: SimulatedMessage
  /** Of the answer that was accepted; undefined when the partner was turned down for good. */
  readonly acceptedId: string | undefined
  readonly status: number
  readonly tries: number
}

export interface SenderOptions {
  readonly clock: VirtualClock
  readonly random: Random
  readonly runtime: () => Runtime | undefined
  readonly keysOf: (webhook: Webhook) => readonly SigningKey[]
  readonly faults: () => Faults
  readonly onFault: (name: keyof Faults) => void
}

/** A partner that repeats a message until it is answered for good, as webhook senders do. */
export const deliver = async (
  message: SimulatedMessage,
  options: SenderOptions,
): Promise<Delivery> => {
  const { clock, random, faults, onFault } = options
  const happens = (name: keyof Faults): boolean => {
    const chance = faults()[name]
    if (chance <= 0 || random.next() >= chance) return false
    onFault(name)
    return true
  }
  for (let tries = 1; ; tries++) {
    let answer: IngressResponse | undefined
    if (!happens('requestLost')) {
      answer = await attempt(message, options)
      if (happens('requestTwice')) answer = (await attempt(message, options)) ?? answer
      if (happens('answerLost')) answer = undefined
    }
    const final = answer && answer.status < 500 && answer.status !== 429
    if (answer && final) {
      const accepted = answer.status === 200 || answer.status === 202
      const acceptedId = accepted ? readId(answer.body) : undefined
      return { message, acceptedId, status: answer.status, tries }
    }
    const waitMs = randomInteger(random, 100, 2_000) * Math.min(tries, 10)
    await new Promise<void>((resolve) => clock.setTimer(waitMs, resolve))
  }
}

/** The request's answer, or undefined when the process died or nobody answered in time. */
async function attempt(
  message: SimulatedMessage,
  options: SenderOptions,
): Promise<IngressResponse | undefined> {
  const { clock, keysOf } = options
  const runtime = options.runtime()
  if (!runtime) return undefined
  const headers = signRequest({
    scheme: message.webhook.verify,
    keys: keysOf(message.webhook),
    messageId: message.id,
    timestampMs: clock.now(),
    body: message.body,
  })
  const rawHeaders = ['content-type', 'application/json', ...Object.entries(headers).flat()]
  const answer = runtime.ingress.handle({
    method: 'POST',
    target: message.webhook.path,
    rawHeaders,
    remoteAddress: '127.0.0.1',
    body: bodyOfBytes(message.body),
  })
  const timeout = new Promise<undefined>((resolve) => {
    clock.setTimer(15_000, () => resolve(undefined))
  })
  return Promise.race([answer, timeout])
}

function readId(body: string): string {
  const { id }: { id?: unknown } = JSON.parse(body)
  return typeof id === 'string' ? id : ''
}
