import type { Msg, MsgHdrs } from '@nats-io/transport-node'
import { type Clock, JuncturaError, LIMITS, type Timer } from '../../kernel/index.ts'
import type { BrokerMessage } from '../broker.ts'
import {
  API_ERROR,
  type ApiFailure,
  fromApiFailure,
  refused,
  toBrokerError,
  unavailable,
} from './nats-errors.ts'
import { encodeHeaders } from './nats-headers.ts'
import type { NatsLink } from './nats-link.ts'
import type { NatsNames } from './nats-names.ts'

/**
 * Publishes to one channel, in the order of the calls, one chunk after the other.
 *
 * A chunk of some size is an atomic batch: the server takes all of it or nothing, answers once and
 * syncs its file once. So no failure in its middle can put a later message before an earlier one,
 * and with a sync for each write it is many times as fast. A few messages are sent one by one,
 * which is cheaper then. A batch that has a message that the stream already has is refused as a
 * whole; its messages are then sent one by one, and the stream drops those that it has.
 *
 * A job is one call; a chunk is of one or several jobs, or a part of one. When a chunk fails, so
 * do the jobs that have a part in it. What is confirmed too late is given up.
 */
export interface NatsPublisher {
  publish(messages: readonly BrokerMessage[]): Promise<void>
  /** Waits for what was given; nothing more is taken. */
  close(): Promise<void>
}

export interface NatsPublisherOptions {
  readonly link: NatsLink
  readonly names: NatsNames
  readonly clock: Clock
  readonly timeoutMs: number
  readonly replicas: number
}

/** Below this an atomic batch costs a server that stands alone more than its messages. */
const ATOMIC_MIN = 16
/** Fewer than a server allows in one batch by default, which is 1000. */
const CHUNK_MAX = LIMITS.relayBatchMax
const CHUNK_BYTES_MAX = 8_388_608
/** The server keeps the length of the headers in 16 bits. */
const HEADER_BYTES_MAX = 65_535
/** Room for the headers of a batch. */
const BATCH_HEADER_BYTES = 160
/** Room for all headers: keys and traces of any alphabet, as they are once they are encoded. */
const HEADER_ROOM_BYTES = 8_192

/** What a message may have, so that it fits with whatever headers it gets. */
export const messageBytesMaxOf = ({ payloadBytesMax }: NatsLink): number =>
  payloadBytesMax - HEADER_ROOM_BYTES

interface Job {
  readonly messages: readonly Ready[]
  /** The next one to be sent. */
  next: number
  unconfirmed: number
  isSettled: boolean
  settle(error?: JuncturaError): void
}

interface Ready {
  readonly subject: string
  readonly head: string
  readonly data: Uint8Array
}

interface Part {
  readonly job: Job
  readonly message: Ready
}

/** What waits for answers. */
interface Wait {
  readonly jobs: ReadonlySet<Job>
  answered(token: string, message: Msg): void
  failed(error: JuncturaError): void
}

export const createNatsPublisher = (options: NatsPublisherOptions): NatsPublisher =>
  new OrderedPublisher(options)

class OrderedPublisher implements NatsPublisher {
  readonly #options: NatsPublisherOptions
  readonly #headers: MsgHdrs
  readonly #forget: readonly (() => void)[]
  readonly #inbox: string
  readonly #batchPrefix: string
  #answers: { unsubscribe(): void } | undefined
  /** What the client is to send as headers of the message that it is given. */
  #headerBytes: Uint8Array = new Uint8Array()
  #jobs: Job[] = []
  #waitingCount = 0
  #wait: Wait | undefined
  #pumping: Promise<void> | undefined
  #sent = 0
  #isClosed = false

  constructor(options: NatsPublisherOptions) {
    this.#options = options
    const { link, names } = options
    this.#inbox = link.newInbox()
    this.#batchPrefix = this.#inbox.slice(this.#inbox.lastIndexOf('.') + 1)
    // The client writes whatever `encode` returns, and does so before `publish` returns.
    this.#headers = Object.assign(link.packages.core.headers(), {
      encode: (): Uint8Array => this.#headerBytes,
    })
    this.#forget = [
      link.onChange((isConnected) => {
        if (!isConnected) this.#failAll(unavailable('the connection broke'))
      }),
      link.onRefused((error, subject) => {
        if (subject.startsWith(names.subjects.slice(0, -1))) {
          this.#failAll(toBrokerError(error, `publishing to ${names.subjects}`))
        }
      }),
    ]
  }

  async publish(messages: readonly BrokerMessage[]): Promise<void> {
    const { link, clock, timeoutMs } = this.#options
    if (this.#isClosed) throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'NATS' } })
    link.assertConnected()
    if (messages.length === 0) return
    const ready = messages.map((message) => this.#prepare(message))
    if (this.#waitingCount > 0 && this.#waitingCount + ready.length > LIMITS.brokerWaitingMax) {
      throw unavailable(`${this.#waitingCount} messages wait to be published`)
    }
    await new Promise<void>((resolve, reject) => {
      let timer: Timer | undefined
      const job: Job = {
        messages: ready,
        next: 0,
        unconfirmed: ready.length,
        isSettled: false,
        settle: (error) => {
          if (job.isSettled) return
          job.isSettled = true
          timer?.cancel()
          this.#waitingCount -= ready.length
          if (error) reject(error)
          else resolve()
        },
      }
      timer = clock.setTimer(timeoutMs, () => this.#expire(job))
      this.#waitingCount += ready.length
      this.#jobs.push(job)
      this.#pumping ??= this.#pump()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#pumping
    for (const forget of this.#forget) forget()
    this.#answers?.unsubscribe()
    this.#answers = undefined
  }

  #prepare(message: BrokerMessage): Ready {
    const { link, names } = this.#options
    const head = encodeHeaders(message)
    const headBytes = head.length + BATCH_HEADER_BYTES
    const dataBytes = message.data.length
    const isTooLarge =
      headBytes > HEADER_BYTES_MAX ||
      dataBytes > messageBytesMaxOf(link) ||
      dataBytes + headBytes > link.payloadBytesMax
    if (isTooLarge) {
      throw refused({
        resource: `message ${message.id}`,
        problem: `it has ${dataBytes} bytes, and ${headBytes} in headers`,
        fix: `send at most ${messageBytesMaxOf(link)}, or raise max_payload of the server`,
      })
    }
    const subject = names.subjectOf(message.key, message.attributes['type'])
    return { subject, head, data: message.data }
  }

  async #pump(): Promise<void> {
    for (;;) {
      const parts = this.#take()
      if (parts.length === 0) {
        // In the same turn, so that whoever comes next begins anew.
        this.#pumping = undefined
        return
      }
      try {
        await this.#send(parts)
      } catch (error) {
        for (const { job } of parts) job.settle(toBrokerError(error, 'publishing'))
      }
    }
  }

  #take(): readonly Part[] {
    const parts: Part[] = []
    let bytes = 0
    for (;;) {
      const job = this.#jobs[0]
      if (!job) return parts
      const message = job.isSettled ? undefined : job.messages[job.next]
      if (!message) {
        this.#jobs.shift()
        continue
      }
      bytes += message.data.length + message.head.length
      if (parts.length === CHUNK_MAX || (parts.length > 0 && bytes > CHUNK_BYTES_MAX)) return parts
      job.next += 1
      parts.push({ job, message })
    }
  }

  async #send(parts: readonly Part[]): Promise<void> {
    const outcome = this.#isWorthwhile(parts) ? await this.#sendTogether(parts) : 'refused'
    if (outcome === 'repeats') await this.#sendAround(parts)
    else if (outcome === 'refused') await this.#sendEach(parts)
  }

  #isWorthwhile({ length }: readonly Part[]): boolean {
    return length >= (this.#options.replicas > 1 ? 2 : ATOMIC_MIN)
  }

  async #sendTogether(parts: readonly Part[]): Promise<'done' | 'repeats' | 'refused'> {
    const batch = `Nats-Batch-Id: ${this.#batchPrefix}${this.#sent}\r\nNats-Batch-Sequence: `
    const { failure, count } = await this.#await(parts, (wait) => {
      const token = this.#nextToken()
      parts.forEach(({ message }, at) => {
        const isLast = at === parts.length - 1
        const tail = `${batch}${at + 1}${isLast ? '\r\nNats-Batch-Commit: 1' : ''}\r\n\r\n`
        this.#write(message, tail, isLast ? token : undefined)
      })
      return (answered, message) => {
        if (answered === token) wait.done(readAnswer(message))
      }
    })
    if (failure?.code === API_ERROR.repeatInBatch) return 'repeats'
    // Something that only answers the last of them knows nothing of batches.
    if (failure !== undefined || count !== parts.length) return 'refused'
    for (const { job } of parts) confirm(job)
    return 'done'
  }

  /**
   * As the relay has gone back, the stream most likely has the first of them and not the last. So
   * they go one by one while the stream has them, which costs it no write, and the rest together.
   */
  async #sendAround(parts: readonly Part[]): Promise<void> {
    let rest = parts
    let count = ATOMIC_MIN
    while (rest.length > 0) {
      const some = rest.slice(0, count)
      rest = rest.slice(count)
      if ((await this.#sendEach(some)) === some.length) {
        count *= 2
        continue
      }
      count = ATOMIC_MIN
      if (this.#isWorthwhile(rest) && (await this.#sendTogether(rest)) === 'done') return
    }
  }

  /** Gives how many of them the stream had already. */
  async #sendEach(all: readonly Part[]): Promise<number> {
    const parts = all.filter(({ job }) => !job.isSettled)
    if (parts.length === 0) return all.length
    let repeats = all.length - parts.length
    await this.#await(parts, (wait) => {
      const open = new Map<string, Job>()
      for (const { job, message } of parts) {
        const token = this.#nextToken()
        open.set(token, job)
        this.#write(message, '\r\n', token)
      }
      return (token, message) => {
        const job = open.get(token)
        if (!job || !open.delete(token)) return
        const { failure, isRepeat } = readAnswer(message)
        if (isRepeat) repeats += 1
        if (failure) job.settle(fromApiFailure(failure, 'the stream'))
        else confirm(job)
        if (open.size === 0) wait.done({})
      }
    })
    return repeats
  }

  /** Sends, and waits for the answers or for the end of the connection or of the patience. */
  #await(
    parts: readonly Part[],
    send: (wait: { done(answer: Answer): void }) => Wait['answered'],
  ): Promise<Answer> {
    this.#options.link.assertConnected()
    this.#listen()
    return new Promise<Answer>((resolve, reject) => {
      const jobs = new Set(parts.map(({ job }) => job))
      this.#wait = { answered: send({ done: resolve }), failed: reject, jobs }
    }).finally(() => (this.#wait = undefined))
  }

  #listen(): void {
    const { connection } = this.#options.link
    this.#answers ??= connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error) {
          // The subscription is gone; the next one to publish tries again.
          this.#answers = undefined
          this.#failAll(toBrokerError(error, `answers on ${this.#inbox}`))
          return
        }
        const token = message.subject.slice(this.#inbox.length + 1)
        this.#wait?.answered(token, message)
      },
    })
  }

  #nextToken(): string {
    this.#sent += 1
    return String(this.#sent)
  }

  #write({ subject, head, data }: Ready, tail: string, token: string | undefined): void {
    this.#headerBytes = Buffer.from(head + tail, 'latin1')
    this.#options.link.connection.publish(subject, data, {
      headers: this.#headers,
      ...(token !== undefined && { reply: `${this.#inbox}.${token}` }),
    })
  }

  #expire(job: Job): void {
    const problem = `no confirmation within ${this.#options.timeoutMs} ms`
    const current = this.#wait
    if (current?.jobs.has(job)) current.failed(unavailable(problem))
    job.settle(unavailable(problem))
  }

  #failAll(error: JuncturaError): void {
    const jobs = this.#jobs
    this.#jobs = []
    for (const job of jobs) job.settle(error)
    this.#wait?.failed(error)
  }
}

const confirm = (job: Job): void => {
  job.unconfirmed -= 1
  if (job.unconfirmed === 0) job.settle()
}

interface Answer {
  readonly failure?: ApiFailure
  /** Of a batch. */
  readonly count?: number
  /** The stream has the message already. */
  readonly isRepeat?: boolean
}

/** The answer of the stream to a message or a batch; an empty one is of a server without it. */
function readAnswer(message: Msg): Answer {
  if (message.data.length === 0) return { failure: NO_STREAM }
  const answer = fieldsOf(message.json())
  if ('error' in answer) return { failure: readFailure(fieldsOf(answer['error'])) }
  const { count, duplicate } = answer
  return { isRepeat: duplicate === true, ...(typeof count === 'number' && { count }) }
}

const NO_STREAM: ApiFailure = { status: 503, code: 0, description: 'no stream takes the message' }

const readFailure = (error: Readonly<Record<string, unknown>>): ApiFailure => ({
  status: typeof error['code'] === 'number' ? error['code'] : 500,
  code: typeof error['err_code'] === 'number' ? error['err_code'] : 0,
  description: typeof error['description'] === 'string' ? error['description'] : 'it failed',
})

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? { ...value } : {}
