import type { BrokerFeatures } from '../../contract/index.ts'
import { JuncturaError } from '../../kernel/index.ts'
import type {
  Broker,
  BrokerMessage,
  BrokerState,
  FollowListener,
  ReceivedMessage,
} from '../../transport/index.ts'
import type { FaultDice } from './fault-dice.ts'
import type { NodeClock } from './node-clock.ts'
import type { RandomStreams } from './random-streams.ts'
import type { Scheduler } from './scheduler.ts'
import type { SituationBook } from './situations.ts'

export interface SimulatedBrokerOptions {
  readonly scheduler: Scheduler
  readonly dice: FaultDice
  readonly streams: RandomStreams
  readonly situations: SituationBook
  readonly trace: (what: string) => void
}

interface Topic {
  readonly incarnation: string
  readonly messages: BrokerMessage[]
  readonly ends: Map<number, number>
}

/** Of one process; nothing reaches one that is gone. */
interface Follower {
  readonly clock: NodeClock
  readonly listener: FollowListener
  /** When the last message of a partition arrives: none overtakes it. */
  readonly arrivesAtMs: Map<number, number>
}

const PARTITIONS = 4
const PUBLISH_MS_MAX = 20
const BRING_MS_MAX = 40
const OUTAGE_MS_MAX = 60_000
/** Between a look at the broker and what is done upon it. */
const LOOKED_MS_MAX = 10_000

const FEATURES: BrokerFeatures = {
  engine: 'simulated',
  durability: 'process',
  unitOfOrder: 'partition',
  partitions: PARTITIONS,
  messageBytesMax: 8_388_608,
  dedupeWindowMs: 0,
  reading: 'offset',
  delayMsMax: 0,
}

/**
 * The broker of a world, which outlives its processes. It brings partitions at their own pace,
 * loses what it was to bring, does what it then reports as failed, is away, and forgets everything.
 */
export class SimulatedBroker {
  readonly #options: SimulatedBrokerOptions
  readonly #topics = new Map<string, Topic>()
  readonly #followers = new Map<string, Set<Follower>>()
  readonly #links = new Set<(state: BrokerState) => void>()
  /** Ids under which a position was published, since the last wipe. */
  #idsAt = new Map<number, Set<string>>()
  /** The same of before the last wipe. */
  #idsForgotten: ReadonlyMap<number, unknown> = new Map()
  #forgotAtMs = 0
  #logBegins = 1
  /** The log has dropped them while they could be had here: nobody can bring them back. */
  readonly #outlived = new Set<number>()
  #incarnations = 0
  #isDown = false

  constructor(options: SimulatedBrokerOptions) {
    this.#options = options
  }

  /** Draws when it is away and when it forgets. */
  plan(withinMs: number): void {
    const { dice, scheduler, streams, situations, trace } = this.#options
    const random = streams('broker')
    for (const { atMs, take } of dice.planned('brokerOutages', withinMs)) {
      scheduler.at(atMs, () => {
        if (this.#isDown || !take()) return
        situations.hit('broker-away')
        this.#setDown(true)
        scheduler.at(random.next() * OUTAGE_MS_MAX, () => this.#setDown(false))
      })
    }
    for (const { atMs, take } of dice.planned('brokerWipes', withinMs)) {
      scheduler.at(atMs, () => {
        if (!take()) return
        situations.hit('broker-wiped')
        trace('the broker forgets everything')
        this.#topics.clear()
        this.#idsForgotten = this.#idsAt
        this.#idsAt = new Map()
        this.#forgotAtMs = scheduler.nowMs
      })
    }
  }

  heal(): void {
    this.#setDown(false)
  }

  /** Told where the log begins by now. */
  logBegins(firstPosition: number): void {
    if (firstPosition === this.#logBegins) return
    this.#logBegins = firstPosition
    const isFresh = this.#options.scheduler.nowMs - this.#forgotAtMs < LOOKED_MS_MAX
    for (const ids of [this.#idsAt, isFresh ? this.#idsForgotten : undefined]) {
      for (const position of ids?.keys() ?? []) {
        if (position < firstPosition) this.#outlived.add(position)
      }
    }
  }

  /** Positions of messages that a reader of another system cannot get. */
  missing(positions: Iterable<number>): readonly number[] {
    return [...positions].filter(
      (position) => !this.#idsAt.has(position) && !this.#outlived.has(position),
    )
  }

  /** Positions that were published as more than one message: a reader could not know the repeat. */
  get ambiguous(): readonly number[] {
    return [...this.#idsAt].filter(([, ids]) => ids.size > 1).map(([position]) => position)
  }

  connect(clock: NodeClock, onState: (state: BrokerState) => void): Broker {
    const later = (state: BrokerState): void => clock.wake(1, () => onState(state))
    this.#links.add(later)
    const mine = new Set<() => void>()
    const broker: Broker = {
      features: FEATURES,
      ensure: async (channels) => {
        await this.#answer(clock)
        for (const { channel } of channels) {
          if (this.#topics.has(channel)) continue
          const incarnation = String((this.#incarnations += 1))
          this.#topics.set(channel, { incarnation, messages: [], ends: new Map() })
        }
      },
      publish: (channel, messages) => this.#publish(clock, channel, messages),
      follow: async (channel, listener) => {
        const follower = { clock, listener, arrivesAtMs: new Map<number, number>() }
        const all = this.#followers.get(channel) ?? new Set()
        this.#followers.set(channel, all.add(follower))
        const leave = (): void => void all.delete(follower)
        mine.add(leave)
        return { close: async () => leave() }
      },
      read: () => Promise.reject(unavailable('nothing is read from a simulated broker')),
      inspect: async (channel) => {
        await this.#answer(clock)
        const { incarnation, ends } = this.#topicOf(channel)
        const texts = [...ends].map(([partition, end]) => [String(partition), String(end)])
        return { incarnation, ends: Object.fromEntries(texts) }
      },
      check: async () => [],
      close: async () => {
        this.#links.delete(later)
        for (const leave of mine) leave()
      },
      [Symbol.asyncDispose]: () => broker.close(),
    }
    return broker
  }

  async #publish(
    clock: NodeClock,
    channel: string,
    messages: readonly BrokerMessage[],
  ): Promise<void> {
    const { dice, situations } = this.#options
    await this.#answer(clock)
    const topic = this.#topicOf(channel)
    const isFailing = dice.happens('brokerFails')
    const share = isFailing ? dice.random('brokerFails').next() : 1
    // Less than nothing to more than all: the ends are as likely as what lies between.
    const taken = messages.slice(0, Math.round(messages.length * (share * 2 - 0.5)))
    this.#bring(channel, isFailing ? taken : messages, topic)
    await this.#pause(clock, PUBLISH_MS_MAX)
    if (!isFailing) return
    if (taken.length === messages.length) situations.hit('published-and-reported-failed')
    throw unavailable('it did not confirm')
  }

  #bring(channel: string, messages: readonly BrokerMessage[], topic: Topic): void {
    for (const message of messages) {
      const { partition, attributes, id } = message
      const offset = topic.ends.get(partition) ?? 0
      topic.ends.set(partition, offset + 1)
      topic.messages.push(message)
      const position = Number(attributes['logposition'])
      const ids = this.#idsAt.get(position) ?? new Set()
      this.#idsAt.set(position, ids.add(id))
      const received = { ...message, offset: String(offset), headers: {} }
      for (const follower of this.#followers.get(channel) ?? []) this.#hand(follower, received)
    }
  }

  #hand(follower: Follower, message: ReceivedMessage): void {
    const { dice, scheduler, streams, situations } = this.#options
    if (dice.happens('brokerLoses')) return situations.hit('broker-lost-a-message')
    const { partition } = message
    const soonestMs = scheduler.nowMs + streams('broker/way').next() * BRING_MS_MAX
    const atMs = Math.max(soonestMs, follower.arrivesAtMs.get(partition) ?? 0)
    follower.arrivesAtMs.set(partition, atMs)
    follower.clock.wake(atMs - scheduler.nowMs, () => {
      if (!this.#isDown) follower.listener([message])
    })
  }

  async #answer(clock: NodeClock): Promise<void> {
    await this.#pause(clock, PUBLISH_MS_MAX)
    if (this.#isDown) throw unavailable('it is away')
  }

  #pause(clock: NodeClock, msMax: number): Promise<void> {
    const ms = this.#options.streams('broker/way').next() * msMax
    return new Promise((resolve) => clock.wake(ms, resolve))
  }

  #topicOf(channel: string): Topic {
    const topic = this.#topics.get(channel)
    if (!topic) throw unavailable(`there is no channel ${channel}`)
    return topic
  }

  #setDown(isDown: boolean): void {
    if (isDown === this.#isDown) return
    this.#isDown = isDown
    this.#options.trace(isDown ? 'the broker is away' : 'the broker is back')
    for (const tell of this.#links) tell({ connected: !isDown })
  }
}

const unavailable = (problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', {
    details: { engine: 'simulated', problem },
  })
