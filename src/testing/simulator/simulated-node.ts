import { type Consumer, type Integration, storeRecords } from '../../contract/index.ts'
import { createIds, isJuncturaError, type Kernel, silentLogger } from '../../kernel/index.ts'
import { createRuntime, type Runtime } from '../../runtime/index.ts'
import type { Store } from '../../store/index.ts'
import type { OutboxReader } from '../../outbox/index.ts'
import type { Broker } from '../../transport/index.ts'
import type { FaultDice } from './fault-dice.ts'
import { instrumentConsumer } from './instrument-consumer.ts'
import type { LanePlace } from './lease-book.ts'
import { createNodeClock, type NodeClock } from './node-clock.ts'
import type { WorldObserver } from './observer.ts'
import type { RandomStreams } from './random-streams.ts'
import type { Scheduler } from './scheduler.ts'
import { SimulatedFault } from './simulated-fault.ts'
import type { SimulatedBroker } from './simulated-broker.ts'
import type { SimulatedOutboxes } from './simulated-outboxes.ts'
import type { StoreHost } from './sole-store.ts'

/** What a test of the simulator itself may put in the runtime's way. Not for users. */
export interface Tamper {
  readonly integration?: (integration: Integration) => Integration
  /** `open` gives another connection of the same process, which holds no lease. */
  readonly store?: (store: Store, open: () => Store) => Store
  readonly broker?: (broker: Broker) => Broker
  readonly outbox?: (reader: OutboxReader) => OutboxReader
}

export interface NodeOptions {
  readonly number: number
  readonly integration: Integration
  readonly scheduler: Scheduler
  readonly openStore: (host: StoreHost) => Store
  readonly streams: RandomStreams
  readonly dice: FaultDice
  readonly observer: WorldObserver
  /** Where this world has one. */
  readonly broker: SimulatedBroker | undefined
  readonly outboxes: SimulatedOutboxes
  readonly env: Readonly<Record<string, string>>
  readonly isKiller: (consumer: string, position: number) => boolean
  /** Whether what this process does counts: another one may have its place. */
  readonly isCurrent: (node: number, place: LanePlace) => boolean
  /** Called when the node is gone, for whatever reason; `error` when it could not start. */
  readonly onGone: (node: SimulatedNode, error: unknown) => void
  /** The process stands still that long. */
  readonly onBlocked: (node: SimulatedNode, ms: number) => void
  /** The process stands still for as long as it likes. */
  readonly onFrozen: (node: SimulatedNode) => void
  readonly onReady: (node: SimulatedNode) => void
  readonly tamper: Tamper
}

const NOTIFY_MS_MAX = 2_000

/**
 * One process: a runtime on the disk, which may die at any of the points a real one can.
 *
 * `starting` → `running` → `stopping` when it is stopped in order; `dead` from any of them. Beside
 * it, it may be paused, and it may have lost the disk to another process; then it is a zombie.
 */
export class SimulatedNode {
  readonly number: number
  readonly clock: NodeClock
  runtime: Runtime | undefined
  mode: 'starting' | 'running' | 'stopping' | 'dead' = 'starting'
  /** Another process has the disk. */
  isZombie = false
  readonly #options: NodeOptions

  constructor(options: NodeOptions) {
    this.#options = options
    this.number = options.number
    const random = options.streams('turns')
    this.clock = createNodeClock(options.scheduler, () => random.next())
    void this.#boot()
  }

  /** The process is gone; what it had not made durable is, too. */
  die(error?: unknown): void {
    if (this.mode === 'dead') return
    this.mode = 'dead'
    this.runtime = undefined
    this.clock.kill()
    this.#options.onGone(this, error)
  }

  /** Stops in order: what runs may finish within the grace. */
  async stop(): Promise<void> {
    const { runtime } = this
    if (this.mode !== 'running' || !runtime) return
    this.mode = 'stopping'
    await runtime.close()
    this.die()
  }

  async #boot(): Promise<void> {
    const { streams, integration, env, tamper, broker, outboxes, openStore } = this.#options
    const { clock } = this
    const random = streams('node')
    const kernel: Kernel = {
      clock,
      random,
      ids: createIds(clock, random),
      log: silentLogger,
      env: (name) => env[name],
      files: { read: () => Promise.reject(new Error('a simulated node has no files')) },
    }
    // The world knows the node before anything of it happens.
    await clock.yield()
    try {
      const host: StoreHost = {
        node: this.number,
        clock,
        random,
        isServing: () => this.#isServing,
        die: () => this.die(),
        freeze: () => this.#options.onFrozen(this),
      }
      const store = openStore(host)
      const declared = storeRecords(tamper.integration?.(integration) ?? integration)
      const consumers = declared.consumers.map((one, index) =>
        this.#instrument(one, integration.consumers[index] ?? one),
      )
      const runtime = await createRuntime(
        { ...declared, consumers },
        {
          kernel,
          store: tamper.store?.(store, () => openStore(host)) ?? store,
          send: () => this.#notify(),
          openOutbox: async (source) => {
            const reader = await outboxes.connect(source, clock)
            return tamper.outbox?.(reader) ?? reader
          },
          ...(broker && {
            transport: {
              engine: 'custom',
              open: async ({ onState }) => {
                const connection = broker.connect(clock, onState)
                return tamper.broker?.(connection) ?? connection
              },
            } as const,
          }),
          onFatal: (error) => this.die(error),
        },
      )
      if (this.mode !== 'starting') return
      this.runtime = runtime
      this.mode = 'running'
      this.#options.onReady(this)
    } catch (error) {
      // A fault hit the start itself: the supervisor starts another process.
      this.die(error)
    }
  }

  /** What is checked is the declaration, whatever the runtime was given. */
  #instrument(consumer: Consumer, declared: Consumer): Consumer {
    const { dice, observer, isKiller, onBlocked, number } = this.#options
    const { clock } = this
    return instrumentConsumer(consumer, {
      declared,
      node: number,
      clock,
      dice,
      observer,
      isKiller,
      isAlive: ({ key: lane }) =>
        this.mode !== 'dead' &&
        this.#options.isCurrent(this.number, { consumer: declared.name, lane }),
      die: () => this.#die(),
      block: (ms) => {
        onBlocked(this, ms)
        return clock.yield()
      },
    })
  }

  get #isServing(): boolean {
    return (this.runtime?.ingress.inFlight ?? 0) > 0
  }

  /** A route that takes a notification, does not, or takes it and is not heard. */
  async #notify(): Promise<void> {
    const { dice, streams } = this.#options
    const ms = streams('notify').next() * NOTIFY_MS_MAX
    await new Promise<void>((resolve) => this.clock.wake(ms, resolve))
    if (dice.happens('notifyFails')) throw new SimulatedFault('the route does not answer')
  }

  #die(): Promise<never> {
    this.die()
    return new Promise(() => undefined)
  }
}

/** Whether a node could not start because of what is on the disk. */
export const isDamage = (error: unknown): boolean =>
  isJuncturaError(error, 'JUNCTURA_STORE_DAMAGED')
