import { JuncturaError, type Random } from '../../kernel/index.ts'
import { createMemoryStore, type MemoryDisk, type Store } from '../../store/index.ts'
import type { FaultDice } from './fault-dice.ts'
import { LeaseBook } from './lease-book.ts'
import { createNodeClock } from './node-clock.ts'
import type { RandomStreams } from './random-streams.ts'
import type { Scheduler } from './scheduler.ts'
import { openSharedStore, type SharedStoreHost } from './shared-store.ts'
import type { SituationBook } from './situations.ts'

export interface SharedServerOptions {
  readonly scheduler: Scheduler
  readonly dice: FaultDice
  readonly streams: RandomStreams
  readonly situations: SituationBook
  readonly disk: MemoryDisk
  readonly partitionBytesMax: number
  readonly trace: (what: string) => void
  readonly onTaken: (taken: TakenLease) => void
}

/** A process has taken a lease from another one, or from nobody. */
export interface TakenLease {
  readonly name: string
  readonly node: number
  readonly before: number | undefined
  readonly isGivenBack: boolean
}

const AWAY_MS_MAX = 15_000

/**
 * One store that several processes share, as they share a PostgreSQL: it orders commits, keeps the
 * leases by its own clock, and outlives the processes. A commit of who has lost a lease is refused
 * in the same step that would have made it.
 */
export class SharedServer {
  readonly leases: LeaseBook
  readonly store: Store
  readonly #options: SharedServerOptions
  readonly #listeners = new Map<number, Set<(head: number) => void>>()
  #tail: Promise<unknown> = Promise.resolve()
  #author: number | undefined
  #awaySinceMs: number | undefined
  #backSinceMs = 0

  constructor(options: SharedServerOptions) {
    this.#options = options
    const { scheduler, streams, disk, partitionBytesMax } = options
    const random: Random = streams('server')
    const clock = createNodeClock(scheduler, () => random.next())
    this.leases = new LeaseBook(() => scheduler.nowMs)
    this.store = createMemoryStore({ clock, random, disk, partitionBytesMax })
  }

  /** The process whose commit is being applied now. */
  get author(): number | undefined {
    return this.#author
  }

  /** Up since this moment; undefined while it is away. */
  get upSinceMs(): number | undefined {
    return this.#awaySinceMs === undefined ? this.#backSinceMs : undefined
  }

  plan(withinMs: number): void {
    const { dice, scheduler, streams } = this.#options
    const random = streams('server/away')
    for (const { atMs, take } of dice.planned('storeOutages', withinMs)) {
      scheduler.at(atMs, () => {
        if (this.#awaySinceMs !== undefined || !take()) return
        this.#awaySinceMs = scheduler.nowMs
        this.#options.trace('the shared store is away')
        scheduler.at(random.next() * AWAY_MS_MAX, () => this.heal())
      })
    }
  }

  heal(): void {
    if (this.#awaySinceMs === undefined) return
    const { scheduler, trace } = this.#options
    this.#awaySinceMs = undefined
    this.#backSinceMs = scheduler.nowMs
    trace('the shared store is back')
  }

  connect(host: SharedStoreHost): Store {
    const { dice, streams, situations } = this.#options
    return openSharedStore(this, { dice, streams, situations, ...host })
  }

  /** @throws JUNCTURA_STORE_FAILED while it is away. */
  mustBeUp(): void {
    if (this.#awaySinceMs === undefined) return
    throw new JuncturaError('JUNCTURA_STORE_FAILED', { details: { problem: 'it is away' } })
  }

  /** One at a time, in the name of a process. */
  exclusive<T>(node: number, work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(async () => {
      this.#author = node
      try {
        return await work()
      } finally {
        this.#author = undefined
      }
    })
    this.#tail = result.catch(() => undefined)
    return result
  }

  take(name: string, node: number, leaseMs: number): number | undefined {
    const before = this.leases.record(name)
    const epoch = this.leases.take(name, { node, leaseMs })
    if (epoch === undefined) return undefined
    const isGivenBack = before?.isGivenBack === true
    this.#options.trace(`node ${node} takes ${name} as ${epoch}`)
    this.#options.onTaken({ name, node, before: before?.node, isGivenBack })
    return epoch
  }

  /** Tells a process what others append. */
  listen(node: number, listener: (head: number) => void): () => void {
    const all = this.#listeners.get(node) ?? new Set()
    this.#listeners.set(node, all.add(listener))
    return () => void all.delete(listener)
  }

  tell(author: number, head: number): void {
    for (const [node, listeners] of this.#listeners) {
      if (node === author) continue
      for (const listener of listeners) listener(head)
    }
  }
}
