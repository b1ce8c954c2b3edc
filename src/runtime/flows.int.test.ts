import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresForTests, type PostgresEngine } from '../../test/engines/postgres.ts'
import { consumer, type Integration, integration, schedule } from '../contract/index.ts'
import { aggregate, claimCheck, redeemClaim, resequence } from '../flow/index.ts'
import { Captured, paid } from './expectation-world.fixture.ts'
import { createRuntime, type Runtime, type RuntimeOptions } from './index.ts'
import { owners, Placed, policy, Shipped } from './world.fixture.ts'

type Store = NonNullable<RuntimeOptions['store']>

let server: Pick<PostgresEngine, 'url' | 'stop'>
const directory = mkdtempSync(join(tmpdir(), 'junctura-flows-'))

beforeAll(async () => {
  server = await postgresForTests()
})

afterAll(async () => {
  await server.stop()
  rmSync(directory, { recursive: true })
})

const STORES: readonly (readonly [string, () => Store])[] = [
  ['SQLite', () => ({ engine: 'sqlite', directory })],
  ['PostgreSQL', () => ({ engine: 'postgres', url: server.url, schema: 'flows' })],
]

/** Everything of flows, with what came out of it. */
const build = (
  atMs: number,
): { readonly built: Integration; readonly seen: string[]; readonly redeemed: unknown[] } => {
  const seen: string[] = []
  const redeemed: unknown[] = []
  const from = 'earliest'
  const common = { owner: owners, on: Placed, from, emits: Shipped } as const
  const parts = [
    Placed,
    Captured,
    paid({ within: '2s', grace: 0, undoneBy: Shipped.version(1), by: owners }),
    aggregate('basket', {
      ...common,
      filter: ({ key }) => key.startsWith('basket'),
      by: () => 'one',
      until: (items) => items.length === 5,
      timeout: '1s',
      partial: 'emit',
      emit: ({ items, isComplete }) =>
        Shipped.of({ key: isComplete ? 'whole' : 'part', n: items.length }),
    }),
    resequence('in-order', {
      ...common,
      filter: ({ key }) => key === 'sequence',
      sequence: ({ n }) => n,
      timeout: '1s',
      onGap: 'skip',
      late: 'discard',
      emit: ({ n }) => Shipped.of({ key: 'in-order', n }),
    }),
    claimCheck('big', {
      ...common,
      filter: ({ key }) => key === 'big',
      retention: '1h',
      emit: ({ n }, claim) => Shipped.of({ key: `claim ${claim}`, n }),
    }),
    schedule('soon', {
      owner: owners,
      at: new Date(atMs).toISOString(),
      emits: Shipped,
      data: () => ({ key: 'scheduled', n: 1 }),
    }),
    consumer('sink', {
      ...policy,
      on: Shipped,
      handle: async ({ key, n }, ctx) => {
        await ctx.tx(async (db) => {
          if (key.startsWith('claim ')) redeemed.push(await redeemClaim(db, key.slice(6)))
        })
        if (!key.startsWith('claim ')) seen.push(`${key}:${n}`)
      },
    }),
  ]
  return { built: integration('flows', { parts }), seen, redeemed }
}

const until = async (what: string, isSo: () => Promise<boolean> | boolean): Promise<void> => {
  for (let tries = 0; tries < 300; tries++) {
    if (await isSo()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`it did not come to this: ${what}`)
}

const totals = async (runtime: Runtime) => (await runtime.expectations())[0]?.totals

describe.each(STORES)('flows on %s', (_name, storeOf) => {
  it('hold over a restart: alarms, groups, sequences, claims, schedules', async () => {
    const atMs = Date.now() + 1_500
    const first = build(atMs)
    const one = await createRuntime(first.built, { store: storeOf() })
    await one.publishMany([
      Placed.of({ key: 'missing', n: 0 }),
      Placed.of({ key: 'met', n: 0 }),
      Placed.of({ key: 'basket-a', n: 1 }),
      Placed.of({ key: 'basket-b', n: 2 }),
      Placed.of({ key: 'sequence', n: 2 }),
      Placed.of({ key: 'sequence', n: 1 }),
      Placed.of({ key: 'sequence', n: 4 }),
      Placed.of({ key: 'big', n: 7 }),
    ])
    await one.publish(Captured.of({ paymentId: 'p', order: 'met' }))
    await one.idle()
    await one.close()

    const second = build(atMs)
    const two = await createRuntime(second.built, { store: storeOf() })
    await until('what is missing is told', async () => (await totals(two))?.missed === 7 - 2)
    const seen = (): readonly string[] => [...first.seen, ...second.seen].sort()
    await until('everything came out', () => seen().length === 5)

    expect(seen()).toEqual(['in-order:1', 'in-order:2', 'in-order:4', 'part:2', 'scheduled:1'])
    expect([...first.redeemed, ...second.redeemed]).toEqual([{ key: 'big', n: 7 }])
    expect(await totals(two)).toMatchObject({ met: 1, missed: 5 })
    const { items } = await two.alerts({ state: 'open' })
    expect(items.map(({ kind, count }) => `${kind} ${count}`).sort()).toEqual([
      'expectation-missed 5',
      'route-gap 1',
    ])
    await two.publish(Captured.of({ paymentId: 'p2', order: 'missing' }))
    await two.idle()
    expect(await totals(two)).toMatchObject({ late: 1 })
    expect((await two.schedules())[0]).toMatchObject({ fired: 1, nextAtMs: null })
    await two.close()
  })
})

describe('flows on a store that two processes share', () => {
  it('are watched by one, and by the other when it ends', async () => {
    const store = { engine: 'postgres', url: server.url, schema: 'flows_shared' } as const
    const atMs = Date.now() + 86_400_000
    const one = await createRuntime(build(atMs).built, { store })
    const two = await createRuntime(build(atMs).built, { store })
    const stateOf = async (runtime: Runtime): Promise<string | undefined> =>
      (await runtime.expectations())[0]?.state
    expect([await stateOf(one), await stateOf(two)]).toEqual(['running', 'standing-by'])
    await one.publish(Placed.of({ key: 'a', n: 0 }))
    await one.idle()
    await one.close()

    await until('the other one watches', async () => (await stateOf(two)) === 'running')
    await until('what is missing is told', async () => (await totals(two))?.missed === 1)

    const { items } = await two.alerts({ state: 'open' })

    expect(items).toMatchObject([{ kind: 'expectation-missed', count: 1 }])
    await two.close()
  })
})
