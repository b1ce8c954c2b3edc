import { sampleEventHeaders, type Webhook } from '../../contract/index.ts'
import { bodyOfBytes, type IngressResponse } from '../../ingress/index.ts'
import { type Random, randomInteger } from '../../kernel/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import { signDelivery, type SigningKey } from '../../security/index.ts'
import type { FaultDice } from './fault-dice.ts'
import { WORLD_START_MS } from './node-clock.ts'
import type { Scheduler } from './scheduler.ts'
import type { SituationBook } from './situations.ts'

/** One message that a partner wants to deliver. */
export interface SimulatedMessage {
  readonly webhook: Webhook
  readonly id: string
  readonly body: Uint8Array
  /** When it is sent first. */
  readonly atMs: number
}

/** What a partner knows of its message in the end. */
export interface Delivery {
  readonly message: SimulatedMessage
  /** The message that it became, as the answers said; undefined when the partner gave up. */
  readonly acceptedId: string | undefined
  /** Every id that an answer named: more than one where the same fact came under another id. */
  readonly ids: readonly string[]
  /** Of the last answer; 0 when none came. */
  readonly status: number
  readonly tries: number
}

export interface SenderOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly dice: FaultDice
  readonly situations: SituationBook
  /** The process that a request reaches now. */
  readonly runtime: () => Runtime | undefined
  readonly keysOf: (webhook: Webhook) => readonly SigningKey[]
  /** The same message with another body, for a partner that mixes up its ids. */
  readonly otherBody: (message: SimulatedMessage) => Uint8Array
  readonly fail: (sentence: string) => void
  readonly trace: (what: string) => void
}

const ANSWER_MS_MAX = 15_000
const STORM = 5
const LATE_MS_MAX = 20_000

/**
 * A partner that repeats a message until it is answered for good or its retries are over, as
 * webhook senders do, and that misbehaves as they do.
 */
export const deliver = (message: SimulatedMessage, options: SenderOptions): Promise<Delivery> =>
  new Sender(message, options).run()

class Sender {
  readonly #message: SimulatedMessage
  readonly #options: SenderOptions
  #underWay = 0
  #tries = 0
  #acceptedId: string | undefined
  /** Ids of messages that the answers named. */
  readonly #ids = new Set<string>()

  constructor(message: SimulatedMessage, options: SenderOptions) {
    this.#message = message
    this.#options = options
  }

  async run(): Promise<Delivery> {
    const { scheduler, random, dice } = this.#options
    const { webhook, atMs } = this.#message
    await scheduler.sleep(atMs)
    const giveUpAtMs = scheduler.nowMs + webhook.retriesForMs
    let status = 0
    let isOver = false
    while (scheduler.nowMs < giveUpAtMs && !isOver) {
      const copies = this.#tries > 0 && dice.happens('retryStorm') ? STORM : 1
      const answers = await Promise.all(Array.from({ length: copies }, () => this.#try()))
      for (const answer of answers) {
        if (!answer) continue
        status = answer.status
        isOver ||= answer.status < 300 || isRefusedForGood(answer)
      }
      if (isOver) break
      await scheduler.sleep(randomInteger(random, 100, 2_000) * Math.min(this.#tries, 10))
    }
    if (this.#ids.size > 0) await this.#misbehave()
    const ids = [...this.#ids]
    const acceptedId = this.#acceptedId ?? ids[0]
    return { message: this.#message, acceptedId, ids, status, tries: this.#tries }
  }

  async #try(): Promise<IngressResponse | undefined> {
    const { dice, situations } = this.#options
    this.#tries += 1
    if (dice.happens('requestLost')) return undefined
    const requests = [this.#request(this.#message.body)]
    if (dice.happens('requestTwice')) requests.push(this.#request(this.#message.body))
    if (this.#underWay > 1) situations.hit('duplicate-in-flight')
    const answers = await Promise.all(requests)
    const answer = answers.find((one) => one !== undefined)
    if (!answer || dice.happens('answerLost')) return undefined
    this.#read(answer)
    return answer
  }

  /** After it was accepted: repeats, and other content under the same id. */
  async #misbehave(): Promise<void> {
    const { dice, scheduler, situations, otherBody } = this.#options
    if (dice.happens('lateRepeat')) {
      await scheduler.sleep(dice.random('lateRepeat').next() * LATE_MS_MAX)
      const answer = await this.#request(this.#message.body)
      if (answer && readAnswer(answer)?.word === 'duplicate') {
        situations.hit('duplicate-after-accept')
      }
      if (answer) this.#read(answer)
    }
    if (dice.happens('otherBody')) {
      const answer = await this.#request(otherBody(this.#message))
      if (answer) this.#readOther(answer)
    }
  }

  /** What an answer to the message itself must say. */
  #read(response: IngressResponse): void {
    const answer = readAnswer(response)
    if (!answer) return
    const { fail } = this.#options
    const { id: own } = this.#message
    const { id, word } = answer
    if (id === undefined) return fail(`${own} was answered '${word}' without the id of a message`)
    this.#ids.add(id)
    if (word !== 'accepted') return
    const isNew = this.#acceptedId === undefined || this.#acceptedId === id
    if (!isNew) fail(`${own} was accepted as ${this.#acceptedId} and again as ${id}`)
    this.#acceptedId = id
  }

  #readOther(response: IngressResponse): void {
    const { situations, fail } = this.#options
    const { webhook, id: own } = this.#message
    if (response.status >= 500) return
    situations.hit('same-id-other-body')
    const answer = readAnswer(response)
    const mayTake = webhook.idempotency.mismatch === 'accept-as-new' || !isKeyedById(webhook)
    if (answer?.word === 'accepted' && !mayTake)
      fail(`${own} was taken again with another body, as ${answer.id ?? 'nothing'}`)
  }

  /** The answer, or undefined when the process died or nobody answered in time. */
  async #request(body: Uint8Array): Promise<IngressResponse | undefined> {
    const { scheduler, keysOf, trace } = this.#options
    const { webhook, id } = this.#message
    const runtime = this.#options.runtime()
    if (!runtime) return undefined
    const signed = signDelivery({
      scheme: webhook.verify,
      keys: keysOf(webhook),
      messageId: id,
      timestampMs: Math.floor(WORLD_START_MS + scheduler.nowMs),
      body,
      request: { method: 'POST', target: webhook.path, path: webhook.path },
    })
    this.#underWay += 1
    const answer = runtime.ingress.handle({
      method: 'POST',
      target: signed.target,
      rawHeaders: [
        'content-type',
        'application/json',
        ...Object.entries({ ...signed.headers, ...eventHeaders(webhook, id) }).flat(),
      ],
      remoteAddress: '127.0.0.1',
      body: bodyOfBytes(signed.body),
    })
    let timer: { cancel(): void } | undefined
    const timeout = new Promise<undefined>((resolve) => {
      timer = scheduler.at(ANSWER_MS_MAX, () => resolve(undefined))
    })
    const first = await Promise.race([answer, timeout])
    timer?.cancel()
    this.#underWay -= 1
    trace(`answer ${id} ${first?.status ?? 'none'}`)
    return first
  }
}

/**
 * What no repeat mends. A 401 may be the receiver's clock, and webhook senders try again; so they
 * do when they are told when.
 */
const isRefusedForGood = ({ status, headers }: IngressResponse): boolean =>
  status >= 400 &&
  status < 500 &&
  status !== 429 &&
  status !== 401 &&
  headers['retry-after'] === undefined

/** Whether the id that the sender signs is what tells its messages apart. */
const isKeyedById = ({ verify, idempotency: { key }, endpoint }: Webhook): boolean =>
  endpoint !== undefined ||
  (verify.kind === 'signed' &&
    key?.from === 'header' &&
    verify.headers.some(({ id }) => id === key.name))

const eventHeaders = ({ endpoint, from, accepts }: Webhook, id: string) =>
  sampleEventHeaders(
    { endpoint, from: from.name, accepts: accepts.name },
    { id, version: accepts.latest },
  )

/** A success as the border words it; undefined for everything else, and where there is no body. */
function readAnswer({
  status,
  body,
}: IngressResponse): { readonly id: string | undefined; readonly word: string } | undefined {
  if (status >= 300 || body === '') return undefined
  const { id, status: word }: { id?: unknown; status?: unknown } = JSON.parse(body)
  return { id: typeof id === 'string' ? id : undefined, word: String(word) }
}
