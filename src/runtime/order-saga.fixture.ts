import {
  type AnyCommand,
  type AnySaga,
  type Command,
  command,
  type CommandContext,
  commandHandler,
  type Consumer,
  type Contract,
  event,
  type Integration,
  integration,
  jsonSchema,
  type Part,
  type Saga,
  saga,
  sql,
  type SqlMigration,
  type TypedJsonSchema,
} from '../contract/index.ts'
import type { SagaRunRow } from '../store/index.ts'
import { createWorld, owners, policy, type StartOptions, type World } from './world.fixture.ts'
import type { Runtime } from './runtime-port.ts'

export interface OrderInput {
  readonly orderId: string
  readonly amount: number
}

const schema = <T>(...names: readonly (keyof T & string)[]): TypedJsonSchema<T> =>
  jsonSchema<T>({
    type: 'object',
    required: [...names],
    properties: Object.fromEntries(
      names.map((name) => [name, { type: name === 'amount' ? 'number' : 'string' }]),
    ),
  })

export const orderInput: TypedJsonSchema<OrderInput> = schema<OrderInput>('orderId', 'amount')

type OrderEvent<Name extends string> = Contract<Name, { readonly 1: OrderInput }, 1>
type OrderCommand<Name extends string, Output, Errors extends object> = Command<
  Name,
  { readonly 1: OrderInput },
  1,
  Output,
  Errors
>

export const OrderPlaced: OrderEvent<'shop.placed'> = event('shop.placed', {
  owner: owners,
  key: 'orderId',
  versions: { 1: orderInput },
})

export const PaymentCaptured: OrderEvent<'payments.captured'> = event('payments.captured', {
  owner: owners,
  key: 'orderId',
  versions: { 1: orderInput },
})

const OrderShipped: OrderEvent<'shop.shipped'> = event('shop.shipped', {
  owner: owners,
  key: 'orderId',
  versions: { 1: orderInput },
})

export const Release: OrderCommand<'stock.release', undefined, object> = command('stock.release', {
  owner: owners,
  key: 'orderId',
  input: orderInput,
})

export const Reserve: OrderCommand<
  'stock.reserve',
  { readonly place: string },
  { readonly OutOfStock: { readonly sku: string } }
> = command('stock.reserve', {
  owner: owners,
  key: 'orderId',
  input: orderInput,
  output: schema<{ place: string }>('place'),
  errors: { OutOfStock: schema<{ sku: string }>('sku') },
  compensate: ({ input }) => Release.of(input),
})

export const Refund: OrderCommand<'payments.refund', undefined, object> = command(
  'payments.refund',
  { owner: owners, key: 'orderId', input: orderInput },
)

export const Charge: OrderCommand<
  'payments.charge',
  { readonly paymentId: string },
  { readonly CardDeclined: { readonly code: string } }
> = command('payments.charge', {
  owner: owners,
  key: 'orderId',
  input: orderInput,
  output: schema<{ paymentId: string }>('paymentId'),
  errors: { CardDeclined: schema<{ code: string }>('code') },
})

export const Ship: OrderCommand<
  'parcels.create',
  { readonly parcel: string },
  { readonly NoCarrier: { readonly code: string } }
> = command('parcels.create', {
  owner: owners,
  key: 'orderId',
  input: orderInput,
  output: schema<{ parcel: string }>('parcel'),
  errors: { NoCarrier: schema<{ code: string }>('code') },
})

/** What each handler did, in order: exactly-once effects, in the store. */
export const LEDGER: SqlMigration = sql({
  sqlite: 'create table ledger(seq integer primary key, what text, key text, amount integer)',
  postgres:
    'create table ledger(seq bigint generated always as identity, what text, key text, amount integer)',
})

const isOrder = (value: unknown): value is OrderInput =>
  typeof value === 'object' && value !== null && 'orderId' in value

type Does = (input: OrderInput, ctx: CommandContext<AnyCommand>) => unknown

/** A handler that writes one line and answers what the test says. */
export const does = (on: AnyCommand, answer: unknown, before: Does = () => undefined): Consumer =>
  commandHandler(`${on.name.replace('.', '-')}-desk`, {
    ...policy,
    on,
    afterDeadLetter: 'skip',
    handle: async (given, ctx) => {
      if (!isOrder(given)) throw new Error('every command of the fixture is asked with an order')
      const input = given
      const other = await before(input, ctx)
      return ctx.tx(async (db) => {
        await db.run(
          'insert into ledger(what, key, amount) values ($1, $2, $3)',
          other === undefined ? on.name : `no ${on.name}`,
          input.orderId,
          input.amount,
        )
        return other ?? answer
      })
    },
  })

/** All handlers of the order saga; a test replaces some. */
export const desks = (...own: readonly Consumer[]): readonly Consumer[] => {
  const all = [
    does(Reserve, { place: 'A1' }),
    does(Charge, { paymentId: 'P1' }),
    does(Ship, { parcel: 'Z1' }),
    does(Release, null),
    does(Refund, null),
  ]
  return all.map((one) => own.find(({ name }) => name === one.name) ?? one)
}

export const orderSaga: Saga<'order', OrderInput, { readonly parcel: string }> = saga(
  'order',
  {
    version: 1,
    owner: owners,
    on: OrderPlaced,
    uses: [Reserve, Charge, Ship, Release, Refund, PaymentCaptured],
    emits: [OrderShipped],
    from: 'earliest',
  },
  async (s, order) => {
    await s.call(Reserve, order)
    await s.call(Charge, order, { compensate: ({ input }) => Refund.of(input) })
    const got = await s.first({ captured: s.wait(PaymentCaptured), gone: s.sleep('15m') })
    if (got.tag === 'gone') return s.fail('payment-timeout')
    const { parcel } = await s.call(Ship, order)
    s.emit(OrderShipped.of(order))
    return { parcel }
  },
)

export interface SagaWorld extends World {
  begin(parts: readonly Part[], options?: StartOptions): Promise<Runtime>
  run(key: string, saga?: string): Promise<SagaRunRow | undefined>
  /** `what` of the ledger of one key, in order. */
  ledger(key: string): Promise<readonly string[]>
}

export const createSagaWorld = (seed = 1): SagaWorld => {
  const world = createWorld(seed)
  const own: World = Object.create(world)
  return Object.assign(own, {
    begin: (parts: readonly Part[], options: StartOptions = {}) =>
      world.start([], {
        ...options,
        build: (): Integration => integration('shop', { parts, tables: [LEDGER] }),
      }),
    run: (key: string, name = 'order') => world.runtime.sagaRun(name, key),
    ledger: async (key: string) => {
      const rows = await world.rows('select what from ledger where key = $1 order by seq', key)
      return rows.map(({ what }) => String(what))
    },
  })
}

export const order = (orderId: string, amount = 1): OrderInput => ({ orderId, amount })

export const sagaParts = (
  one: AnySaga = orderSaga,
  ...own: readonly Consumer[]
): readonly Part[] => [one, ...desks(...own)]

type Fault = NonNullable<StartOptions['fault']>

/** Kills the process at the nth commit, before it is written or after. */
export const deathAt = (
  world: World,
  nth: number,
  point: 'before-commit' | 'after-commit',
): { readonly fault: Fault; readonly happened: () => boolean } => {
  let seen = 0
  return {
    fault: async (at) => {
      if (at !== point || ++seen !== nth) return
      world.crash()
      await new Promise<never>(() => undefined)
    },
    happened: () => seen >= nth,
  }
}

/** Publishes a message unless the log has one of its type, as a sender that does not know. */
export const publishOnce = async (
  world: SagaWorld,
  contract: typeof OrderPlaced | typeof PaymentCaptured,
): Promise<void> => {
  const { runtime } = world
  const page = await world.orGone(runtime.messages({ type: contract.name }))
  if (page?.items.length === 0) await world.orGone(runtime.publish(contract.of(order('a'))))
}

/** Runs processes one after the other until one stays up over the whole of it. */
export const survive = async (
  world: SagaWorld,
  parts: readonly Part[],
  how: { readonly options: StartOptions; readonly act: () => Promise<void> },
): Promise<number> => {
  const build = (): Integration => integration('shop', { parts, tables: [LEDGER] })
  for (let starts = 1; starts <= 6; starts++) {
    if (!(await world.boot([], { ...how.options, build }))) continue
    await how.act()
    if (world.isUp) return starts
  }
  throw new Error('no process stayed up')
}
