import { describe, expect, it } from 'vitest'
import { consumer, event, integration, jsonSchema, sql, system, team, unsigned, webhook } from '../contract/index.ts'
import { createMemoryStore } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createRuntime } from './index.ts'

const owners = team('owners')
const Placed = event('orders.placed', {
  owner: owners,
  key: 'id',
  versions: { 1: jsonSchema<{ id: string; n: number }>({ type: 'object', required: ['id', 'n'], properties: { id: { type: 'string' }, n: { type: 'number' } } }) },
})

const policy = {
  owner: owners,
  idempotency: 'transaction',
  retry: { attempts: 3, first: '1s', max: '10s' },
  deadLetter: { alert: owners.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  from: 'earliest',
} as const

describe('a running integration', () => {
  it('handles what was published once, in order per key', async () => {
    const kernel = createVirtualKernel()
    const seen: string[] = []
    const one = consumer('one', {
      ...policy,
      on: Placed,
      handle: async (order, ctx) => {
        await ctx.tx(async (db) => {
          await db.run('insert into effects(id, n) values ($1, $2)', order.id, order.n)
        })
        seen.push(`${order.id}:${order.n}`)
      },
    })
    const built = integration('demo', {
      parts: [one],
      tables: [sql({ sqlite: 'create table effects(id text, n integer)' })],
    })
    const store = createMemoryStore({ clock: kernel.clock, random: kernel.random })
    const runtime = await createRuntime(built, { kernel, store })
    for (let n = 0; n < 10; n++) await runtime.publish(Placed.of({ id: `k${n % 2}`, n }))
    await runtime.idle()
    expect(seen.filter((one) => one.startsWith('k0'))).toEqual(['k0:0', 'k0:2', 'k0:4', 'k0:6', 'k0:8'])
    expect(seen).toHaveLength(10)
    const overview = await runtime.overview()
    expect(overview.status).toBe('ok')
    await runtime.close()
  })
})
void system
void unsigned
void webhook
