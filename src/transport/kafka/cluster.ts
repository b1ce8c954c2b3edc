import {
  type Clock,
  type JuncturaError,
  LIMITS,
  type Logger,
  type Random,
  sleep,
} from '../../kernel/index.ts'
import type { BrokerState } from '../broker.ts'
import { answerIn, codedError, CODES, problemOf, toPortError, unavailable } from './kafka-error.ts'
import type { KafkaPackage } from './kafka-package.ts'
import type { BrokerAddress, KafkaUrl } from './kafka-url.ts'
import type { TlsOptions } from './tls-options.ts'
import { Wire } from './wire.ts'

export interface ClusterOptions {
  readonly kafka: KafkaPackage
  readonly url: KafkaUrl
  readonly tls: TlsOptions | undefined
  readonly clientId: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly requestTimeoutMs: number
  readonly onState: (state: BrokerState) => void
}

export interface TopicView {
  /** Changes when the topic is deleted and made again. */
  readonly id: string
  readonly partitions: readonly PartitionView[]
  /** What this user may do with it, as a set of bits; -2147483648 where it was not asked for. */
  readonly allowed: number
  /** Why nothing can be known of it now. */
  readonly problem?: JuncturaError
}

export interface PartitionView {
  readonly index: number
  /** -1 while there is none. */
  readonly leader: number
  readonly replicas: number
  readonly inSync: number
}

export interface TopicsOptions {
  readonly asksRights?: boolean
  /** Ends the wait for a connection. */
  readonly signal?: AbortSignal
}

/**
 * The brokers of one cluster as this process sees them. One connection, the control connection, is
 * always being kept: while it cannot be had the cluster counts as away, and whoever needs it waits.
 */
export class Cluster {
  readonly options: ClusterOptions
  readonly #stop = new AbortController()
  #brokers: ReadonlyMap<number, BrokerAddress> = new Map()
  #control: Wire | undefined
  readonly #waiters = new Set<() => void>()
  #problem = 'it was not reached yet'
  #wasTold: boolean | undefined
  #keeping: Promise<void> | undefined

  constructor(options: ClusterOptions) {
    this.options = options
  }

  /**
   * Connects, and from then on stays connected until `close`.
   *
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when no broker can be reached now.
   * @throws JUNCTURA_TRANSPORT_REFUSED when the sign-in is refused.
   */
  async open(): Promise<void> {
    this.#control = await this.#connect().catch((error: unknown) => {
      throw signInRefused(error) ?? toPortError(error, 'the cluster')
    })
    this.#tell(true)
    this.#keeping = this.#keep()
  }

  get brokerCount(): number {
    return this.#brokers.size
  }

  get isClosed(): boolean {
    return this.#stop.signal.aborted
  }

  /** Aborts when the cluster is closed. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** Waits for the control connection, for a while. */
  async ready(signal?: AbortSignal): Promise<Wire> {
    if (this.#control?.isOpen) return this.#control
    const wait = new AbortController()
    const wake = (): void => wait.abort()
    if (this.isClosed) throw unavailable('it is closed')
    this.#waiters.add(wake)
    signal?.addEventListener('abort', wake, { once: true })
    await sleep(this.options.clock, this.options.requestTimeoutMs, wait.signal)
    signal?.removeEventListener('abort', wake)
    this.#waiters.delete(wake)
    if (this.#control?.isOpen) return this.#control
    throw unavailable(this.#problem)
  }

  /** A connection of one's own to a broker; whoever opens it destroys it. */
  async connect(node: number, signal?: AbortSignal): Promise<Wire> {
    const address = this.#brokers.get(node)
    if (!address) throw unavailable(`broker ${node} is not there`)
    return await this.#connectTo(address, signal)
  }

  /** Topics that are not there are left out. Always asked anew: a cached view outlives a wipe. */
  async topics(
    names: readonly string[],
    { asksRights = false, signal }: TopicsOptions = {},
  ): Promise<ReadonlyMap<string, TopicView>> {
    const wire = await this.ready(signal)
    const answer = await this.#metadata(wire, names, asksRights)
    const found = new Map<string, TopicView>()
    for (const topic of answer.topics) {
      if (topic.name === null || topic.name === undefined) continue
      if (topic.errorCode === CODES.unknownTopic) continue
      const isFailed = topic.errorCode !== 0 && topic.errorCode !== LEADER_NOT_AVAILABLE
      const partitions = topic.partitions.map((one) => ({
        index: one.partitionIndex,
        leader: one.leaderId,
        replicas: one.replicaNodes.length,
        inSync: one.isrNodes.length,
      }))
      partitions.sort((one, other) => one.index - other.index)
      found.set(topic.name, {
        id: topic.topicId,
        partitions,
        allowed: topic.topicAuthorizedOperations,
        ...(isFailed && {
          problem: toPortError(codedError(topic.errorCode), `topic ${topic.name}`),
        }),
      })
    }
    return found
  }

  /**
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE when it is not there.
   * @throws JUNCTURA_TRANSPORT_REFUSED when it may not be seen.
   */
  async topic(name: string, options: TopicsOptions = {}): Promise<TopicView> {
    const view = (await this.topics([name], options)).get(name)
    if (!view) throw unavailable(`there is no topic ${name}`)
    if (view.problem) throw view.problem
    return view
  }

  /** A pause that grows with the tries, of a random length so that not all come back at once. */
  async pause(tries: number, signal: AbortSignal = this.#stop.signal): Promise<void> {
    const { clock, random } = this.options
    const longestMs = Math.min(LIMITS.kafkaPauseMsMax, 50 * 2 ** Math.min(tries, 16))
    await sleep(clock, longestMs * (0.5 + random.next() / 2), signal)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#control?.destroy()
    this.#wake()
    await this.#keeping
  }

  async #keep(): Promise<void> {
    for (let tries = 0; !this.isClosed;) {
      const control = this.#control
      if (control?.isOpen) {
        await this.#watch(control)
        tries = 0
        continue
      }
      try {
        this.#control = await this.#connect()
        this.#tell(true)
      } catch (error) {
        this.#tell(false, problemOf(error))
        await this.pause(tries++)
      }
    }
    this.#control?.destroy()
  }

  /** Until the connection is lost. A question now and then finds one that is half open. */
  async #watch(control: Wire): Promise<void> {
    const end = new AbortController()
    void control.closed.then(() => end.abort())
    while (control.isOpen && !this.isClosed) {
      await sleep(this.options.clock, LIMITS.kafkaBeatMs, end.signal)
      if (!control.isOpen || this.isClosed) return
      await this.#metadata(control, [], false).catch(() => control.destroy())
    }
  }

  /** The first broker that answers: those of the URL and those that were known. */
  async #connect(): Promise<Wire> {
    const { url, random } = this.options
    const known = [...this.#brokers.values()]
    const addresses = [...url.seeds, ...known].filter(
      (one, at, all) =>
        all.findIndex(({ host, port }) => host === one.host && port === one.port) === at,
    )
    const first = Math.floor(random.next() * addresses.length)
    let problem: unknown
    for (let at = 0; at < addresses.length; at++) {
      const address = addresses[(first + at) % addresses.length]
      if (!address || this.isClosed) break
      let wire: Wire | undefined
      try {
        wire = await this.#connectTo(address, this.#stop.signal)
        await this.#metadata(wire, [], false)
        return wire
      } catch (error) {
        wire?.destroy()
        problem = error
      }
    }
    throw problem ?? unavailable('it is being closed')
  }

  async #connectTo(address: BrokerAddress, signal?: AbortSignal): Promise<Wire> {
    const { kafka, url, tls, clock, clientId, requestTimeoutMs } = this.options
    return await Wire.open(kafka, address, {
      clock,
      clientId,
      timeoutMs: Math.min(requestTimeoutMs, LIMITS.kafkaConnectMs),
      connection: {
        ...(url.isTls && { tls: { ...tls }, tlsServerName: true }),
        ...(url.sasl && { sasl: url.sasl }),
      },
      ...(signal && { signal }),
    })
  }

  async #metadata(wire: Wire, names: readonly string[], asksRights: boolean): Promise<Metadata> {
    const { kafka, requestTimeoutMs } = this.options
    const answer = await wire
      .request<Metadata>(requestTimeoutMs, (connection, done) =>
        kafka.metadataV12.api(connection, [...names], false, asksRights, done),
      )
      .catch((error: unknown) => {
        // A topic that is not there makes the whole answer an error.
        const partial = answerIn(error)
        if (!isMetadata(partial)) throw error
        return partial
      })
    const { brokers } = answer
    if (brokers.length > 0) {
      this.#brokers = new Map(brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    }
    return answer
  }

  #tell(connected: boolean, problem = ''): void {
    this.#problem = problem
    if (connected) this.#wake()
    if (this.#wasTold === connected || this.isClosed) return
    this.#wasTold = connected
    const { log, onState } = this.options
    if (connected) log.info({}, 'connected to Kafka')
    else log.warn({ problem }, 'Kafka is not reached; trying again')
    onState(connected ? { connected } : { connected, problem })
  }

  #wake(): void {
    for (const wake of this.#waiters) wake()
  }
}

type Metadata = ReturnType<KafkaPackage['metadataV12']['parseResponse']>

const LEADER_NOT_AVAILABLE = 5

const isMetadata = (answer: unknown): answer is Metadata =>
  typeof answer === 'object' && answer !== null && 'brokers' in answer && 'topics' in answer

function signInRefused(error: unknown): Error | undefined {
  const isSignIn =
    error instanceof Error &&
    (('code' in error && error.code === 'PLT_KFK_AUTHENTICATION') ||
      (error.cause instanceof Error && signInRefused(error.cause) !== undefined))
  if (!isSignIn) return undefined
  // 58 is what the protocol says of a sign-in that failed.
  return toPortError(codedError(58, 'SASL_AUTHENTICATION_FAILED'), 'the sign-in')
}
