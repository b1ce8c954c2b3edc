import type { ConsumerConfig, StreamState } from '@nats-io/jetstream'
import type { Msg, Subscription } from '@nats-io/transport-node'
import {
  type Clock,
  type JuncturaError,
  LIMITS,
  type Logger,
  messageOf,
  type Random,
  sleep,
  type Timer,
} from '../../kernel/index.ts'
import type { Reading, ReadOptions, ReceivedMessage } from '../broker.ts'
import type { TopicReading, TopicReadOptions } from '../foreign-topic.ts'
import { refused, toBrokerError } from './nats-errors.ts'
import { readHeaders } from './nats-headers.ts'
import type { NatsLink } from './nats-link.ts'
import { isStreamName } from './nats-names.ts'
import { findStream } from './nats-streams.ts'

export interface NatsReadOptions extends ReadOptions {
  readonly link: NatsLink
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly stream: string
  /** Of the stream, only what matches one of them. @default all of it */
  readonly subjects?: readonly string[] | undefined
}

/** As the owner of a place wants it: told when it is gone, instead of going on somewhere. */
export type NatsTopicReadOptions = Omit<NatsReadOptions, keyof ReadOptions> & TopicReadOptions

/**
 * Reads a stream from a sequence on. The place is kept here, so the consumer in the server is one
 * that forgets: in memory, without acknowledgements, gone some minutes after the last pull.
 *
 * - `closed` to `open`: a consumer is made at the next sequence wanted; again until it succeeds.
 * - `open`: two batches are asked for, and again when one has come; at most three wait here, and
 *   none is asked for while a whole one waits.
 * - back to `closed`: the connection broke, the server deleted the consumer, the heartbeats of a
 *   pull stopped, or a message is missing in the count of the consumer. What waits here is kept, as
 *   it has no gap.
 *
 * Given up: a stream that is read by several at once; each reader reads all of it.
 */
export const readNats = async (options: NatsReadOptions): Promise<Reading> => {
  const { stream } = options
  if (!isStreamName(stream)) throw noStream(stream)
  const reader = new StreamReader(options)
  await reader.open()
  return reader
}

/** The same for a topic of others, whose place is kept by the caller. */
export const readNatsTopic = async (options: NatsTopicReadOptions): Promise<TopicReading> => {
  const reader = new StreamReader(options, options)
  await reader.open()
  return reader
}

const noStream = (stream: string): JuncturaError =>
  refused({
    resource: `the stream ${JSON.stringify(stream)}`,
    problem: 'it is not there',
    fix: 'create it, or name another',
  })

const PULL_EXPIRES_MS = 30_000
const HEARTBEAT_MS = 5_000
/** A pull that has been silent for so long is lost. */
const SILENCE_MS = 15_000
const INACTIVE_MS = 300_000
const PULL_BYTES_MAX = 8_388_608
const PAUSE_MS_MIN = 50

interface Consumer {
  readonly name: string
  readonly inbox: string
  /** Its own, so that what an earlier one still brings is dropped. */
  readonly subscription: Subscription
  /** Messages that were asked for and are still to come. */
  awaited: number
  /** Since a pull ended because the next message had no place in it. */
  received: number
  delivered: number
  heardAtMs: number
}

class StreamReader implements TopicReading {
  readonly #options: NatsReadOptions
  readonly #owner: Owner | undefined
  readonly #batchMax: number
  readonly #stop = new AbortController()
  readonly #forget: () => void
  #consumer: Consumer | undefined
  #created = ''
  /** The next sequence that is wanted from the server. */
  #next: number
  /** The next sequence that is to be given. */
  #given: number
  #waiting: ReceivedMessage[] = []
  /** A message alone that is larger than a pull may be. */
  #isLarge = false
  #wake: () => void = () => undefined
  #watch: Timer | undefined
  #loop: Promise<void> | undefined

  constructor(options: NatsReadOptions, owner?: Owner) {
    this.#options = options
    this.#owner = owner
    this.#created = owner?.incarnation ?? ''
    this.#batchMax = options.batchMax ?? BATCH_DEFAULT
    this.#next = Math.max(1, Number(options.from['0'] ?? '1'))
    this.#given = this.#next
    this.#forget = options.link.onChange((isConnected) => {
      if (isConnected) this.#wake()
      else this.#drop()
    })
  }

  /** Makes the first consumer, whose failure is the caller's, and begins. */
  async open(): Promise<void> {
    try {
      await this.#makeConsumer()
    } catch (error) {
      this.#forget()
      if (error instanceof PlaceGone) return this.#owner?.onPlaceGone(error.message)
      throw error
    }
    this.#watchHeartbeats()
    this.#loop = this.#run()
  }

  /** What waits here is not given yet. */
  places(): Readonly<Record<string, string>> {
    return { '0': this.#waiting[0]?.offset ?? String(this.#next) }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#wake()
    await this.#loop
    this.#forget()
    this.#watch?.cancel()
    this.#drop()
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#stop.signal.aborted) {
      const batch = this.#waiting.splice(0, this.#batchMax)
      this.#pull()
      if (batch.length > 0) {
        await this.#hand(batch)
      } else if (this.#consumer) {
        failures = 0
        await this.#sleepUntilWoken()
      } else if (this.#options.link.isConnected) {
        await this.#makeConsumer().catch(async (error: unknown) => {
          if (error instanceof PlaceGone) {
            this.#stop.abort()
            return this.#owner?.onPlaceGone(error.message)
          }
          if (failures === 0) this.#warn(error, 'the stream cannot be read; trying again')
          failures += 1
          await this.#pause(failures)
        })
      } else {
        await this.#sleepUntilWoken()
      }
    }
  }

  async #hand(batch: readonly ReceivedMessage[]): Promise<void> {
    await this.#lookForHoles(batch)
    for (let failures = 1; !this.#stop.signal.aborted; failures++) {
      try {
        return await this.#options.onBatch(batch)
      } catch (error) {
        if (failures === 1) this.#warn(error, 'a batch was not handled; it comes again')
        await this.#pause(failures)
      }
    }
  }

  /**
   * The server goes on by itself behind what its limits have dropped. A hole alone says little:
   * messages are also deleted one by one, or were not wanted.
   */
  async #lookForHoles(batch: readonly ReceivedMessage[]): Promise<void> {
    if (!this.#owner) return
    const holes: { readonly from: number; readonly to: number }[] = []
    for (const { offset } of batch) {
      const sequence = Number(offset)
      if (sequence > this.#given) holes.push({ from: this.#given, to: sequence })
      this.#given = sequence + 1
    }
    if (holes.length === 0) return
    const first = await this.#firstKept()
    for (const { from, to } of holes) {
      const gone = Math.min(to, first) - from
      if (gone > 0) this.#owner.onSkipped(0, gone)
    }
  }

  /** Until the server says it: what is moved past a hole that nobody counted is lost in silence. */
  async #firstKept(): Promise<number> {
    const { link, stream } = this.#options
    for (let failures = 1; !this.#stop.signal.aborted; failures++) {
      try {
        return (await findStream(link, stream))?.state.first_seq ?? 0
      } catch (error) {
        if (failures === 1) this.#warn(error, 'the stream cannot be looked at; trying again')
        await this.#pause(failures)
      }
    }
    return 0
  }

  #warn(error: unknown, message: string): void {
    const { log, stream } = this.#options
    log.warn({ stream, problem: messageOf(error) }, message)
  }

  #pause(failures: number): Promise<void> {
    const { clock, random } = this.#options
    const longest = Math.min(LIMITS.relayPauseMsMax, PAUSE_MS_MIN * 2 ** failures)
    return sleep(clock, longest * (0.5 + random.next() / 2), this.#stop.signal)
  }

  #sleepUntilWoken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      const isReady = this.#waiting.length > 0 || this.#stop.signal.aborted
      if (isReady) resolve()
    })
  }

  async #makeConsumer(): Promise<void> {
    const { link, stream, subjects } = this.#options
    await this.#findPlace()
    const config: Partial<ConsumerConfig> = {
      ack_policy: 'none',
      replay_policy: 'instant',
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: link.packages.core.nanos(INACTIVE_MS),
      ...(subjects && { filter_subjects: [...subjects] }),
      ...(this.#next > 1
        ? { deliver_policy: 'by_start_sequence', opt_start_seq: this.#next }
        : { deliver_policy: 'all' }),
    }
    const made = await link
      .call(({ consumers }) => consumers.add(stream, config))
      .catch((error: unknown) => {
        throw toBrokerError(error, `reading the stream ${stream}`)
      })
    const inbox = link.newInbox()
    const consumer: Consumer = {
      name: made.name,
      inbox,
      subscription: link.connection.subscribe(inbox, {
        callback: (error, message) => {
          if (consumer !== this.#consumer) return
          if (!error) return this.#arrived(consumer, message)
          this.#warn(error, 'NATS ended a subscription')
          this.#drop()
        },
      }),
      awaited: 0,
      received: 0,
      delivered: 0,
      heardAtMs: this.#options.clock.monotonicMs(),
    }
    this.#consumer = consumer
    this.#pull()
  }

  /**
   * A sequence behind the end is one of a stream that was there before: it was deleted and made
   * again, or lost its end. What there is now is read from its beginning, as repeats do no harm.
   */
  async #findPlace(): Promise<void> {
    const { link, stream, log } = this.#options
    const found = await findStream(link, stream).catch((error: unknown) => {
      throw toBrokerError(error, `the stream ${stream}`)
    })
    if (!found) throw noStream(stream)
    const { created, state } = found
    const isAnother = this.#created !== '' && this.#created !== created
    if (this.#owner) return this.#keepPlace(isAnother, state)
    this.#created = created
    if (isAnother || this.#next > state.last_seq + 1) {
      log.warn({ stream, wanted: this.#next, end: state.last_seq }, 'the stream was made again')
      this.#next = 1
    } else if (this.#next < state.first_seq && this.#next > 1) {
      const missed = state.first_seq - this.#next
      log.warn({ stream, missed }, 'messages were gone before they were read')
    }
  }

  /** Somebody else keeps the place and knows what its loss means. */
  #keepPlace(isAnother: boolean, { last_seq: last }: StreamState): void {
    const { stream } = this.#options
    if (isAnother) throw new PlaceGone(`the stream ${stream} was made again`)
    if (this.#next > last + 1) throw new PlaceGone(`the stream ${stream} has lost its end`)
  }

  #arrived(consumer: Consumer, message: Msg): void {
    consumer.heardAtMs = this.#options.clock.monotonicMs()
    const place = placeOf(message.reply ?? '')
    if (!place) return this.#onStatus(consumer, message)
    consumer.delivered += 1
    if (place.delivered !== consumer.delivered) return this.#drop()
    consumer.awaited -= 1
    consumer.received += 1
    this.#isLarge = false
    this.#next = place.sequence + 1
    const { key, attributes, headers } = readHeaders(message)
    const offset = String(place.sequence)
    this.#waiting.push({ partition: 0, offset, key, attributes, headers, data: message.data })
    if (this.#waiting.length === 1) this.#wake()
    if (consumer.awaited <= this.#batchMax) this.#pull()
  }

  /** Heartbeats, the end of a pull, and the end of the consumer. */
  #onStatus(consumer: Consumer, { headers }: Msg): void {
    const code = headers?.code ?? 0
    if (code === 100) return
    const isTooLarge = /exceeds maxbytes/i.test(headers?.description ?? '')
    const isEndOfPull = code === 404 || code === 408 || isTooLarge
    if (!isEndOfPull) return this.#drop()
    if (isTooLarge) {
      this.#isLarge = consumer.received === 0
      consumer.received = 0
    }
    const left = Number(headers?.get('Nats-Pending-Messages') || consumer.awaited)
    consumer.awaited = Math.max(0, consumer.awaited - left)
    this.#pull()
  }

  #pull(): void {
    const consumer = this.#consumer
    const { link, clock, stream } = this.#options
    if (!consumer || consumer.awaited > this.#batchMax || !link.isConnected) return
    if (this.#stop.signal.aborted || this.#waiting.length >= this.#batchMax) return
    if (this.#isLarge && consumer.awaited > 0) return
    const { nanos } = link.packages.core
    const batch = this.#isLarge ? 1 : 2 * this.#batchMax - consumer.awaited
    consumer.awaited += batch
    consumer.heardAtMs = clock.monotonicMs()
    const request = {
      batch,
      ...(!this.#isLarge && { max_bytes: PULL_BYTES_MAX }),
      expires: nanos(PULL_EXPIRES_MS),
      idle_heartbeat: nanos(HEARTBEAT_MS),
    }
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer.name}`
    link.connection.publish(subject, JSON.stringify(request), { reply: consumer.inbox })
  }

  #watchHeartbeats(): void {
    const { clock, link } = this.#options
    this.#watch = clock.setTimer(HEARTBEAT_MS, () => {
      const consumer = this.#consumer
      const isAwaited = consumer !== undefined && consumer.awaited > 0 && link.isConnected
      if (isAwaited && clock.monotonicMs() - consumer.heardAtMs > SILENCE_MS) this.#drop()
      this.#watchHeartbeats()
    })
  }

  /** Lets the consumer go; the loop makes another where it is still wanted. */
  #drop(): void {
    const consumer = this.#consumer
    this.#consumer = undefined
    consumer?.subscription.unsubscribe()
    const { link, stream } = this.#options
    if (consumer && link.isConnected) {
      const { name } = consumer
      // It would go by itself; a failure only means that it is gone.
      link.call(({ consumers }) => consumers.delete(stream, name)).catch(() => undefined)
    }
    this.#wake()
  }
}

type Owner = Pick<TopicReadOptions, 'incarnation' | 'onPlaceGone' | 'onSkipped'>

/** Ends the reader: the owner of the place decides where to go on. */
class PlaceGone extends Error {}

const BATCH_DEFAULT = 500

/**
 * Where a message stands, from the subject of its acknowledgement: `$JS.ACK`, perhaps the domain
 * and the account, stream, consumer, deliveries, sequence in the stream, count of the consumer,
 * time, messages behind it, and in the longer form perhaps one more.
 *
 * @see NATS ADR-15, "JetStream Subscribe Workflow"
 */
function placeOf(
  reply: string,
): { readonly sequence: number; readonly delivered: number } | undefined {
  if (!reply.startsWith('$JS.ACK.')) return undefined
  const tokens = reply.split('.')
  const at = tokens.length > 9 ? 7 : 5
  return { sequence: Number(tokens[at]), delivered: Number(tokens[at + 1]) }
}
