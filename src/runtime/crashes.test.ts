import { describe, expect, it } from 'vitest'
import type { Consumer, ConsumerContext } from '../contract/index.ts'
import { LIMITS, sleep } from '../kernel/index.ts'
import {
  createWorld,
  effect,
  never,
  type Order,
  placedConsumer,
  type World,
} from './world.fixture.ts'

const orders = (count: number, key = (n: number): string => `k${n}`): readonly Order[] =>
  Array.from({ length: count }, (_, n) => ({ key: key(n), n }))

/** A handler in which one order takes the whole process down. */
const deadly =
  (world: World, isPoison: (order: Order, ctx: ConsumerContext) => boolean) =>
  async (order: Order, ctx: ConsumerContext): Promise<void> => {
    if (isPoison(order, ctx)) {
      world.crash()
      await never()
    }
    await effect('one', order, ctx)
  }

/** Starts processes until one stays, as a supervisor does; says how many it took. */
const supervise = async (
  world: World,
  parts: readonly Consumer[],
  limits: { readonly starts: number; readonly passMs?: number },
): Promise<number> => {
  for (let starts = 1; starts <= limits.starts; starts++) {
    if (!(await world.boot(parts))) continue
    await world.pass(limits.passMs ?? 1_000)
    if (world.isUp) return starts
  }
  return Number.POSITIVE_INFINITY
}

describe('a process that dies', () => {
  it('in the middle of a handler hands the message out again, with no effect of the first try (F8)', async () => {
    const world = createWorld()
    let deaths = 1
    const one = placedConsumer(
      'one',
      {},
      deadly(world, (order) => order.n === 1 && deaths-- > 0),
    )
    await world.start([one])
    await world.publish(...orders(3, () => 'a'))
    await world.pass(1_000)

    await world.start([one])
    await world.runtime.idle()

    expect(await world.effects()).toEqual(['a:0', 'a:1', 'a:2'])
  })

  it('of one message again and again: it becomes a dead letter, and all others are done (M19, M20, F13)', async () => {
    const world = createWorld()
    let deaths = 0
    const attempts = { retry: { attempts: 10, first: '1s', max: '1s' } } as const
    const one = placedConsumer(
      'one',
      attempts,
      deadly(world, (order) => order.n === 7 && ++deaths > 0),
    )
    await world.start([one])
    await world.publish(...orders(30))
    await world.pass(1_000)

    const starts = await supervise(world, [one], { starts: 10 })

    // Once beside the others, and then alone as often as is allowed.
    expect(deaths).toBe(1 + LIMITS.crashesMax)
    expect(starts).toBe(LIMITS.crashesMax + 1)
    expect([...(await world.effects())].sort()).toEqual(
      orders(30)
        .filter(({ n }) => n !== 7)
        .map(({ key, n }) => `${key}:${n}`)
        .sort(),
    )
    const { items } = await world.runtime.deadLetters({})
    expect(items).toMatchObject([
      { key: 'k7', crashes: LIMITS.crashesMax, errorName: 'JUNCTURA_ATTEMPT_CRASHED' },
    ])
  })

  it('leaves the neighbours of a poison a clean count: they still have all their attempts (M20)', async () => {
    const world = createWorld()
    const attempts: number[] = []
    const one = placedConsumer('one', {}, async (order, ctx) => {
      if (order.n === 3) {
        world.crash()
        await never()
      }
      if (order.n === 1) {
        attempts.push(ctx.attempt)
        // Is running while the neighbour kills the process.
        if (attempts.length === 1) await never()
        throw new Error('down')
      }
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish(...orders(5))
    await world.pass(1_000)

    await supervise(world, [one], { starts: 10, passMs: 60_000 })

    const { items } = await world.runtime.deadLetters({})
    const innocent = items.find(({ key }) => key === 'k1')
    expect(innocent).toMatchObject({ attempts: 3, crashes: 0 })
    expect(attempts).toEqual([1, 1, 2, 3])
  })

  it('of a message far ahead in a burst is known at once: it was claimed before it ran (M19)', async () => {
    const world = createWorld()
    let deaths = 0
    const one = placedConsumer('one', { concurrency: 512 }, async (order, ctx) => {
      if (order.n === 399) {
        deaths += 1
        world.crash()
        await never()
      }
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish(...orders(400))
    await world.pass(1_000)
    expect(deaths).toBe(1)

    await supervise(world, [one], { starts: 10 })

    expect(deaths).toBe(1 + LIMITS.crashesMax)
    expect(await world.effects()).toHaveLength(399)
  })

  it('while a retry runs: the head is counted when it dies alone, and not when a neighbour did it', async () => {
    const world = createWorld()
    let deaths = 0
    const retry = { attempts: 9, first: '1s', factor: 1, max: '1s', jitter: 'none' } as const
    const one = placedConsumer('one', { retry }, async (order, ctx) => {
      if (ctx.attempt === 1) throw new Error('first')
      deaths += 1
      world.crash()
      await never()
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })
    await world.pass(2_000)
    expect(deaths).toBe(1)

    await supervise(world, [one], { starts: 10 })

    expect(deaths).toBe(1 + LIMITS.crashesMax)
    expect((await world.runtime.deadLetters({})).items).toMatchObject([
      { key: 'a', crashes: LIMITS.crashesMax, attempts: 1 + LIMITS.crashesMax },
    ])
  })

  it('of a successor that a person released: it too is found and parked again (M20)', async () => {
    const world = createWorld()
    let isMended = false
    let deaths = 0
    const one = placedConsumer(
      'one',
      { retry: { attempts: 8, first: '1s', max: '1s' } },
      async (order, ctx) => {
        if (order.n === 0 && !isMended) throw Object.assign(new Error('bad'), { name: 'Bad' })
        if (order.n === 2) {
          deaths += 1
          world.crash()
          await never()
        }
        await effect('one', order, ctx)
      },
    )
    const permanent = { ...one, permanent: ['Bad'] }
    await world.start([permanent])
    await world.publish(...orders(5, () => 'a'))
    await world.runtime.idle()
    const { items } = await world.runtime.deadLetters({})
    isMended = true
    await world.operate({ kind: 'dead-letter.retry', ids: [items[0]?.id ?? ''] })
    await world.pass(1_000)

    await supervise(world, [permanent], { starts: 10 })

    expect(deaths).toBe(1 + LIMITS.crashesMax)
    expect(await world.effects()).toEqual(['a:0', 'a:1'])
    expect((await world.runtime.deadLetters({})).items).toMatchObject([{ key: 'a', position: 3 }])
  })

  it('at the commit leaves one effect, whether the commit reached the disk or not (F3, F9)', async () => {
    for (const point of ['before-commit', 'after-commit'] as const) {
      const world = createWorld()
      const one = placedConsumer('one', {}, (order, ctx) =>
        effect('one', order, ctx).then(() => undefined),
      )
      let commits = 0
      // Long enough to pass every commit of the start and of ten messages.
      for (let dieAt = 1; dieAt <= 25; dieAt++) {
        commits = 0
        const fault = async (at: string): Promise<void> => {
          if (at !== point || ++commits !== dieAt) return
          world.crash()
          await never()
        }
        if (await world.boot([one], { fault }))
          void world.publish({ key: `k${dieAt % 3}`, n: dieAt }).catch(() => undefined)
        await world.pass(1_000)
        world.crash()
      }
      await world.start([one])
      await world.pass(5_000)

      const effects = await world.effects()
      expect(new Set(effects).size).toBe(effects.length)
      expect((await world.runtime.consumers())[0]).toMatchObject({ lag: 0 })
      const head = (await world.runtime.overview()).store.headPosition
      expect(effects).toHaveLength(head)
      world.crash()
    }
  })

  it('stops running handlers once a commit may or may not have happened, and says so (F21)', async () => {
    const world = createWorld()
    let runs = 0
    let isLying = false
    const fatal: unknown[] = []
    const fault = (point: string): Promise<void> =>
      isLying && point === 'after-commit' ? Promise.reject(new Error('lost')) : Promise.resolve()
    const one = placedConsumer('one', {}, async (order, ctx) => {
      runs += 1
      isLying = true
      await effect('one', order, ctx)
    })
    await world.start([one], { fault, onFatal: (error) => fatal.push(error) })

    await world.publish(...orders(5, () => 'a'))
    await world.pass(60_000)
    expect(runs).toBe(1)
    expect(fatal).toHaveLength(1)
    expect(world.runtime.readiness().ready).toBe(false)
    await expect(world.publish({ key: 'a', n: 9 })).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_UNKNOWN',
    })
    world.crash()
    isLying = false
    await world.start([
      { ...one, handle: async (data, ctx) => void (await effect('one', data as Order, ctx)) },
    ])
    await world.runtime.idle()

    expect(await world.effects()).toEqual(['a:0', 'a:1', 'a:2', 'a:3', 'a:4'])
  })

  it('runs few suspects after a crash, however much was fetched', async () => {
    const world = createWorld()
    let alone = 0
    const one = placedConsumer('one', { concurrency: 4 }, async (order, ctx) => {
      if (order.n < 2_000) return void (await effect('one', order, ctx))
      await never()
    })
    await world.start([one])
    for (let page = 0; page < 4; page++) {
      await world.publish(
        ...orders(1_000).map(({ n }) => ({ key: `${page}-${n}`, n: page * 1_000 + n })),
      )
    }
    await world.pass(1_000)
    world.crash()

    const infos: Record<string, unknown>[] = []
    const log = {
      debug: () => undefined,
      info: (fields: Record<string, unknown>) => void infos.push(fields),
      warn: () => undefined,
      error: () => undefined,
    }
    const mended = placedConsumer('one', { concurrency: 4 }, async (order, ctx) => {
      await effect('one', order, ctx)
    })
    await world.start([mended], { log })
    await world.runtime.idle()

    alone = Number(infos.find((fields) => 'suspects' in fields)?.['suspects'] ?? 0)
    expect(alone).toBeGreaterThanOrEqual(4)
    expect(alone).toBeLessThan(300)
    expect(await world.effects()).toHaveLength(4_000)
    expect(new Set(await world.effects()).size).toBe(4_000)
  })

  it('during the start after a clean stop that left work behind: what was done beyond it stays done', async () => {
    const world = createWorld()
    const one = placedConsumer('one', { concurrency: 2 }, async (order, ctx) => {
      if (order.key === 'slow') await sleep(world.clock, 1_000)
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish(...orders(3, () => 'slow'), ...orders(20))
    await world.pass(500)
    void world.runtime.close(10_000)
    await world.pass(2_000)
    expect(await world.effects()).toHaveLength(21)

    for (let dieAt = 1; dieAt <= 8; dieAt++) {
      let commits = 0
      const fault = async (point: string): Promise<void> => {
        if (point !== 'after-commit' || ++commits !== dieAt) return
        world.crash()
        await never()
      }
      await world.boot([one], { fault })
      if (world.isUp) world.crash()
    }
    await world.start([one])
    await world.pass(5_000)

    const effects = await world.effects()
    expect(effects).toHaveLength(23)
    expect(new Set(effects).size).toBe(23)
  })
})
