import { describe, expect, it } from 'vitest'
import { consumer, type Consumer, event, integration, jsonSchema } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { createWorld, EFFECTS, effect, never, type Order, owners, policy } from './world.fixture.ts'

const text = { type: 'string' } as const
const number = { type: 'number' } as const
const V1 = jsonSchema<Order>({
  type: 'object',
  required: ['key', 'n'],
  properties: { key: text, n: number },
})
/** What only newer code has: `n` became `count`, so version 1 cannot be read from it. */
const V2 = jsonSchema<{ key: string; count: number }>({
  type: 'object',
  required: ['key', 'count'],
  properties: { key: text, count: number },
})
const Before = event('stock.moved', { owner: owners, key: 'key', versions: { 1: V1 } })
const After = event('stock.moved', {
  owner: owners,
  key: 'key',
  compatibility: 'none',
  versions: { 1: V1, 2: V2 },
  upcast: { 1: ({ key, n }) => ({ key, count: n }) },
})

const withParts = (contract: typeof Before | typeof After) => (parts: readonly Consumer[]) =>
  integration('stock', { parts: [contract, ...parts], tables: [EFFECTS] })
const before = { build: withParts(Before) }
const after = { build: withParts(After) }

/** The same consumer, as it was before the version and as it is after. */
const older = (options: Partial<typeof policy> = {}): Consumer =>
  consumer('ledger', {
    ...policy,
    ...options,
    on: Before,
    handle: async (order, ctx) => void (await effect('ledger', order, ctx)),
  })
const newer = (): Consumer =>
  consumer('ledger', {
    ...policy,
    on: After,
    handle: async ({ key, count: n }, ctx) => void (await effect('ledger', { key, n }, ctx)),
  })

describe('a message in a version that only newer code knows', () => {
  it('is parked with its key, uncounted, while other keys flow, and tells its owner once (M41)', async () => {
    const world = createWorld()
    const writer = await world.start([], after)
    const [id = ''] = await writer.publishMany([
      After.of({ key: 'a', count: 1 }),
      After.of({ key: 'a', count: 2 }),
    ])
    await writer.close()
    // The release is rolled back: what it wrote is in the log.
    await world.start([older()], before)
    await world.runtime.publishMany([Before.of({ key: 'a', n: 3 }), Before.of({ key: 'b', n: 4 })])
    await world.pass(86_400_000)

    expect(await world.effects()).toEqual(['b:4'])
    expect((await world.runtime.deadLetters({})).items).toEqual([])
    const view = await world.runtime.message(id)
    expect(view?.status).toBe('parked')
    expect(view?.consumers).toMatchObject([{ status: 'parked', attempts: [] }])
    expect(view?.consumers[0]?.lastError).toContain(
      'stock.moved version 2 is newer than this process',
    )
    const overview = await world.runtime.overview()
    expect(overview).toMatchObject({ status: 'degraded', consumers: [{ parked: 1, retrying: 0 }] })
    expect(overview.reasons.join()).toContain('stock.moved version 2 is newer')
    expect(world.sent).toMatchObject([{ kind: 'opened' }])
  })

  it('runs by itself, in order, as a first attempt, once code that knows it has started (M41)', async () => {
    const world = createWorld()
    const writer = await world.start([], after)
    await writer.publishMany([1, 2].map((count) => After.of({ key: 'a', count })))
    await writer.close()
    await world.start([older()], before)
    await world.runtime.publish(Before.of({ key: 'a', n: 3 }))
    await world.pass(60_000)
    // Killed and started again by the old code: it still waits.
    world.crash()
    await world.start([older()], before)
    await world.pass(60_000)
    expect(await world.effects()).toEqual([])
    world.crash()

    const attempts: number[] = []
    const one = newer()
    const watched: Consumer = {
      ...one,
      handle: async (data, ctx) => {
        attempts.push(ctx.attempt)
        await one.handle(data, ctx)
      },
    }
    await world.start([watched], after)
    await world.pass(1_000)

    expect(await world.effects()).toEqual(['a:1', 'a:2', 'a:3'])
    expect(attempts).toEqual([1, 1, 1])
    expect((await world.runtime.overview()).alertsOpen).toBe(0)
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened', 'resolved'])
    const [status] = await world.runtime.consumers()
    expect(status).toMatchObject({ parked: 0, retrying: 0, deadLettersOpen: 0 })
  })

  it('does not end as a dead letter, however often the process is killed beside it (M41)', async () => {
    const world = createWorld()
    const writer = await world.start([], after)
    await writer.publish(After.of({ key: 'a', count: 1 }))
    await writer.close()
    // At each commit of a start, as often in a row as makes a dead letter of a poison.
    for (let dieAt = 1; dieAt <= 8; dieAt++) {
      for (let kill = 0; kill <= LIMITS.crashesMax; kill++) {
        let commits = 0
        const fault = async (point: string): Promise<void> => {
          if (point !== 'before-commit' || ++commits !== dieAt) return
          world.crash()
          await never()
        }
        await world.boot([older({ afterDeadLetter: 'skip' })], { ...before, fault })
        await world.pass(1_000)
        if (world.isUp) world.crash()
      }
    }
    await world.start([older({ afterDeadLetter: 'skip' })], before)
    await world.pass(1_000)
    expect((await world.runtime.deadLetters({})).items).toEqual([])
    await world.runtime.close()
    await world.start([newer()], after)
    await world.pass(1_000)

    expect(await world.effects()).toEqual(['a:1'])
  })

  it('that is valid in the version asked for is read at once, as a compatible change is', async () => {
    const world = createWorld()
    const Wider = event('stock.moved', {
      owner: owners,
      key: 'key',
      versions: { 1: V1, 2: V1 },
      upcast: { 1: (data) => data },
    })
    const writer = await world.start([], {
      build: (parts) => integration('stock', { parts: [Wider, ...parts], tables: [EFFECTS] }),
    })
    await writer.publish(Wider.of({ key: 'a', n: 1 }))
    await writer.close()

    await world.start([older()], before)
    await world.runtime.idle()

    expect(await world.effects()).toEqual(['a:1'])
  })

  it('leaves a version that is known and cannot be made older a dead letter', async () => {
    const world = createWorld()
    const asksForOne = consumer('ledger', {
      ...policy,
      on: After.version(1),
      handle: async () => undefined,
    })
    await world.start([asksForOne], after)
    await world.runtime.publish(After.of({ key: 'a', count: 1 }))
    await world.runtime.idle()

    const { items } = await world.runtime.deadLetters({})
    expect(items).toMatchObject([{ errorName: 'JUNCTURA_DATA_UNREADABLE' }])
  })
})
