import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresForTests, type PostgresEngine } from '../../test/engines/postgres.ts'
import { consumer, type EmittedMessage, event, integration, sql } from '../contract/index.ts'
import { createRuntime, type RuntimeOptions } from './index.ts'
import { type Order, orderSchema, owners, Placed, policy } from './world.fixture.ts'

let server: Pick<PostgresEngine, 'url' | 'stop'>
const directory = mkdtempSync(join(tmpdir(), 'junctura-emitted-facts-'))

beforeAll(async () => {
  server = await postgresForTests()
})

afterAll(async () => {
  await server.stop()
  rmSync(directory, { recursive: true, force: true })
})

const Paid = event('orders.paid', {
  owner: owners,
  key: 'key',
  idempotency: { key: 'key', retention: '7d' },
  versions: { 1: orderSchema },
})

const TABLE = sql({
  sqlite: 'create table fact_effects (name text, key text, n integer)',
  postgres: 'create table fact_effects (name text, key text, n integer)',
})

/** One process from start to stop; says which effects there are and what the handlers were told. */
const runOnce = async (
  store: NonNullable<RuntimeOptions['store']>,
  orders: readonly Order[],
): Promise<{ readonly told: readonly EmittedMessage[]; readonly effects: readonly unknown[] }> => {
  const told: EmittedMessage[] = []
  let effects: readonly unknown[] = []
  const insert = 'insert into fact_effects (name, key, n) values ($1, $2, $3)'
  const emitter = consumer('emitter', {
    ...policy,
    on: Placed,
    handle: async (order, ctx) => {
      await ctx.tx(async (db) => {
        await db.run(insert, 'emitter', order.key, order.n)
        told.push(ctx.emit(Paid.of(order)))
      })
    },
  })
  const payer = consumer('payer', {
    ...policy,
    on: Paid,
    handle: async (order, ctx) => {
      await ctx.tx(async (db) => {
        await db.run(insert, 'payer', order.key, order.n)
        effects = await db.all('select name, key, n from fact_effects order by n, name')
      })
    },
  })
  const parts = integration('facts', { parts: [emitter, payer], tables: [TABLE] })
  const runtime = await createRuntime(parts, { store })
  for (const order of orders) {
    await runtime.publish(Placed.of(order))
    await runtime.idle()
  }
  await runtime.close()
  return { told, effects }
}

describe.each(['sqlite', 'postgres'] as const)('on %s', (engine) => {
  it('an emitted fact has one effect, also across a restart, and its handler all of them (M5)', async () => {
    const store =
      engine === 'sqlite'
        ? ({ engine, directory } as const)
        : ({ engine, url: server.url, schema: 'emitted_facts' } as const)
    const first = await runOnce(store, [
      { key: 'a', n: 1 },
      { key: 'a', n: 2 },
    ])
    const second = await runOnce(store, [
      { key: 'a', n: 3 },
      { key: 'b', n: 4 },
    ])

    expect(first.told.map(({ isDuplicate }) => isDuplicate)).toEqual([false, true])
    expect(second.told.map(({ isDuplicate }) => isDuplicate)).toEqual([true, false])
    const ids = [...first.told, ...second.told].slice(0, 3).map(({ id }) => id)
    expect(new Set(ids).size).toBe(1)
    expect(second.effects).toEqual([
      { name: 'emitter', key: 'a', n: 1 },
      { name: 'payer', key: 'a', n: 1 },
      { name: 'emitter', key: 'a', n: 2 },
      { name: 'emitter', key: 'a', n: 3 },
      { name: 'emitter', key: 'b', n: 4 },
      { name: 'payer', key: 'b', n: 4 },
    ])
  })
})
