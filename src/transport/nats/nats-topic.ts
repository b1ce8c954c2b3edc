import type { StreamConfig } from '@nats-io/jetstream'
import { JuncturaError } from '../../kernel/index.ts'
import type { BrokerProblem } from '../broker.ts'
import type {
  ForeignTopic,
  ForeignTopicOptions,
  TopicDescription,
  TopicReading,
  TopicReadOptions,
  TopicState,
} from '../foreign-topic.ts'
import { refused, toBrokerError } from './nats-errors.ts'
import type { NatsLink } from './nats-link.ts'
import { readNatsTopic } from './nats-reader.ts'
import { findStream } from './nats-streams.ts'

/** Of the options, what is used once there is a connection. */
export type NatsTopicParts = Pick<ForeignTopicOptions, 'clock' | 'random' | 'log'> & {
  readonly stream: string
  readonly subjects?: readonly string[] | undefined
}

/** A stream on a connection that others use as well and close, or that ends with it. */
export const natsTopicOf = (parts: NatsTopicParts, link: NatsLink, isShared = true): ForeignTopic =>
  new NatsTopic(parts, link, isShared)

export const noStream = (stream: string): JuncturaError =>
  refused({
    resource: `the stream ${JSON.stringify(stream)}`,
    problem: 'it is not there',
    fix: 'create it, or correct its name',
  })

class NatsTopic implements ForeignTopic {
  readonly reading = 'offset'
  readonly #options: NatsTopicParts
  readonly #isShared: boolean
  readonly #link: NatsLink
  readonly #readings = new Set<TopicReading>()
  #closing: Promise<void> | undefined

  constructor(options: NatsTopicParts, link: NatsLink, isShared: boolean) {
    this.#isShared = isShared
    this.#options = options
    this.#link = link
  }

  async inspect(): Promise<TopicState> {
    const { created, config, state } = await this.#info()
    refuseQueues(config)
    const { subjects } = this.#options
    const next = String(state.last_seq + 1)
    const span = { first: String(state.first_seq), next }
    if (!subjects) return { incarnation: created, partitions: { '0': span } }
    const last = await this.#lastOf(subjects)
    return { incarnation: created, partitions: { '0': { ...span, wanted: String(last + 1) } } }
  }

  async describe(): Promise<TopicDescription> {
    const { config } = await this.#info()
    return describeStream(this.#options.stream, config)
  }

  async read(options: TopicReadOptions): Promise<TopicReading> {
    this.#assertOpen()
    const { stream, subjects, clock, random, log } = this.#options
    const own = { link: this.#link, clock, random, log, stream, subjects }
    const reading = await readNatsTopic({ ...options, ...own })
    const tracked: TopicReading = {
      places: () => reading.places(),
      close: async () => {
        this.#readings.delete(tracked)
        await reading.close()
      },
    }
    this.#readings.add(tracked)
    return tracked
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    for (const reading of this.#readings) await reading.close()
    if (!this.#isShared) await this.#link.close()
  }

  #assertOpen(): void {
    if (!this.#closing) return
    const what = `The stream ${this.#options.stream}`
    throw new JuncturaError('JUNCTURA_CLOSED', { details: { what } })
  }

  async #info(): Promise<NonNullable<Awaited<ReturnType<typeof findStream>>>> {
    this.#assertOpen()
    const { stream } = this.#options
    const found = await findStream(this.#link, stream).catch((error: unknown) => {
      throw toBrokerError(error, `the stream ${stream}`)
    })
    if (!found) throw noStream(stream)
    return found
  }

  /** The last sequence that one of the subjects has; 0 where there is none. */
  async #lastOf(subjects: readonly string[]): Promise<number> {
    const { stream } = this.#options
    let last = 0
    for (const subject of subjects) {
      const found = await this.#link
        .call(({ streams }) => streams.getMessage(stream, { last_by_subj: subject }))
        .catch((error: unknown) => {
          throw toBrokerError(error, `the stream ${stream}`)
        })
      last = Math.max(last, found?.seq ?? 0)
    }
    return last
  }
}

function refuseQueues({ name, retention }: StreamConfig): void {
  if (retention === 'limits') return
  throw refused({
    resource: `the stream ${name}`,
    problem: `its retention is ${retention}: who reads it takes messages from others`,
    fix: 'make a stream that sources it, with retention limits, and read that',
  })
}

/** Who is away for a weekend should come back to a stream that has dropped nothing. */
const AGE_MS_MIN = 259_200_000
const NANOS_PER_MS = 1_000_000

/** Of the client's `StreamConfig`; the package's own types name none of a client. */
interface Described {
  readonly num_replicas: number
  readonly storage: string
  readonly max_age: number
  readonly max_msgs: number
  readonly max_bytes: number
  readonly no_ack?: boolean | undefined
}

/** What the settings of a stream mean for whoever has not read it yet. */
export const describeStream = (stream: string, config: Described): TopicDescription => {
  const { num_replicas: replicas, storage, max_age: maxAge, max_msgs: messagesMax } = config
  const problems: BrokerProblem[] = []
  const warn = (problem: string, fix: string): void => {
    problems.push({ severity: 'warning', resource: `the stream ${stream}`, problem, fix })
  }
  if (storage === 'memory') {
    warn('it is kept in memory: what was not moved yet ends with the server', "use storage 'file'")
  }
  if (replicas === 1) {
    warn('it has one replica: what was not moved yet is lost with that machine', 'use 3 replicas')
  }
  if (config.no_ack) warn('no_ack is set: its writers are told of no loss', 'take no_ack out')
  const ageMs = maxAge / NANOS_PER_MS
  if (maxAge > 0 && ageMs < AGE_MS_MIN) {
    const problem = `it keeps messages for ${hoursOf(ageMs)}: whoever is away for longer misses some`
    warn(problem, 'raise max_age to 3 days or more')
  }
  const durable = replicas > 1 ? 'replicated' : 'process'
  return {
    survives: storage === 'memory' && replicas === 1 ? 'accepted' : durable,
    settings: [
      `storage ${storage}`,
      `${replicas} replica${replicas === 1 ? '' : 's'}`,
      `kept ${maxAge > 0 ? hoursOf(ageMs) : 'for ever'}`,
      ...(messagesMax > 0 ? [`at most ${messagesMax} messages`] : []),
      ...(config.max_bytes > 0 ? [`at most ${config.max_bytes} bytes`] : []),
    ].join(', '),
    problems,
  }
}

const hoursOf = (ms: number): string => `${Math.round(ms / 36_000) / 100} h`
