import type { ConsumerPartition } from '../consumer/index.ts'
import { JuncturaError, type Kernel, LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { Lease, Leases } from '../store/index.ts'
import {
  DUTIES_LEASE,
  type LeaseView,
  partitionLease,
  viewLeases,
  WORKER_LEASES,
} from './lease-names.ts'
import { spreadPartitions } from './spread.ts'

export interface PartitionKeeperOptions {
  readonly leases: Leases
  readonly kernel: Pick<Kernel, 'clock' | 'log'>
  readonly partitions: readonly ConsumerPartition[]
  /** Channels of brokers, where the store cannot list its leases. */
  readonly publishers?: readonly string[]
  /**
   * Brings partitions to work whose leases are held, and gives those that cannot be yet: they are
   * given back, and tried again.
   */
  readonly open: (partitions: readonly ConsumerPartition[]) => Promise<ReadonlySet<string>>
  /** Ends the work on a partition; once it resolves, nothing of it is written here any more. */
  readonly handBack: (id: string) => Promise<void>
  /** Called with each look; `self` is this process. */
  readonly looked?: (view: LeaseView, self: string) => Promise<void>
  /** This worker is the one that has the duties of the store. */
  readonly beginDuties: () => Promise<void>
  /** A lease is lost, or something could not be brought to work: the process has to begin anew. */
  readonly onFatal: (error: unknown) => void
}

/**
 * What this worker runs of a shared store. Every partition of a consumer is a lease, every worker
 * holds a number, and each decides for itself, over the leases that it sees, what it takes and what
 * it gives back (`spreadPartitions`). There is no leader, and nobody is asked.
 *
 * `waiting` for a number → `working` → `leaving` takes nothing
 * more. One whose lease is taken while it slept writes nothing more and has to be started anew.
 */
export interface PartitionKeeper {
  /** Resolves when what is this worker's now is at work. */
  start(): Promise<void>
  /** Whether this worker has the duties of the store. */
  readonly hasDuties: boolean
  view(): Promise<LeaseView>
  /** Where this process's management API is. */
  announce(url: string): Promise<void>
  /** Looks no more, and says so: others count without this worker. */
  leave(): Promise<void>
  /** Nothing of it runs any more: others may have it at once. */
  release(): Promise<void>
}

export const createPartitionKeeper = (options: PartitionKeeperOptions): PartitionKeeper =>
  new LeasedPartitions(options)

class LeasedPartitions implements PartitionKeeper {
  readonly #options: PartitionKeeperOptions
  readonly #stop = new AbortController()
  readonly #held = new Map<string, Lease>()
  /** Given back soon, by id. */
  readonly #leaving = new Map<string, Promise<void>>()
  /** Looks in a row at which nobody had it, by id. */
  readonly #freeLooks = new Map<string, number>()
  /** Taken beyond what is fair, because nobody else did, by id: until then they are not counted. */
  readonly #kept = new Map<string, number>()
  #workers = ''
  #worker: Lease | undefined
  #duties: Lease | undefined
  #hasDuties = false
  #url: string | undefined
  #loop: Promise<void> | undefined
  #saidStandby = false
  /** What is held is not at work, or not yet. */
  #isStuck = false

  constructor(options: PartitionKeeperOptions) {
    this.#options = options
  }

  get hasDuties(): boolean {
    return this.#hasDuties
  }

  async start(): Promise<void> {
    await this.#look()
    this.#loop = this.#run()
  }

  view(): Promise<LeaseView> {
    const { leases, partitions } = this.#options
    const { publishers = [] } = this.#options
    return viewLeases(leases, { partitions: partitions.map(({ id }) => id), publishers })
  }

  async announce(url: string): Promise<void> {
    this.#url = url
    await this.#worker?.announce(url)
  }

  async leave(): Promise<void> {
    this.#stop.abort()
    await this.#loop
    await Promise.all(this.#leaving.values())
    await this.#worker?.release()
  }

  async release(): Promise<void> {
    const all = [this.#duties, ...this.#held.values()]
    await Promise.all(all.map(async (lease) => lease?.release()))
  }

  async #run(): Promise<void> {
    const { kernel, onFatal } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      await sleep(kernel.clock, LIMITS.leasePollMs, signal)
      if (signal.aborted) return
      try {
        await this.#look()
      } catch (error) {
        if (this.#isStuck) return onFatal(error)
        const problem = messageOf(error)
        kernel.log.warn({ problem }, 'the leases could not be looked at; trying again')
      }
    }
  }

  /** One look at the leases, and what follows from it. */
  async #look(): Promise<void> {
    let view = await this.view()
    if (!this.#worker) {
      this.#worker = await this.#takeNumber(view)
      if (!this.#worker) return this.#sayStandby(`${LIMITS.workersMax} workers share the store`)
      view = await this.view()
    }
    const move = this.#moveOf(view, this.#worker)
    for (const id of move.giveBack) this.#leaving.set(id, this.#giveBack(id))
    const wanted = this.#options.partitions.filter(({ id }) => move.take.includes(id))
    // Bounded by LIMITS.partitionsMax of each consumer, and by the connections that read.
    const tried = await Promise.all(wanted.map((partition) => this.#takePartition(partition)))
    const taken = tried.filter((partition) => partition !== undefined)
    if (taken.length > 0) await this.#open(taken)
    await this.#options.looked?.(view, view.all.get(this.#worker.name)?.owner ?? '')
    if (view.duties || this.#duties) return
    this.#duties = await this.#take(DUTIES_LEASE)
    if (!this.#duties) return
    await this.#atWork(() => this.#options.beginDuties())
    this.#hasDuties = true
  }

  async #takePartition(partition: ConsumerPartition): Promise<ConsumerPartition | undefined> {
    try {
      const lease = await this.#take(partitionLease(partition.id))
      if (!lease) return undefined
      this.#held.set(partition.id, lease)
      return partition
    } catch (error) {
      // The others are held by then, and have to be brought to work.
      const fields = { partition: partition.id, problem: messageOf(error) }
      this.#options.kernel.log.warn(fields, 'a partition could not be taken; trying again')
      return undefined
    }
  }

  async #open(taken: readonly ConsumerPartition[]): Promise<void> {
    let notYet: ReadonlySet<string> = new Set()
    // Held and not at work: whoever holds a lease and does nothing is worse than one who dies.
    await this.#atWork(async () => {
      notYet = await this.#options.open(taken)
    })
    for (const id of notYet) {
      await this.#release(id)
      this.#freeLooks.delete(id)
    }
    const ids = taken.map(({ id }) => id).filter((id) => !notYet.has(id))
    if (ids.length === 0) return
    this.#options.kernel.log.info({ partitions: ids.join(', ') }, 'this worker runs these now')
  }

  #moveOf(view: LeaseView, worker: Lease): ReturnType<typeof spreadPartitions> {
    const self = view.all.get(worker.name)?.owner ?? ''
    const holders = new Map<string, string>()
    for (const [id, { owner }] of view.partitions) {
      holders.set(id, this.#leaving.has(id) ? '' : owner)
    }
    for (const id of this.#held.keys()) if (!this.#leaving.has(id)) holders.set(id, self)
    const partitions = this.#options.partitions.map(({ id, consumer }) => ({
      id,
      consumer: consumer.name,
    }))
    const workers = [...view.workers.keys()]
    this.#forgetKept(workers)
    const counted = partitions.filter(({ id }) => !this.#kept.has(id))
    const move = spreadPartitions({ partitions: counted, holders, workers, self })
    const unwanted = this.#unwantedOf(holders).filter((id) => !move.take.includes(id))
    const keptUntilMs = this.#options.kernel.clock.monotonicMs() + LIMITS.leaseKeptMs
    for (const id of unwanted) this.#kept.set(id, keptUntilMs)
    return { ...move, take: [...move.take, ...unwanted] }
  }

  /** Others may have come who want them, or be able to by now. */
  #forgetKept(workers: readonly string[]): void {
    const names = workers.toSorted().join('\n')
    if (names !== this.#workers) this.#kept.clear()
    this.#workers = names
    const nowMs = this.#options.kernel.clock.monotonicMs()
    for (const [id, untilMs] of this.#kept) {
      if (untilMs <= nowMs || !this.#held.has(id)) this.#kept.delete(id)
    }
  }

  /** Those that were left to others for long enough, and nobody took. */
  #unwantedOf(holders: ReadonlyMap<string, string>): readonly string[] {
    const unwanted: string[] = []
    for (const { id } of this.#options.partitions) {
      const looks = holders.has(id) ? 0 : (this.#freeLooks.get(id) ?? 0) + 1
      this.#freeLooks.set(id, looks)
      if (looks > LIMITS.leaseFreeLooksMax) unwanted.push(id)
    }
    return unwanted
  }

  async #giveBack(id: string): Promise<void> {
    const { handBack, kernel, onFatal } = this.#options
    try {
      await handBack(id)
      await this.#release(id)
      kernel.log.info({ partition: id }, 'another worker may have this partition')
    } catch (error) {
      onFatal(error)
    } finally {
      this.#leaving.delete(id)
    }
  }

  async #release(id: string): Promise<void> {
    const lease = this.#held.get(id)
    this.#held.delete(id)
    await lease?.release()
  }

  async #takeNumber({ all }: LeaseView): Promise<Lease | undefined> {
    for (const name of WORKER_LEASES) {
      const lease = all.has(name) ? undefined : await this.#take(name)
      if (!lease) continue
      if (this.#url !== undefined) await lease.announce(this.#url)
      return lease
    }
    return undefined
  }

  async #take(name: string): Promise<Lease | undefined> {
    // Whoever may run something wants to hear of what others append.
    const lease = await this.#options.leases.take({ name, listens: true })
    void lease?.lost.then(() => {
      if (this.#stop.signal.aborted) return
      const details = { store: name }
      this.#options.onFatal(new JuncturaError('JUNCTURA_STORE_FENCED', { details }))
    })
    return lease
  }

  async #atWork(work: () => Promise<void>): Promise<void> {
    this.#isStuck = true
    await work()
    this.#isStuck = false
  }

  #sayStandby(why: string): void {
    if (this.#saidStandby) return
    this.#saidStandby = true
    this.#options.kernel.log.info({ why }, 'standing by')
  }
}
