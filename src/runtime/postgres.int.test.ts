import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Client } from 'pg'
import orders from '../../examples/orders/integration.ts'
import { postgresForTests, type PostgresEngine } from '../../test/engines/postgres.ts'
import { must } from '../kernel/index.ts'
import { createRuntime } from './index.ts'

let server: Pick<PostgresEngine, 'url' | 'stop'>

beforeAll(async () => {
  server = await postgresForTests()
})

afterAll(async () => {
  await server.stop()
})

const order = (orderId: string): Record<string, unknown> => ({
  orderId,
  status: 'placed',
  occurredAt: '2026-01-01T00:00:00Z',
  customer: { email: 'someone@example.com' },
})

describe('the orders example on PostgreSQL', () => {
  it('has one effect per message and consumer, also across a restart', async () => {
    const contract = must(orders.contracts.get('orders.status-changed'), 'the example has it')
    const store = { engine: 'postgres', url: server.url, schema: 'orders_example' } as const
    const first = await createRuntime(orders, { store })
    const drafts = Array.from({ length: 20 }, (_, n) => ({ contract, data: order(`A-${n}`) }))
    const ids = await first.publishMany(drafts)
    await first.idle()
    await first.close()
    const second = await createRuntime(orders, { store })
    // The same facts again: known, and done once.
    expect(await second.publishMany(drafts)).toEqual(ids)
    await second.idle()
    await second.close()

    const client = new Client({ connectionString: server.url })
    await client.connect()
    const { rows } = await client.query<{ consumer: string; effects: string }>(
      'select consumer, count(*) effects from public.order_effects group by consumer order by 1',
    )
    await client.end()
    expect(rows).toEqual(
      ['finance', 'notifications', 'warehouse'].map((consumer) => ({ consumer, effects: '20' })),
    )
  })
})
