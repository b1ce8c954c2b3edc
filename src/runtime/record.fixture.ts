import {
  consumer,
  type Consumer,
  type ConsumerOptions,
  event,
  sql,
  type SqlMigration,
} from '../contract/index.ts'
import type { Contract } from '../contract/index.ts'
import { createMemoryBroker, type MemoryBroker } from '../testing/index.ts'
import type { StartOptions } from './world.fixture.ts'
import { type Order, orderSchema, owners, policy } from './world.fixture.ts'

type OrderContract<Name extends string> = Contract<Name, { readonly 1: Order }, 1>

/** Kept by the broker alone. */
export const Metered: OrderContract<'meters.metered'> = event('meters.metered', {
  owner: owners,
  key: 'key',
  record: 'transport',
  versions: { 1: orderSchema },
})

export const Billed: OrderContract<'meters.billed'> = event('meters.billed', {
  owner: owners,
  key: 'key',
  record: 'transport',
  versions: { 1: orderSchema },
})

/** A consumer of `meters.metered` with the test's own handler. */
export const meterConsumer = (
  name: string,
  options: Partial<ConsumerOptions<typeof Metered>>,
  handle: ConsumerOptions<typeof Metered>['handle'],
): Consumer => consumer(name, { ...policy, on: Metered, handle, ...options })

/** The same table on both stores. */
export const METER_EFFECTS: SqlMigration = sql({
  sqlite: 'create table effects(seq integer primary key, consumer text, key text, n integer)',
  postgres: 'create table effects(seq bigserial primary key, consumer text, key text, n integer)',
})

/** A broker that outlives the processes of a world, and the choice of it. */
export const recordBroker = (
  partitions = 4,
): { readonly broker: MemoryBroker; readonly options: StartOptions } => {
  const broker = createMemoryBroker({ partitions })
  return { broker, options: { transport: { engine: 'custom', open: async () => broker } } }
}
