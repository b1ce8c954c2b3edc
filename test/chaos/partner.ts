// A partner that keeps the truth: it signs by the specification alone, remembers every answer, and
// sends again what was not answered. It shares no code with the runtime.
import { createHmac } from 'node:crypto'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from './random.ts'

const SECRET = 'whsec_b25seSBmb3IgZGV2ZWxvcG1lbnQsIG5vdCBhIHNlY3JldA=='
const KEY = Buffer.from(SECRET.slice('whsec_'.length), 'base64')

/** One message of the partner, and what became of sending it. */
export interface SentMessage {
  readonly webhookId: string
  readonly orderId: string
  readonly status: string
  /** As signed and sent, the same bytes each time. */
  readonly body: string
  firstSentMs: number | undefined
  /** When its first 2xx came. */
  ackedMs: number | undefined
  /** The id that the first 2xx gave. */
  messageId: string | undefined
  /** Never sent again after an answer that did not come: it may have been taken, or not. */
  gaveUp: boolean
}

/** What a handler does with an order; the last two are for `rough-orders.fixture.ts` alone. */
export type OrderPrefix = 'A' | 'POISON' | 'FLAKY' | 'BLOCK' | 'LEAK'

export interface PartnerCounts {
  requests: number
  accepted: number
  duplicates: number
  /** Nobody listened. */
  refused: number
  /** The connection broke before the answer was there. */
  broken: number
  /** Answers of 503, each with a `retry-after`. */
  unavailable: number
}

export interface PartnerOptions {
  readonly random: Random
  /** Orders being worked on at once. @default 50 */
  readonly keys?: number
  /** What an order's id starts with. @default one POISON and two FLAKY ones in fifty */
  readonly prefixOf?: (orderNumber: number) => OrderPrefix
  /** Share of requests that repeat an acknowledged one. @default 0.1 */
  readonly repeatShare?: number
  /** Share of unanswered messages that are never sent again. @default 0.05 */
  readonly giveUpShare?: number
  /** What its wall clock is off by, in milliseconds, when it signs. @default 0 */
  readonly clockOffMs?: () => number
  /** Requests in a second, at most. @default as many as are answered */
  readonly perSecondMax?: () => number
  /** A file that outlives the partner: what it sent and what was acknowledged. @default none */
  readonly journal?: string
}

export interface Load {
  /** When as many messages were composed as were asked for, and each has had its first answer. */
  readonly ended: Promise<void>
  /** No new request is sent; resolves when those on their way have ended. */
  stop(): Promise<void>
}

export interface Partner {
  readonly messages: readonly SentMessage[]
  readonly counts: PartnerCounts
  /** Answers that no sender should get, one sentence each. */
  readonly complaints: readonly string[]
  /** Sends without a pause over so many connections, until there are so many messages. */
  startLoad(webhookUrl: string, connections: number, messagesMax?: number): Load
  /** Sends until everything that was not given up has its 2xx. */
  finish(webhookUrl: string): Promise<void>
}

const usualPrefix = (orderNumber: number): OrderPrefix => {
  if (orderNumber % 50 === 7) return 'POISON'
  return orderNumber % 25 === 3 ? 'FLAKY' : 'A'
}

const STATUSES = ['placed', 'paid', 'packed', 'shipped', 'delivered', 'cancelled'] as const
const REQUEST_MS_MAX = 15_000
const FINISH_MS_MAX = 30_000

export const createPartner = (options: PartnerOptions): Partner => new TruthfulPartner(options)

class TruthfulPartner implements Partner {
  readonly messages: SentMessage[] = []
  readonly complaints: string[] = []
  readonly counts: PartnerCounts = {
    requests: 0,
    accepted: 0,
    duplicates: 0,
    refused: 0,
    broken: 0,
    unavailable: 0,
  }
  readonly #options: PartnerOptions
  readonly #unanswered: SentMessage[] = []
  readonly #acked: SentMessage[] = []
  #nextTurnMs = 0

  constructor(options: PartnerOptions) {
    this.#options = options
    const { journal } = options
    if (journal === undefined || !existsSync(journal)) return
    for (const line of readFileSync(journal, 'utf8').split('\n').filter(Boolean)) {
      this.#remember(JSON.parse(line))
    }
    this.#unanswered.push(...this.messages.filter((one) => one.messageId === undefined))
    this.#acked.push(...this.messages.filter((one) => one.messageId !== undefined))
  }

  startLoad(webhookUrl: string, connections: number, messagesMax = Infinity): Load {
    const agent = new Agent({ keepAlive: true, maxSockets: connections })
    const stopping = new AbortController()
    const work = async (): Promise<void> => {
      while (!stopping.signal.aborted && this.messages.length < messagesMax) {
        await this.#turn(stopping.signal)
        const wasHeard = await this.#send(webhookUrl, agent, this.#next())
        // Nobody is there: what is left to do is to wait.
        if (!wasHeard) await delay(20)
      }
    }
    const workers = Promise.all(Array.from({ length: connections }, work)).then(() => undefined)
    return {
      ended: workers,
      async stop() {
        stopping.abort()
        await workers
        agent.destroy()
      },
    }
  }

  async finish(webhookUrl: string): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 8 })
    const deadlineMs = performance.now() + FINISH_MS_MAX
    while (this.#unanswered.length > 0 && performance.now() < deadlineMs) {
      const batch = this.#unanswered.splice(0, 8)
      const heard = await Promise.all(batch.map((one) => this.#send(webhookUrl, agent, one)))
      if (heard.includes(false)) await delay(50)
    }
    agent.destroy()
    const left = this.#unanswered.length
    if (left > 0) this.complaints.push(`${left} messages were never taken`)
  }

  /** Each request has its moment, whoever sends it; one that comes late does not make it up. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { perSecondMax } = this.#options
    if (perSecondMax === undefined) return
    const mineMs = Math.max(performance.now(), this.#nextTurnMs)
    this.#nextTurnMs = mineMs + 1_000 / perSecondMax()
    await delay(Math.max(0, mineMs - performance.now()), undefined, { signal }).catch(
      () => undefined,
    )
  }

  #next(): SentMessage {
    const { random, repeatShare = 0.1 } = this.#options
    if (this.#acked.length > 0 && random.chance(repeatShare)) {
      const repeated = this.#acked[random.between(0, this.#acked.length - 1)]
      if (repeated) return repeated
    }
    return this.#unanswered.shift() ?? this.#compose()
  }

  /**
   * The next status of one of the orders being worked on; a finished one makes room for another.
   */
  #compose(): SentMessage {
    const { keys = 50, prefixOf = usualPrefix } = this.#options
    const number = this.messages.length
    const lap = Math.floor(number / keys)
    const status = STATUSES[lap % STATUSES.length] ?? 'placed'
    const orderNumber = Math.floor(lap / STATUSES.length) * keys + (number % keys)
    const orderId = `${prefixOf(orderNumber)}-${orderNumber}`
    const message: SentMessage = {
      webhookId: `wh-${number}`,
      orderId,
      status,
      body: JSON.stringify({
        version: 2,
        orderId,
        status,
        occurredAt: new Date().toISOString(),
        customer: { email: `customer-${orderNumber}@example.com` },
        total: { amount: '12.50', currency: 'EUR' },
      }),
      firstSentMs: undefined,
      ackedMs: undefined,
      messageId: undefined,
      gaveUp: false,
    }
    this.messages.push(message)
    this.#write({ sent: { ...message, firstSentMs: nowMs() } })
    return message
  }

  #remember(entry: JournalEntry): void {
    if ('sent' in entry) this.messages.push({ ...entry.sent })
    else Object.assign(this.messages[entry.acked] ?? {}, entry)
  }

  /** Before it is sent, and before the answer counts: kill -9 takes nothing back. */
  #write(entry: JournalEntry): void {
    const { journal } = this.#options
    if (journal !== undefined) appendFileSync(journal, `${JSON.stringify(entry)}\n`)
  }

  /** False when there was no answer that settles the message. */
  async #send(webhookUrl: string, agent: Agent, message: SentMessage): Promise<boolean> {
    this.counts.requests++
    message.firstSentMs ??= nowMs()
    const signedAtMs = Date.now() + (this.#options.clockOffMs?.() ?? 0)
    try {
      return this.#heard(message, await post({ webhookUrl, agent, message, signedAtMs }))
    } catch (error) {
      const isRefused = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED'
      if (isRefused) this.counts.refused++
      else this.counts.broken++
      this.#unsettled(message, !isRefused)
      return false
    }
  }

  #heard(message: SentMessage, { status, retryAfter, body }: Answer): boolean {
    if (status === 503) {
      this.counts.unavailable++
      if (!/^\d+$/.test(retryAfter ?? '')) this.complaints.push('a 503 without retry-after')
      this.#unsettled(message, false)
      return false
    }
    if (status !== 202 && status !== 200) {
      this.complaints.push(`${message.webhookId}: ${status} ${body}`)
      return true
    }
    if (status === 202) this.counts.accepted++
    else this.counts.duplicates++
    const { id }: { readonly id?: string } = JSON.parse(body)
    if (id === undefined) this.complaints.push(`${message.webhookId}: a 2xx without an id`)
    if (message.messageId === undefined) {
      message.messageId = id
      message.ackedMs = nowMs()
      const acked = Number(message.webhookId.slice('wh-'.length))
      this.#write({ acked, messageId: id, ackedMs: message.ackedMs })
      this.#acked.push(message)
    } else if (status === 202 || message.messageId !== id) {
      const known = message.messageId
      this.complaints.push(`${message.webhookId}: was ${known}, is now ${status} ${id}`)
    }
    return true
  }

  #unsettled(message: SentMessage, mayGiveUp: boolean): void {
    // A repeat that failed changes nothing: the first answer stands.
    if (message.messageId !== undefined) return
    const { random, giveUpShare = 0.05 } = this.#options
    if (mayGiveUp && random.chance(giveUpShare)) message.gaveUp = true
    else this.#unanswered.push(message)
  }
}

type JournalEntry =
  | { readonly sent: SentMessage }
  | { readonly acked: number; readonly messageId: string | undefined; readonly ackedMs: number }

/** The same for every process of this machine. */
const nowMs = (): number => performance.timeOrigin + performance.now()

interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly body: string
}

interface Post {
  readonly webhookUrl: string
  readonly agent: Agent
  readonly message: SentMessage
  readonly signedAtMs: number
}

/** @see Standard Webhooks 1.0.0, "Signature scheme" */
function post({ webhookUrl, agent, message, signedAtMs }: Post): Promise<Answer> {
  const timestamp = String(Math.floor(signedAtMs / 1_000))
  const content = `${message.webhookId}.${timestamp}.${message.body}`
  const signature = createHmac('sha256', KEY).update(content).digest('base64')
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(message.body),
    'webhook-id': message.webhookId,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signature}`,
  }
  return new Promise((done, fail) => {
    const outgoing = request(webhookUrl, { method: 'POST', agent, headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () =>
        done({
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'],
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      )
    })
    outgoing.setTimeout(REQUEST_MS_MAX, () => outgoing.destroy(new Error('no answer in time')))
    outgoing.on('error', fail)
    outgoing.end(message.body)
  })
}
