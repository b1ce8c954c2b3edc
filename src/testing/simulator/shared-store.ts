import { JuncturaError, LIMITS, type Timer } from '../../kernel/index.ts'
import {
  type Lease,
  type LeaseHolder,
  type LeaseRequest,
  MEMORY_FEATURES,
  type Store,
  type StoreNews,
  type StoreWatch,
} from '../../store/index.ts'
import type { FaultDice } from './fault-dice.ts'
import type { NodeClock } from './node-clock.ts'
import type { RandomStreams } from './random-streams.ts'
import type { SharedServer } from './shared-server.ts'
import type { SituationBook } from './situations.ts'

/** The process behind a connection. */
export interface SharedStoreHost {
  readonly node: number
  readonly clock: NodeClock
  /** Whether a partner waits for an answer of it. */
  readonly isServing: () => boolean
  readonly die: () => void
  readonly freeze: () => void
}

interface Parts extends SharedStoreHost {
  readonly dice: FaultDice
  readonly streams: RandomStreams
  readonly situations: SituationBook
}

const WAY_MS_MAX = 0.5
const SLOW_MS_MAX = 4_000
const NEWS_MS_MAX = 20
const LOOK_MS = 1_000

/**
 * A process's connections to the shared store. What it sends may fail on the way, be done without
 * an answer, and wait for as long as the process sleeps.
 */
export const openSharedStore = (server: SharedServer, parts: Parts): Store =>
  new Connection(server, parts).store()

class Connection {
  readonly #server: SharedServer
  readonly #parts: Parts
  /** Leases by name and the epoch of this process. */
  readonly #held = new Map<string, number>()
  readonly #releases: (() => Promise<void>)[] = []
  #isClosed = false

  constructor(server: SharedServer, parts: Parts) {
    this.#server = server
    this.#parts = parts
  }

  store(): Store {
    const { store } = this.#server
    const { node } = this.#parts
    const alone = <T>(work: () => Promise<T>): Promise<T> =>
      this.#ask(() => this.#server.exclusive(node, work))
    const shared: Store = {
      features: { ...MEMORY_FEATURES, multiProcess: true },
      commit: (units, finish) => this.#commit(() => store.commit(units, finish)),
      readLog: (query) => this.#read(() => store.readLog(query)),
      readLogBackwards: (query) => this.#read(() => store.readLogBackwards(query)),
      recordAt: (position) => this.#read(() => store.recordAt(position)),
      headPosition: () => this.#read(() => store.headPosition()),
      claimedPosition: (scope, key) => this.#read(() => store.claimedPosition(scope, key)),
      row: (collection, key) => this.#read(() => store.row(collection, key)),
      scan: (query) => this.#read(() => store.scan(query)),
      count: (query) => this.#read(() => store.count(query)),
      partitions: () => this.#read(() => store.partitions()),
      sizeBytes: () => this.#read(() => store.sizeBytes()),
      check: () => this.#read(() => store.check()),
      dropPartition: (id) => alone(() => store.dropPartition(id)),
      expireClaims: (nowMs) => alone(() => store.expireClaims(nowMs)),
      migrate: (tables) => alone(() => store.migrate(tables)),
      leases: {
        take: (request) => this.#take(request),
        holder: async (name) => (await this.#holders()).get(name),
        list: () => this.#holders(),
      },
      watch: (onNews) => this.#watch(onNews),
      close: async () => {
        if (this.#isClosed) return
        for (const release of this.#releases) await release()
        this.#isClosed = true
      },
      [Symbol.asyncDispose]: () => shared.close(),
    }
    return shared
  }

  async #commit<T>(commit: () => Promise<T>): Promise<T> {
    const { node, clock, dice, situations, isServing, die, freeze } = this.#parts
    this.#mustBeOpen()
    if (dice.happens('crashBeforeCommit')) {
      if (isServing()) situations.hit('crash-before-commit')
      return gone(die)
    }
    if (dice.happens('pausesInSync')) freeze()
    await this.#way(dice.happens('slowDisk') ? SLOW_MS_MAX : WAY_MS_MAX)
    if (dice.happens('commitFails')) throw storeFailed('the connection is gone')
    this.#server.mustBeUp()
    const before = await this.#server.store.headPosition()
    const result = await this.#server.exclusive(node, async () => {
      for (const [name, epoch] of this.#held) {
        if (this.#server.leases.isCurrent(name, epoch)) continue
        situations.hit('stale-epoch-refused')
        throw new JuncturaError('JUNCTURA_STORE_FENCED', { details: { store: name } })
      }
      return commit()
    })
    const head = await this.#server.store.headPosition()
    if (head > before) this.#server.tell(node, head)
    if (dice.happens('crashAfterCommit')) {
      if (isServing()) situations.hit('crash-after-commit')
      return gone(die)
    }
    if (dice.happens('pausesInSync')) freeze()
    // From now on it is there, whatever this process hears of it.
    await new Promise<void>((resolve) => clock.wake(0, resolve))
    if (!dice.happens('commitLies')) return result
    const details = { problem: 'the answer to a commit was lost' }
    throw new JuncturaError('JUNCTURA_STORE_UNKNOWN', { details })
  }

  async #read<T>(read: () => Promise<T>): Promise<T> {
    const { dice } = this.#parts
    this.#mustBeOpen()
    if (dice.happens('slowRead')) await this.#way(10 * WAY_MS_MAX)
    if (dice.happens('readFails')) throw storeFailed('the connection is gone')
    this.#server.mustBeUp()
    return read()
  }

  async #ask<T>(run: () => Promise<T>): Promise<T> {
    this.#mustBeOpen()
    await this.#way(WAY_MS_MAX)
    this.#server.mustBeUp()
    return run()
  }

  async #take({ name }: LeaseRequest): Promise<Lease | undefined> {
    const { node } = this.#parts
    const leaseMs = LIMITS.leaseMs
    const epoch = await this.#ask(() =>
      this.#server.exclusive(node, async () => this.#server.take(name, node, leaseMs)),
    )
    if (epoch === undefined) return undefined
    this.#held.set(name, epoch)
    await this.#way(WAY_MS_MAX)
    return this.#hold(name, epoch)
  }

  /** Renews it until it is lost or given back. */
  #hold(name: string, epoch: number): Lease {
    const { clock } = this.#parts
    const { leases } = this.#server
    let timer: Timer | undefined
    let isOver = false
    let tellLost = (): void => undefined
    const lost = new Promise<void>((resolve) => {
      tellLost = resolve
    })
    const renew = async (): Promise<void> => {
      // While the store is away, the next renewal finds out whether it was lost meanwhile.
      const isMine = await this.#ask(async () => leases.renew(name, epoch, LIMITS.leaseMs)).catch(
        () => true,
      )
      if (isOver) return
      if (isMine) return arm()
      isOver = true
      tellLost()
    }
    const arm = (): void => {
      timer = clock.setTimer(LIMITS.leaseMs / LIMITS.leaseRenewals, () => void renew())
    }
    const release = async (): Promise<void> => {
      if (isOver) return
      isOver = true
      timer?.cancel()
      await this.#ask(async () => leases.release(name, epoch)).catch(() => undefined)
      this.#held.delete(name)
    }
    arm()
    this.#releases.push(release)
    return {
      name,
      epoch,
      lost,
      announce: (url) => this.#ask(async () => leases.announce(name, epoch, url)),
      release,
    }
  }

  #holders(): Promise<ReadonlyMap<string, LeaseHolder>> {
    return this.#ask(async () => {
      const all = [...this.#server.leases.held()]
      return new Map(
        all.map(([name, { node, epoch, url }]) => [
          name,
          { owner: `node ${node}`, epoch, ...(url !== undefined && { url }) },
        ]),
      )
    })
  }

  /** Told by the store, most of the time, and looking now and then. */
  async #watch(onNews: (news: StoreNews) => void): Promise<StoreWatch> {
    const { node, clock, dice, streams } = this.#parts
    let isOver = false
    let timer: Timer | undefined
    const leave = this.#server.listen(node, (head) => {
      if (dice.happens('newsLost')) return
      clock.wake(streams('news').next() * NEWS_MS_MAX, () => {
        if (!isOver) onNews({ head })
      })
    })
    const look = (): void => {
      timer = clock.setTimer(LOOK_MS, () => {
        this.#read(() => this.#server.store.headPosition()).then(
          (head) => {
            if (!isOver) onNews({ head })
          },
          () => undefined,
        )
        if (!isOver) look()
      })
    }
    look()
    return {
      mode: 'listen',
      async close() {
        isOver = true
        leave()
        timer?.cancel()
      },
    }
  }

  #way(msMax: number): Promise<void> {
    const { clock, streams } = this.#parts
    const ms = streams('server/way').next() * msMax
    return new Promise((resolve) => clock.wake(ms, resolve))
  }

  #mustBeOpen(): void {
    if (this.#isClosed)
      throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The store' } })
  }
}

const gone = (die: () => void): Promise<never> => {
  die()
  return new Promise(() => undefined)
}

const storeFailed = (problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_FAILED', { details: { problem } })
