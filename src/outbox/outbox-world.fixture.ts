import { Client } from 'pg'
import {
  type AnyContract,
  type Contract,
  event,
  integration,
  jsonSchema,
  outboxSource,
  type OutboxDatabase,
  secret,
  team,
} from '../contract/index.ts'
import { createSystemKernel, type Kernel, sleep } from '../kernel/index.ts'
import { createRuntime, type Runtime, type StoreChoice } from '../runtime/index.ts'
import { outboxSql } from './outbox-sql.ts'

export interface Order {
  readonly orderId: string
  readonly n: number
}

const owner = team('orders')

export const OrderPlaced: Contract<'orders.placed', { readonly 1: Order }, 1> = event(
  'orders.placed',
  {
    owner,
    key: 'orderId',
    versions: {
      1: jsonSchema<Order>({
        type: 'object',
        required: ['orderId', 'n'],
        properties: { orderId: { type: 'string' }, n: { type: 'integer' } },
      }),
    },
  },
)

/** A running integration that moves one outbox, and what it has in its log. */
export interface RelayWorld {
  readonly runtime: Runtime
  /** Waits until the log holds so many messages. */
  logged(count: number): Promise<readonly Logged[]>
  close(): Promise<void>
}

export interface Logged {
  readonly id: string
  readonly type: string
  readonly key: string
  readonly correlationId: string
}

export interface RelayWorldOptions {
  readonly database: OutboxDatabase
  /** What the secret of a PostgreSQL outbox says. */
  readonly url?: string
  readonly schema?: string
  readonly accepts?: readonly AnyContract[]
  readonly store?: StoreChoice
}

export const OUTBOX_URL: OutboxDatabase = { url: secret.env('OUTBOX_URL') }

export const openRelayWorld = async (options: RelayWorldOptions): Promise<RelayWorld> => {
  const { database, url, schema, accepts = [OrderPlaced], store = { engine: 'memory' } } = options
  const system = createSystemKernel()
  const kernel: Kernel = { ...system, env: (name) => (name === 'OUTBOX_URL' ? url : undefined) }
  const source = outboxSource('shop', { owner, database, accepts, ...(schema && { schema }) })
  const runtime = await createRuntime(integration('demo', { parts: [source] }), { kernel, store })
  return {
    runtime,
    async logged(count) {
      for (let tries = 0; tries < 400; tries++) {
        const { items } = await runtime.messages({ limit: 500 })
        if (items.length >= count) return items.toReversed()
        await sleep(kernel.clock, 25)
      }
      throw new Error(`the log does not get to ${count} messages`)
    },
    close: () => runtime.close(),
  }
}

/** A client of its own, in a schema of its own that has the tables. */
export const openSchema = async (
  url: string,
  schema: string,
): Promise<{ readonly client: Client; connect(): Promise<Client> }> => {
  const connect = async (): Promise<Client> => {
    const client = new Client({ connectionString: url })
    await client.connect()
    return client
  }
  const client = await connect()
  await client.query(`drop schema if exists "${schema}" cascade`)
  await client.query(outboxSql({ schema }))
  await client.query(`create table "${schema}".orders (id text primary key, n integer)`)
  return { client, connect }
}
