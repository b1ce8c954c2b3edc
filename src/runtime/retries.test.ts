import { describe, expect, it } from 'vitest'
import { consumer, event, integration, jsonSchema } from '../contract/index.ts'
import {
  createWorld,
  effect,
  EFFECTS,
  owners,
  Placed,
  placedConsumer,
  policy,
} from './world.fixture.ts'

const DAY_MS = 86_400_000

class CardStolen extends Error {
  override readonly name = 'CardStolen'
}

describe('retries', () => {
  it('attempts exactly as often as the policy says, each after its delay (M18, M21)', async () => {
    const world = createWorld()
    const attempts: { n: number; atMs: number }[] = []
    const retry = { attempts: 4, first: '1s', factor: 3, max: '5s', jitter: 'none' } as const
    const one = placedConsumer('one', { retry }, async (_order, ctx) => {
      attempts.push({ n: ctx.attempt, atMs: world.clock.monotonicMs() })
      throw new Error('down')
    })
    await world.start([one])

    await world.publish({ key: 'a', n: 1 })
    await world.pass(DAY_MS)

    expect(attempts.map(({ n }) => n)).toEqual([1, 2, 3, 4])
    const delays = attempts.slice(1).map(({ atMs }, at) => atMs - (attempts[at]?.atMs ?? 0))
    expect(delays[0]).toBeGreaterThanOrEqual(1_000)
    expect(delays[1]).toBeGreaterThanOrEqual(3_000)
    expect(delays[2]).toBeGreaterThanOrEqual(5_000)
    expect(Math.max(...delays)).toBeLessThan(5_100)
    expect((await world.runtime.deadLetters({})).items).toMatchObject([{ attempts: 4 }])
  })

  it('gives up at once for an error that is permanent by its class or by its name', async () => {
    const world = createWorld()
    let attempts = 0
    const permanent = [CardStolen, 'AccountClosed']
    const one = placedConsumer('one', { permanent, afterDeadLetter: 'skip' }, async (order) => {
      attempts += 1
      if (order.n === 1) throw new CardStolen('card 1')
      throw Object.assign(new Error('gone'), { name: 'AccountClosed' })
    })
    await world.start([one])

    await world.publish({ key: 'a', n: 1 }, { key: 'b', n: 2 })
    await world.runtime.idle()

    expect(attempts).toBe(2)
    const { items } = await world.runtime.deadLetters({})
    expect(items.map(({ errorName }) => errorName).sort()).toEqual(['AccountClosed', 'CardStolen'])
  })

  it('counts attempts over a crash and runs a retry that came due meanwhile once (F7, M18)', async () => {
    const world = createWorld()
    const seen: number[] = []
    const one = placedConsumer('one', {}, async (order, ctx) => {
      seen.push(ctx.attempt)
      if (ctx.attempt < 3) throw new Error('down')
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })
    await world.runtime.idle()

    world.crash()
    await world.pass(DAY_MS)
    await world.start([one])
    await world.pass(60_000)

    expect(seen).toEqual([1, 2, 3])
    expect(await world.effects()).toEqual(['a:1'])
  })

  it.each([
    ['back an hour', -3_600_000],
    ['forward a day', DAY_MS],
  ])('keeps its schedule when the wall clock jumps %s (M43, F35)', async (_name, jumpMs) => {
    const world = createWorld()
    const attempts: number[] = []
    const retry = { attempts: 3, first: '1h', factor: 1, max: '1h', jitter: 'none' } as const
    const one = placedConsumer('one', { retry }, async () => {
      attempts.push(world.clock.monotonicMs())
      throw new Error('down')
    })
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })
    await world.runtime.idle()

    world.clock.stepWall(jumpMs)
    await world.pass(3_590_000)
    expect(attempts).toHaveLength(1)
    await world.pass(20_000)
    expect(attempts).toHaveLength(2)
    await world.pass(3_600_000)

    expect(attempts).toHaveLength(3)
  })

  it('keeps a schedule of thirteen days, longer than a timer of the machine can (F38)', async () => {
    const world = createWorld()
    let attempts = 0
    const retry = { attempts: 14, first: '24h', factor: 1, max: '24h', jitter: 'none' } as const
    const one = placedConsumer('one', { retry }, async () => {
      attempts += 1
      throw new Error('down')
    })
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })

    await world.pass(6.5 * DAY_MS)
    expect(attempts).toBe(7)
    world.crash()
    await world.start([one])
    await world.pass(7 * DAY_MS)

    expect(attempts).toBe(14)
    expect((await world.runtime.deadLetters({})).items).toHaveLength(1)
  })

  it('wakes two messages of one key that fail in the same millisecond', async () => {
    const world = createWorld()
    const retry = { attempts: 3, first: 0, max: '1s', jitter: 'none' } as const
    const one = placedConsumer('one', { retry }, async (order, ctx) => {
      if (ctx.attempt === 1) throw new Error('once')
      await effect('one', order, ctx)
    })
    await world.start([one])

    await world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 }, { key: 'a', n: 3 })
    await world.pass(100)

    expect(await world.effects()).toEqual(['a:1', 'a:2', 'a:3'])
  })

  it('runs six thousand retries that come due together, each once', async () => {
    const world = createWorld()
    const retry = { attempts: 2, first: '10s', max: '10s', jitter: 'none' } as const
    const runs = new Map<string, number>()
    const one = placedConsumer('one', { retry }, async (order, ctx) => {
      if (ctx.attempt === 1) throw new Error('down')
      runs.set(order.key, (runs.get(order.key) ?? 0) + 1)
    })
    await world.start([one])
    for (let page = 0; page < 6; page++) {
      await world.publish(...Array.from({ length: 1_000 }, (_, n) => ({ key: `k${page}-${n}`, n })))
    }
    await world.runtime.idle()

    await world.pass(200_000)

    expect(runs.size).toBe(6_000)
    expect(Math.max(...runs.values())).toBe(1)
    expect((await world.runtime.consumers())[0]).toMatchObject({ retrying: 0 })
  })

  it('lifts older data for a consumer of a later version, and tells what cannot be lifted', async () => {
    const world = createWorld()
    const text = { type: 'string' } as const
    const V1 = { type: 'object', required: ['key'], properties: { key: text } } as const
    const V2 = {
      type: 'object',
      required: ['key', 'n'],
      properties: { key: text, n: { type: 'number' } },
    } as const
    const versions1 = { 1: jsonSchema<{ key: string }>(V1) }
    const versions2 = { ...versions1, 2: jsonSchema<{ key: string; n: number }>(V2) }
    const Old = event('stock.moved', { owner: owners, key: 'key', versions: versions1 })
    const New = event('stock.moved', {
      owner: owners,
      key: 'key',
      versions: versions2,
      upcast: {
        1: (old: { key: string }) => {
          if (old.key === 'bad') throw new Error('it has no number')
          return { ...old, n: 7 }
        },
      },
    })
    const seen: unknown[] = []
    const now = consumer('now', {
      ...policy,
      on: New,
      handle: async (data) => void seen.push(data),
    })
    const then = consumer('then', {
      ...policy,
      on: New.version(1),
      handle: async (data) => void seen.push(data),
    })
    const build =
      (contract: typeof Old | typeof New, parts: readonly ReturnType<typeof consumer>[]) => () =>
        integration('stock', { parts: [contract, ...parts], tables: [EFFECTS] })
    const writer = await world.start([], { build: build(Old, []) })
    await writer.publish(Old.of({ key: 'a' }))
    await writer.publish(Old.of({ key: 'bad' }))
    await writer.close()

    await world.start([], { build: build(New, [now, then]) })
    await world.runtime.idle()

    expect(seen).toContainEqual({ key: 'a', n: 7 })
    expect(seen.filter((one) => JSON.stringify(one) === '{"key":"a"}')).toHaveLength(1)
    const { items } = await world.runtime.deadLetters({})
    expect(items).toMatchObject([
      { consumer: 'now', attempts: 1, errorName: 'JUNCTURA_DATA_UNREADABLE', key: 'bad' },
    ])
  })

  it('finishes what the filter leaves out without the handler, and retries a filter that throws', async () => {
    const world = createWorld()
    const seen: number[] = []
    let isBroken = true
    const filter = (order: { n: number }): boolean => {
      if (order.n === 3 && isBroken) throw new Error('filter')
      return order.n > 1
    }
    const one = placedConsumer(
      'one',
      { filter, on: Placed },
      async (order) => void seen.push(order.n),
    )
    await world.start([one])

    await world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 }, { key: 'a', n: 3 })
    await world.runtime.idle()
    isBroken = false
    await world.pass(2_000)

    expect(seen).toEqual([2, 3])
    expect((await world.runtime.consumers())[0]).toMatchObject({ lag: 0, retrying: 0 })
  })
})
