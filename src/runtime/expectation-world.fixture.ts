import {
  type Contract,
  correlate,
  event,
  expectation,
  type Expectation,
  type ExpectationOptions,
  integration,
  type Integration,
  jsonSchema,
  type Part,
} from '../contract/index.ts'
import type { Runtime } from './runtime-port.ts'
import {
  createWorld,
  EFFECTS,
  owners,
  Placed,
  type StartOptions,
  type World,
} from './world.fixture.ts'

export interface Payment {
  readonly paymentId: string
  readonly order: string
}

/** On another channel, with another key. */
export const Captured: Contract<'payments.captured', { readonly 1: Payment }, 1> = event(
  'payments.captured',
  {
    owner: owners,
    key: 'paymentId',
    versions: {
      1: jsonSchema<Payment>({
        type: 'object',
        required: ['paymentId', 'order'],
        properties: { paymentId: { type: 'string' }, order: { type: 'string' } },
      }),
    },
  },
)

const Cancelled: Contract<'cancellations.made', { readonly 1: { readonly key: string } }, 1> =
  event('cancellations.made', {
    owner: owners,
    key: 'key',
    versions: {
      1: jsonSchema<{ readonly key: string }>({
        type: 'object',
        required: ['key'],
        properties: { key: { type: 'string' } },
      }),
    },
  })

export const paid = (options: Partial<ExpectationOptions> = {}): Expectation =>
  expectation('paid', {
    owner: owners,
    after: Placed,
    expect: correlate(Captured, ({ order }) => order),
    undoneBy: Cancelled,
    within: '15m',
    ...options,
  })

export const MINUTE_MS = 60_000

export interface ExpectationWorld extends World {
  up(parts?: readonly Part[], options?: StartOptions): Promise<Runtime>
  /** Starts a process that may die on the way, again and again until one stays. */
  upInTheEnd(options?: StartOptions): Promise<void>
  place(...keys: readonly string[]): Promise<void>
  capture(...orders: readonly string[]): Promise<void>
  cancel(...keys: readonly string[]): Promise<void>
  /** The titles of open alerts, each with its count. */
  openAlerts(): Promise<readonly string[]>
  missed(): Promise<readonly string[]>
}

/** A world with expectations: orders on one channel, payments on another. */
export const createExpectationWorld = (parts: readonly Part[]): ExpectationWorld => {
  const world = createWorld()
  const build = (all: readonly Part[]): Integration =>
    integration('demo', { parts: [Placed, Captured, Cancelled, ...all], tables: [EFFECTS] })
  return Object.assign(Object.create(world) as World, {
    up: (others: readonly Part[] = parts, options: StartOptions = {}) =>
      world.start([], { ...options, build: () => build(others) }),
    async upInTheEnd(options: StartOptions = {}) {
      while (!world.isUp) await world.boot([], { ...options, build: () => build(parts) })
    },
    async place(...keys: readonly string[]) {
      await world.runtime.publishMany(keys.map((key) => Placed.of({ key, n: 1 })))
    },
    async capture(...orders: readonly string[]) {
      await world.runtime.publishMany(
        orders.map((order) => Captured.of({ paymentId: `pay-${order}`, order })),
      )
    },
    async cancel(...keys: readonly string[]) {
      await world.runtime.publishMany(keys.map((key) => Cancelled.of({ key })))
    },
    async openAlerts() {
      const { items } = await world.runtime.alerts({})
      return items
        .filter(({ state }) => state !== 'resolved')
        .map(({ title, count }) => `${count}: ${title}`)
    },
    async missed() {
      const page = await world.runtime.expectationKeys('paid', {})
      return page?.items.map(({ key }) => key) ?? []
    },
  })
}
