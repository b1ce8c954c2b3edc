import { describe, expect, it } from 'vitest'
import { consumer, integration, system, unsigned, webhook } from '../contract/index.ts'
import { sleep } from '../kernel/index.ts'
import { bodyOfBytes } from '../ingress/index.ts'
import { effector, numbers, quick, worldAfter } from './replays.fixture.ts'
import {
  createWorld,
  effect,
  EFFECTS,
  never,
  type Order,
  owners,
  Placed,
  placedConsumer,
  policy,
  Shipped,
  type StartOptions,
  type World,
} from './world.fixture.ts'

/** A fault that acts at one point of the store, once, when it is armed. */
const trap = (
  point: 'before-commit' | 'after-commit',
  act: () => Promise<void>,
): { arm(): void; readonly fault: NonNullable<StartOptions['fault']> } => {
  let isArmed = false
  return {
    arm: () => {
      isArmed = true
    },
    fault: async (at) => {
      if (!isArmed || at !== point) return
      isArmed = false
      await act()
    },
  }
}

const dies = (world: World) => async (): Promise<void> => {
  world.crash()
  await never()
}

describe('what is published outside a handler', () => {
  it('is there when publish resolves and nowhere when it rejects, all of it or nothing (M2)', async () => {
    const world = createWorld()
    const refusal = trap('before-commit', () => Promise.reject(new Error('no')))
    await world.start([effector('one', quick)], { fault: refusal.fault })

    refusal.arm()
    const refused = world.publish({ key: 'a', n: 1 }, { key: 'b', n: 2 })
    await expect(refused).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
    await world.publish({ key: 'a', n: 3 }, { key: 'b', n: 4 })
    world.crash()
    await world.start([effector('one', quick)])
    await world.pass(1_000)

    expect([...(await world.effects())].sort()).toEqual(['a:3', 'b:4'])
  })
})

describe('two consumers in one process', () => {
  it('have each message once each, and the failure of one is nothing to the other (M4)', async () => {
    const world = createWorld()
    const failing = placedConsumer(
      'one',
      { ...quick, afterDeadLetter: 'skip' },
      async (order, ctx) => {
        if (order.n % 2 === 0) throw new Error('even')
        await effect('one', order, ctx)
      },
    )
    const parts = [failing, effector('two', quick)]
    await world.start(parts)
    await world.publish(...numbers(10))
    await world.pass(1)
    world.crash()
    await world.start(parts)
    await world.pass(5_000)

    expect([...(await world.effects('one'))].sort()).toEqual([
      'k1:1',
      'k3:3',
      'k5:5',
      'k7:7',
      'k9:9',
    ])
    expect([...(await world.effects('two'))].sort()).toEqual(
      numbers(10).map(({ n }) => `k${n}:${n}`),
    )
  })
})

describe('a repeat of a message whose answer was lost', () => {
  it('is answered with the first id, and what the first made is handled once (M12, F3)', async () => {
    const world = createWorld()
    const death = trap('after-commit', dies(world))
    const hook = webhook('partner', {
      from: system('partner', { owner: owners }),
      path: '/webhooks/partner',
      verify: unsigned({ reason: 'a test' }),
      accepts: Placed,
      retriesFor: '1d',
      idempotency: { retention: '7d' },
      emit: (order) => Shipped.of(order),
    })
    const shipped = consumer('shipped', {
      ...policy,
      on: Shipped,
      handle: async (order, ctx) => void (await effect('shipped', order, ctx)),
    })
    const build: StartOptions['build'] = (parts) =>
      integration('demo', { parts: [hook, ...parts], tables: [EFFECTS] })
    const send = (order: Order): Promise<{ readonly status: number } | undefined> =>
      world.orGone(
        world.runtime.ingress.handle({
          method: 'POST',
          target: '/webhooks/partner',
          rawHeaders: ['content-type', 'application/json'],
          body: bodyOfBytes(Buffer.from(JSON.stringify(order))),
          remoteAddress: '127.0.0.1',
        }),
      )
    await world.start([shipped], { build, fault: death.fault })

    death.arm()
    expect(await send({ key: 'a', n: 1 })).toBeUndefined()
    await world.start([shipped], { build })
    const repeats = await Promise.all([send({ key: 'a', n: 1 }), send({ key: 'a', n: 1 })])
    await world.pass(5_000)

    expect(repeats).toMatchObject([{ status: 200 }, { status: 200 }])
    expect(await world.effects()).toEqual(['a:1'])
  })
})

describe('a dead letter that cannot be written', () => {
  const failing = placedConsumer('one', quick, () => Promise.reject(new Error('bad')))

  it('is written when the store takes it again; the message waits meanwhile (M22)', async () => {
    const world = createWorld()
    let refusals = 0
    const fault: StartOptions['fault'] = async (point) => {
      if (point === 'before-commit' && refusals-- > 0) throw new Error('no')
    }
    const one = placedConsumer('one', quick, () => {
      refusals = 5
      return Promise.reject(new Error('bad'))
    })
    await world.start([one], { fault })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_200)
    expect((await world.runtime.deadLetters({})).items).toEqual([])
    expect((await world.runtime.consumers())[0]).toMatchObject({ lag: 1 })
    await world.pass(10_000)

    expect((await world.runtime.deadLetters({})).items).toMatchObject([
      { attempts: 1, position: 1 },
    ])
    expect((await world.runtime.consumers())[0]).toMatchObject({ lag: 0 })
  })

  it('because the process dies is written by the next, once, whatever had reached the disk (M22)', async () => {
    for (const point of ['before-commit', 'after-commit'] as const) {
      const world = createWorld()
      const death = trap(point, dies(world))
      const one = placedConsumer('one', quick, () => {
        death.arm()
        return Promise.reject(new Error('bad'))
      })
      await world.start([one], { fault: death.fault })
      await world.orGone(world.publish({ key: 'a', n: 1 }))
      await world.pass(1_000)
      expect(world.isUp).toBe(false)
      await world.start([failing])
      await world.pass(5_000)

      expect((await world.runtime.deadLetters({})).items).toMatchObject([{ position: 1 }])
      world.crash()
    }
  })
})

describe('what a completed message emitted', () => {
  it('is delivered, though the process dies before it could, and its consumer is gone for good (M26)', async () => {
    const world = createWorld()
    const death = trap('after-commit', dies(world))
    const emitter = placedConsumer('emitter', quick, async (order, ctx) => {
      ctx.emit(Shipped.of(order))
      death.arm()
      await effect('emitter', order, ctx)
      throw new Error('after its transaction')
    })
    const shipped = consumer('shipped', {
      ...policy,
      on: Shipped,
      handle: async (order, ctx) => void (await effect('shipped', order, ctx)),
    })
    await world.start([emitter, shipped], { fault: death.fault })
    await world.orGone(world.publish({ key: 'a', n: 1 }))
    await world.pass(1_000)
    expect(world.isUp).toBe(false)
    await world.start([shipped])
    await world.pass(1_000)

    expect(await world.effects('emitter')).toEqual(['a:1'])
    expect(await world.effects('shipped')).toEqual(['a:1'])
  })
})

describe('a start after a crash', () => {
  it('takes up what was running without waiting for any time to pass (M33)', async () => {
    const world = createWorld()
    const hanging = placedConsumer('one', {}, () => never())
    await world.start([hanging])
    await world.publish(...numbers(20))
    await world.pass(100)
    world.crash()
    const beforeMs = world.clock.monotonicMs()

    await world.start([effector('one', {})])
    await world.runtime.idle()

    expect(world.clock.monotonicMs()).toBe(beforeMs)
    expect(await world.effects()).toHaveLength(20)
  })

  it('reads as much of the log and of the state, however much was done before (M36)', async () => {
    const readsAfter = async (count: number): Promise<number> => {
      const world = await worldAfter([effector('one', quick)], numbers(count, 7))
      await world.runtime.close()
      let reads = 0
      await world.start([effector('one', quick)], {
        fault: async (point) => void (reads += point === 'read' ? 1 : 0),
      })
      await world.runtime.idle()
      return reads
    }

    const few = await readsAfter(10)

    expect(few).toBeGreaterThan(0)
    expect(await readsAfter(3_000)).toBe(few)
  })
})

describe('a handler that waits', () => {
  it('holds no transaction: everybody else commits meanwhile (M34)', async () => {
    const world = createWorld()
    const slow = placedConsumer('slow', { timeout: '1h' }, async (order, ctx) => {
      await sleep(world.clock, 1_800_000)
      await effect('slow', order, ctx)
    })
    await world.start([slow, effector('quick', {})])
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)
    await world.publish({ key: 'b', n: 2 })
    await world.pass(1_000)

    expect(await world.effects('quick')).toEqual(['a:1', 'b:2'])
    expect(await world.effects('slow')).toEqual([])
    await world.pass(1_800_000)
    expect([...(await world.effects('slow'))].sort()).toEqual(['a:1', 'b:2'])
  })
})
