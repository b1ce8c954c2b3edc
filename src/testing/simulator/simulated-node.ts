import type { Consumer, ConsumerContext, Integration } from '../../contract/index.ts'
import { createIds, JuncturaError, type Kernel, silentLogger, sleep } from '../../kernel/index.ts'
import { createRuntime, type Runtime } from '../../runtime/index.ts'
import { createMemoryStore, type MemoryDisk } from '../../store/index.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import type { Faults } from './fates.ts'
import { createNodeClock, type NodeClock } from './node-clock.ts'
import type { RandomStreams } from './random-streams.ts'

export interface NodeOptions {
  readonly integration: Integration
  readonly clock: VirtualClock
  readonly disk: MemoryDisk
  readonly streams: RandomStreams
  readonly env: Readonly<Record<string, string>>
  /** Read at each chance, so that faults can end while the node runs. */
  readonly faults: () => Faults
  /** Told of each fault that happened, by name. */
  readonly onFault: (name: keyof Faults) => void
  /** Called when the node is gone, for whatever reason. */
  readonly onGone: () => void
}

/** One process: a runtime on the disk, which may die at any of the points a real one can. */
export interface SimulatedNode {
  readonly runtime: Runtime | undefined
  crash(): void
}

const SLOW_MS_MAX = 5_000

/** What a handler of a user, or a disk, would throw: an ordinary error, with no code of ours. */
class SimulatedFault extends Error {
  override readonly name: string = 'SimulatedFault'
}

export const startNode = (options: NodeOptions): SimulatedNode => {
  const node = new Node(options)
  void node.boot()
  return node
}

class Node implements SimulatedNode {
  readonly #options: NodeOptions
  readonly #clock: NodeClock
  runtime: Runtime | undefined
  #dead = false

  constructor(options: NodeOptions) {
    this.#options = options
    this.#clock = createNodeClock(options.clock)
  }

  crash(): void {
    if (this.#dead) return
    this.#dead = true
    this.runtime = undefined
    this.#clock.kill()
    this.#options.disk.crash()
    this.#options.onGone()
  }

  async boot(): Promise<void> {
    const { streams, disk, integration, env } = this.#options
    const random = streams('node')
    const clock = this.#clock
    const kernel: Kernel = {
      clock,
      random,
      ids: createIds(clock, random),
      log: silentLogger,
      env: (name) => env[name],
      files: { read: () => Promise.reject(new Error('a simulated node has no files')) },
    }
    try {
      const store = createMemoryStore({
        clock,
        random,
        disk,
        fault: (point) => this.#storeFate(point),
      })
      const runtime = await createRuntime(
        { ...integration, consumers: integration.consumers.map((one) => this.#wrap(one)) },
        { kernel, store, send: () => Promise.resolve(), onFatal: () => this.crash() },
      )
      if (!this.#dead) this.runtime = runtime
    } catch {
      // A fault hit the start itself: the supervisor starts another process.
      this.crash()
    }
  }

  #happens(name: keyof Faults, stream: string): boolean {
    const chance = this.#options.faults()[name]
    if (chance <= 0 || this.#options.streams(stream).next() >= chance) return false
    this.#options.onFault(name)
    return true
  }

  async #storeFate(point: 'before-commit' | 'after-commit' | 'read'): Promise<void> {
    if (point === 'read') return
    if (point === 'before-commit') {
      if (this.#happens('slowDisk', 'disk')) {
        const ms = this.#options.streams('disk').next() * SLOW_MS_MAX
        await sleep(this.#clock, ms)
      }
      if (this.#happens('crashBeforeCommit', 'disk')) return this.#die()
      if (this.#happens('commitFails', 'disk')) {
        throw new JuncturaError('JUNCTURA_STORE_FAILED', { details: { problem: 'simulated' } })
      }
      return
    }
    if (this.#happens('crashAfterCommit', 'disk')) return this.#die()
    if (this.#happens('commitLies', 'disk'))
      throw new SimulatedFault('executed and reported as failed')
  }

  #die(): Promise<never> {
    this.crash()
    return new Promise(() => undefined)
  }

  /** The user's handler, with fates around it and a ledger entry inside its transaction. */
  #wrap(consumer: Consumer): Consumer {
    const stream = `handler/${consumer.name}`
    const handle = async (data: unknown, context: ConsumerContext): Promise<void> => {
      if (this.#happens('handlerCrashes', stream)) return this.#die()
      if (this.#happens('handlerHangs', stream)) await new Promise(() => undefined)
      if (this.#happens('handlerThrows', stream)) throw new SimulatedFault('the handler throws')
      await consumer.handle(data, { ...context, ...ledgerTx(consumer, context) })
      if (this.#happens('handlerThrowsLate', stream))
        throw new SimulatedFault('the handler throws late')
    }
    return { ...consumer, handle }
  }
}

/** Every transaction of a handler also notes that it happened: the oracle of exactly once. */
const ledgerTx = (consumer: Consumer, context: ConsumerContext): Pick<ConsumerContext, 'tx'> => ({
  tx: (callback) =>
    context.tx(async (db) => {
      const result = await callback(db)
      const { id, key, position } = context.message
      await db.run(
        'insert into simulated_effects(consumer, message_id, lane, position) values ($1, $2, $3, $4)',
        consumer.name,
        id,
        key,
        position,
      )
      return result
    }),
})
