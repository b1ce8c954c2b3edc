import {
  consumer,
  type Consumer,
  type ConsumerContext,
  type ConsumerOptions,
  type ConsumerPolicy,
  type Contract,
  event,
  integration,
  type Integration,
  jsonSchema,
  sql,
  type SqlMigration,
  type SqlValue,
  type Team,
  type TypedJsonSchema,
  team,
} from '../contract/index.ts'
import { createIds, type Kernel, type Logger, silentLogger } from '../kernel/index.ts'
import type { AlertNotification } from '../observe/index.ts'
import {
  createMemoryDisk,
  createMemoryStore,
  type Leases,
  type MemoryDisk,
} from '../store/index.ts'
import { createMemoryBroker, createVirtualKernel, type VirtualClock } from '../testing/index.ts'
import { createRuntime, type RuntimeOptions } from './create-runtime.ts'
import type { OperationCommand, OperationResult } from './commands.ts'
import type { Runtime } from './runtime-port.ts'

type Fault = NonNullable<Parameters<typeof createMemoryStore>[0]['fault']>

export interface Order {
  readonly key: string
  readonly n: number
}

export const owners: Team = team('owners')

export const orderSchema: TypedJsonSchema<Order> = jsonSchema<Order>({
  type: 'object',
  required: ['key', 'n'],
  properties: { key: { type: 'string' }, n: { type: 'number' } },
})

export const Placed: Contract<'orders.placed', { readonly 1: Order }, 1> = event('orders.placed', {
  owner: owners,
  key: 'key',
  versions: { 1: orderSchema },
})

export const Shipped: Contract<'orders.shipped', { readonly 1: Order }, 1> = event(
  'orders.shipped',
  {
    owner: owners,
    key: 'key',
    versions: { 1: orderSchema },
  },
)

export const policy: ConsumerPolicy = {
  owner: owners,
  idempotency: 'transaction',
  retry: { attempts: 3, first: '1s', max: '10s', jitter: 'none' },
  deadLetter: { alert: owners.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  from: 'earliest',
}

type Handle = (order: Order, ctx: ConsumerContext) => Promise<void>

/** A consumer of `orders.placed` with the test's own handler. */
export const placedConsumer = (
  name: string,
  options: Partial<ConsumerOptions<typeof Placed>>,
  handle: Handle,
): Consumer => consumer(name, { ...policy, on: Placed, handle, ...options })

export const EFFECTS: SqlMigration = sql({
  sqlite: 'create table effects(seq integer primary key, consumer text, key text, n integer)',
})

/** Writes one effect through `ctx.tx`, which completes the message. */
export const effect = (name: string, order: Order, ctx: ConsumerContext): Promise<unknown> =>
  ctx.tx((db) =>
    db.run('insert into effects(consumer, key, n) values ($1, $2, $3)', name, order.key, order.n),
  )

export interface World {
  readonly clock: VirtualClock
  readonly disk: MemoryDisk
  readonly runtime: Runtime
  /** What the routes took, in order, over all processes. */
  readonly sent: AlertNotification[]
  /** Starts a process on the disk. */
  start(parts: readonly Consumer[], options?: StartOptions): Promise<Runtime>
  /** Starts a process that may die on the way, and says whether it is up. */
  boot(parts: readonly Consumer[], options?: StartOptions): Promise<boolean>
  /** What `work` gives, or undefined when the process dies first. */
  orGone<T>(work: Promise<T>): Promise<T | undefined>
  /** Whether a process is up now. */
  readonly isUp: boolean
  /** The process is gone, whatever it was doing. */
  crash(): void
  publish(...orders: readonly Order[]): Promise<readonly string[]>
  /** `key:n` of each effect of a consumer, in the order they were written. */
  effects(name?: string): Promise<readonly string[]>
  rows(query: string, ...parameters: readonly SqlValue[]): Promise<Record<string, SqlValue>[]>
  operate(command: OperationCommand, operationId?: string): Promise<OperationResult>
  /** Virtual time passes, in steps that let everything settle. */
  pass(ms: number): Promise<void>
}

export interface StartOptions extends Pick<
  RuntimeOptions,
  | 'send'
  | 'dial'
  | 'archive'
  | 'bridges'
  | 'onFatal'
  | 'ratePerAddress'
  | 'transport'
  | 'trustedProxies'
  | 'alwaysSuspend'
  | 'fetchCertificate'
> {
  readonly fault?: Fault
  readonly log?: Logger
  readonly partitionMs?: number
  /** As on a store that several processes share. */
  readonly leases?: Leases
  readonly build?: (parts: readonly Consumer[]) => Integration
}

/** Turns of the loop in which nothing reaches the store: then everything waits for time. */
const QUIET_TURNS = 6

/** The same tests hold with a broker between the log and the consumers: see vitest.config.ts. */
export const worldDefaults: { withBroker: boolean } = { withBroker: false }

/** A memory disk under virtual time, and the processes that come and go on it. */
export const createWorld = (seed = 1): World => {
  const shared = createVirtualKernel({ seed })
  const disk = createMemoryDisk()
  const broker = createMemoryBroker()
  const sent: AlertNotification[] = []
  let runtime: Runtime | undefined
  let kill = (): void => undefined
  let onCrash = (): void => undefined
  /**
   * Calls of the store, and turns that somebody waits for: while it grows, something is going on.
   */
  let activity = 0
  const settle = async (): Promise<void> => {
    let before = -1
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      if (activity !== before) quiet = 0
      before = activity
      await shared.clock.yield()
    }
  }

  const world: World = {
    clock: shared.clock,
    disk,
    sent,
    get runtime() {
      if (!runtime) throw new Error('start the world first')
      return runtime
    },
    async start(parts, options = {}) {
      const mortal = mortalClock(shared.clock, () => {
        activity += 1
      })
      kill = mortal.kill
      const { clock } = mortal
      const kernel: Kernel = {
        ...shared,
        clock,
        ids: createIds(clock, shared.random),
        log: options.log ?? silentLogger,
      }
      const { fault, partitionMs, leases, build, ...rest } = options
      const store = createMemoryStore({
        clock,
        random: shared.random,
        disk,
        fault: async (point, info) => {
          activity += 1
          await fault?.(point, info)
        },
        ...(partitionMs !== undefined && { partitionMs }),
      })
      if (leases) Object.assign(store, { leases })
      const built = build?.(parts) ?? integration('demo', { parts, tables: [EFFECTS] })
      runtime = await createRuntime(built, {
        kernel,
        store,
        ...(worldDefaults.withBroker && {
          transport: { engine: 'custom', open: async () => broker } as const,
        }),
        send: (_alert, notification) => {
          sent.push(notification)
          return Promise.resolve()
        },
        ...rest,
      })
      return runtime
    },
    async boot(parts, options) {
      let isOver = false
      const over = (): void => {
        isOver = true
      }
      onCrash = over
      world.start(parts, options).then(over, over)
      while (!isOver) await world.pass(100)
      return world.isUp
    },
    orGone(work) {
      const gone = new Promise<undefined>((resolve) => {
        const before = onCrash
        onCrash = () => {
          before()
          resolve(undefined)
        }
      })
      return Promise.race([work, gone])
    },
    get isUp() {
      return runtime?.isAlive() === true
    },
    crash() {
      kill()
      disk.crash()
      runtime = undefined
      onCrash()
    },
    publish: (...orders) => world.runtime.publishMany(orders.map((order) => Placed.of(order))),
    async effects(name) {
      const rows = await disk.query('select consumer, key, n from effects order by seq')
      return rows
        .filter((row) => name === undefined || row['consumer'] === name)
        .map((row) => `${String(row['key'])}:${String(row['n'])}`)
    },
    rows: (query, ...parameters) => disk.query(query, ...parameters),
    operate: (command, operationId) =>
      world.runtime.operate(command, {
        actor: 'tester',
        reason: 'a test',
        origin: 'test',
        ...(operationId !== undefined && { operationId }),
      }),
    async pass(ms) {
      const endMs = shared.clock.monotonicMs() + ms
      for (;;) {
        await settle()
        const nextMs = shared.clock.pendingTimers[0] ?? endMs
        const nowMs = shared.clock.monotonicMs()
        if (nextMs >= endMs) return shared.clock.advance(endMs - nowMs).then(settle)
        await shared.clock.advance(Math.max(0, nextMs - nowMs))
      }
    },
  }
  return world
}

/** Timers of a process that is gone never fire, and what it waits for never comes. */
function mortalClock(
  clock: VirtualClock,
  onYield: () => void,
): {
  readonly clock: VirtualClock
  readonly kill: () => void
} {
  let isDead = false
  const mortal: VirtualClock = {
    ...clock,
    get pendingTimers() {
      return clock.pendingTimers
    },
    setTimer: (delayMs, run) =>
      clock.setTimer(delayMs, () => {
        if (!isDead) run()
      }),
    yield: async () => {
      onYield()
      await clock.yield()
      if (isDead) await new Promise<never>(() => undefined)
    },
  }
  return {
    clock: mortal,
    kill: () => {
      isDead = true
    },
  }
}

/** Never settles, as the code of a process that is gone. */
export const never = (): Promise<never> => new Promise<never>(() => undefined)
