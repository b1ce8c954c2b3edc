import { JuncturaError, type Kernel, LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { Committer, Lease, Leases } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'
import { type BrokerLink, channelId } from './broker-link.ts'
import { type LeaseView, publishLease, RELAY_LEASES, viewLeases } from './lease-names.ts'
import { spreadPartitions } from './spread.ts'

export interface PublisherOptions {
  readonly leases: Leases
  readonly kernel: Pick<Kernel, 'clock' | 'log'>
  readonly committer: Committer
  readonly alerts: AlertBook
  /** Every broker that is given something. */
  readonly links: readonly BrokerLink[]
  /** A lease is lost, or what is held cannot be published: the process has to begin anew. */
  readonly onFatal: (error: unknown) => void
}

/**
 * Which channels this process publishes to which brokers, on a store that several share. Each
 * channel of each broker is a lease, so one process publishes it at a time, and whoever takes it
 * over begins at the place that was kept: what lies between is published again, as a repeat.
 *
 * They are spread as partitions are. Processes that only relay have them all while one lives; else
 * the workers do. What nobody of those takes is published by whoever sees that, in the end.
 */
export interface Publisher {
  /** One look at the leases, and what follows from it; `self` is this process in them. */
  look(view: LeaseView, self: string): Promise<void>
  /** Takes nothing more, and gives everything back with its place. Idempotent. */
  close(): Promise<void>
}

export const createPublisher = (options: PublisherOptions): Publisher => new Publishing(options)

interface Channel {
  readonly id: string
  readonly link: BrokerLink
  readonly channel: string
}

class Publishing implements Publisher {
  readonly #options: PublisherOptions
  readonly #all: readonly Channel[]
  readonly #held = new Map<string, Lease>()
  /** Given back soon, by id. */
  readonly #leaving = new Map<string, Promise<void>>()
  /** Looks in a row at which nobody had it, by id. */
  readonly #freeLooks = new Map<string, number>()
  /** Taken because nobody else did, by id: not given back before this moment. */
  readonly #kept = new Map<string, number>()
  #isStarted = false
  #isClosed = false
  #notedMs = 0

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#all = options.links.flatMap((link) =>
      link.channels.map((channel) => ({ id: channelId(link, channel), link, channel })),
    )
  }

  async look(view: LeaseView, self: string): Promise<void> {
    if (this.#isClosed || this.#all.length === 0) return
    const { take, giveBack } = this.#moveOf(view, self)
    for (const id of giveBack) {
      const channel = this.#all.find((one) => one.id === id)
      if (channel) this.#leaving.set(id, this.#giveBack(channel))
    }
    for (const channel of this.#all) if (take.includes(channel.id)) await this.#take(channel)
    this.#isStarted = true
    await this.#note()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#leaving.values())
    const held = this.#all.filter(({ id }) => this.#held.has(id))
    await Promise.all(held.map((channel) => this.#giveBack(channel)))
  }

  #moveOf(view: LeaseView, self: string): ReturnType<typeof spreadPartitions> {
    const holders = new Map<string, string>()
    for (const [id, { owner }] of view.publishers) {
      holders.set(id, this.#leaving.has(id) ? '' : owner)
    }
    for (const id of this.#held.keys()) if (!this.#leaving.has(id)) holders.set(id, self)
    const candidates = [...(view.relays.size > 0 ? view.relays : view.workers).keys()]
    const unwanted = this.#unwantedOf(holders)
    const counted = this.#all.filter(({ id }) => !this.#kept.has(id))
    const move = candidates.includes(self)
      ? spreadPartitions({
          partitions: counted.map(({ id, link }) => ({ id, consumer: link.name })),
          holders,
          workers: candidates,
          self,
        })
      : { take: [], giveBack: counted.map(({ id }) => id).filter((id) => this.#isOwn(id)) }
    return { ...move, take: [...new Set([...move.take, ...unwanted])] }
  }

  #isOwn(id: string): boolean {
    return this.#held.has(id) && !this.#leaving.has(id)
  }

  /** Those that were left to others for long enough, and nobody took: of another version, say. */
  #unwantedOf(holders: ReadonlyMap<string, string>): readonly string[] {
    const nowMs = this.#options.kernel.clock.monotonicMs()
    for (const [id, untilMs] of this.#kept) {
      if (untilMs <= nowMs || !this.#held.has(id)) this.#kept.delete(id)
    }
    const unwanted: string[] = []
    for (const { id } of this.#all) {
      const looks = holders.has(id) ? 0 : (this.#freeLooks.get(id) ?? 0) + 1
      this.#freeLooks.set(id, looks)
      if (looks <= LIMITS.leaseFreeLooksMax) continue
      unwanted.push(id)
      this.#kept.set(id, nowMs + LIMITS.leaseKeptMs)
    }
    return unwanted
  }

  async #take({ id, link, channel }: Channel): Promise<void> {
    const { committer, alerts, kernel, onFatal } = this.#options
    const lease = await this.#lease(id)
    if (!lease) return
    this.#held.set(id, lease)
    try {
      await link.start({ committer, alerts })
      await link.publish(channel)
      kernel.log.info({ broker: link.name, channel }, 'this process publishes the channel now')
    } catch (error) {
      // Held and not published: whoever holds a lease and does nothing is worse than one who dies.
      if (this.#isStarted) onFatal(error)
      throw error
    }
  }

  async #lease(id: string): Promise<Lease | undefined> {
    const { leases, kernel } = this.#options
    try {
      // Whoever publishes wants to hear of what others append.
      const lease = await leases.take({ name: publishLease(id), listens: true })
      void lease?.lost.then(() => this.#fenced(publishLease(id)))
      return lease
    } catch (error) {
      const fields = { channel: id, problem: messageOf(error) }
      kernel.log.warn(fields, 'a channel could not be taken; trying again')
      return undefined
    }
  }

  #fenced(name: string): void {
    if (this.#isClosed) return
    this.#options.onFatal(new JuncturaError('JUNCTURA_STORE_FENCED', { details: { store: name } }))
  }

  async #giveBack({ id, link, channel }: Channel): Promise<void> {
    const lease = this.#held.get(id)
    if (!lease) return
    try {
      await link.giveBack(channel)
      this.#held.delete(id)
      await lease.release()
    } catch (error) {
      const fields = { channel: id, problem: messageOf(error) }
      this.#options.kernel.log.warn(fields, 'a channel could not be given back in order')
      // Its lease runs out, or goes with the process; whoever has it next publishes a little again.
      if (!this.#isClosed) this.#options.onFatal(error)
    } finally {
      this.#leaving.delete(id)
    }
  }

  /** Also of channels that are quiet: retention asks how far they are. */
  async #note(): Promise<void> {
    const { kernel, links } = this.#options
    const nowMs = kernel.clock.monotonicMs()
    if (nowMs - this.#notedMs < LIMITS.progressNoteMs) return
    this.#notedMs = nowMs
    for (const link of links) await link.note()
  }
}

/** Looks at the leases in a process that relays and does not work. */
export interface RelayKeeper {
  start(): Promise<void>
  /** Where this process's management API is. */
  announce(url: string): Promise<void>
  close(): Promise<void>
}

/** As a worker has a number, so has a process that only relays: others see that it lives. */
export const createRelayKeeper = (
  options: Pick<PublisherOptions, 'leases' | 'kernel' | 'onFatal'> & {
    readonly publisher: Publisher
    /** Where the store cannot list its leases. */
    readonly publishers: readonly string[]
  },
): RelayKeeper => {
  const { leases, kernel, publisher, publishers, onFatal } = options
  const stop = new AbortController()
  let number: Lease | undefined
  let url: string | undefined
  let loop: Promise<void> | undefined

  const takeNumber = async (view: LeaseView): Promise<Lease | undefined> => {
    for (const name of RELAY_LEASES) {
      const lease = view.all.has(name) ? undefined : await leases.take({ name, listens: true })
      if (!lease) continue
      void lease.lost.then(() => {
        const details = { store: name }
        if (!stop.signal.aborted) onFatal(new JuncturaError('JUNCTURA_STORE_FENCED', { details }))
      })
      if (url !== undefined) await lease.announce(url)
      return lease
    }
    return undefined
  }

  const look = async (): Promise<void> => {
    const view = (): Promise<LeaseView> => viewLeases(leases, { partitions: [], publishers })
    number ??= await takeNumber(await view())
    if (!number) return
    const now = await view()
    const self = now.all.get(number.name)?.owner
    if (self !== undefined) await publisher.look(now, self)
  }

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(kernel.clock, LIMITS.leasePollMs, stop.signal)
      if (stop.signal.aborted) return
      await look().catch((error: unknown) => {
        const problem = messageOf(error)
        kernel.log.warn({ problem }, 'the leases could not be looked at; trying again')
      })
    }
  }

  return {
    async start() {
      await look()
      loop = run()
    },
    async announce(managementUrl) {
      url = managementUrl
      await number?.announce(managementUrl)
    },
    async close() {
      stop.abort()
      await loop
      await publisher.close()
      await number?.release()
    },
  }
}
