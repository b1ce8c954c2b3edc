import { describe, expect, it } from 'vitest'
import { partitionsOf, slotRanges } from '../consumer/index.ts'
import { JuncturaError, LIMITS, must, sleep } from '../kernel/index.ts'
import { consumer } from '../contract/index.ts'
import { partitionLease } from './lease-names.ts'
import { leasesOf } from './leases.fixture.ts'
import {
  createWorld,
  effect,
  never,
  type Order,
  placedConsumer,
  policy,
  Shipped,
  type World,
} from './world.fixture.ts'

const quick = { retry: { attempts: 1, first: 0, max: '1s' } } as const

const numbers = (count: number, key = (n: number): string => `k${n}`): readonly Order[] =>
  Array.from({ length: count }, (_, n) => ({ key: key(n), n }))

const close = async (world: World, graceMs: number, passMs: number): Promise<void> => {
  const closing = world.runtime.close(graceMs)
  await world.pass(passMs)
  await closing
}

/** What the log said it recovered at the start. */
const recovered = (): { readonly log: Parameters<World['start']>[1]; read(): number } => {
  let suspects = 0
  const ignore = (): void => undefined
  const info = (fields: Readonly<Record<string, unknown>>): void => {
    suspects += Number(fields['suspects'] ?? 0) + Number(fields['lanes'] ?? 0)
  }
  return {
    log: { log: { debug: ignore, info, warn: ignore, error: ignore } },
    read: () => suspects,
  }
}

describe('a stop', () => {
  it('lets what runs finish within its grace, starts nothing new, and leaves no suspects (M39, F14)', async () => {
    const world = createWorld()
    const started: number[] = []
    const one = placedConsumer('one', { concurrency: 2 }, async (order, ctx) => {
      started.push(order.n)
      await sleep(world.clock, 1_000)
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish(...numbers(10))
    await world.pass(500)

    await close(world, 10_000, 5_000)
    expect(started).toEqual([0, 1])
    expect(await world.effects()).toEqual(['k0:0', 'k1:1'])
    await expect(world.publish({ key: 'x', n: 1 })).rejects.toMatchObject({
      code: 'JUNCTURA_CLOSED',
    })
    const { log, read } = recovered()
    await world.start([one], log)
    await world.pass(10_000)

    expect(read()).toBe(0)
    expect(await world.effects()).toHaveLength(10)
    expect(new Set(started).size).toBe(started.length)
  })

  it('cuts off what does not finish in time and hands it out again (M39)', async () => {
    const world = createWorld()
    let isHanging = true
    const aborted: unknown[] = []
    const one = placedConsumer('one', { timeout: '1h' }, async (order, ctx) => {
      ctx.signal.addEventListener('abort', () => aborted.push(order.n))
      if (isHanging) await sleep(world.clock, 600_000)
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish(...numbers(3))
    await world.pass(100)
    await close(world, 1_000, 5_000)
    expect(aborted).toEqual([0, 1, 2])

    isHanging = false
    await world.start([one])
    await world.pass(700_000)

    expect([...(await world.effects())].sort()).toEqual(['k0:0', 'k1:1', 'k2:2'])
  })

  it('leaves no suspects among retries and successors that were about to run', async () => {
    const world = createWorld()
    let isMended = false
    const one = placedConsumer('one', { ...quick, concurrency: 1 }, async (order, ctx) => {
      if (!isMended && order.key !== 'slow') throw new Error('bad')
      if (order.key === 'slow') await sleep(world.clock, 5_000)
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish(...numbers(40, (n) => `k${n % 2}`))
    await world.pass(500)
    isMended = true
    await world.publish({ key: 'slow', n: 0 })
    await world.pass(100)
    const { items } = await world.runtime.deadLetters({})
    await world.operate({ kind: 'dead-letter.retry', ids: items.map(({ id }) => id) })
    await world.pass(100)
    await close(world, 10_000, 20_000)

    const { log, read } = recovered()
    await world.start([one], log)
    await world.pass(1_000)

    expect(read()).toBe(0)
    const effects = await world.effects()
    expect(effects).toHaveLength(41)
    expect(effects.filter((one) => one.startsWith('k1:'))).toEqual(
      numbers(40, (n) => `k${n % 2}`)
        .filter(({ key }) => key === 'k1')
        .map(({ n }) => `k1:${n}`),
    )
  })

  it('asked for twice is one stop', async () => {
    const world = createWorld()
    await world.start([])
    await Promise.all([world.runtime.close(), world.runtime.close()])
    expect(world.runtime.isAlive()).toBe(false)
  })
})

describe('a drain', () => {
  it('is not ready at once, still takes all until the intake is closed, then takes nothing (M39, F14)', async () => {
    const world = createWorld()
    const one = placedConsumer('one', {}, async (order, ctx) => {
      await sleep(world.clock, 2_000)
      await effect('one', order, ctx)
    })
    await world.start([one])
    let closeIntake = (): void => undefined
    const closed = new Promise<void>((resolve) => (closeIntake = resolve))
    let isDrained = false

    const draining = world.runtime.drain({ closeIntake: () => closed })
    void draining.then(() => (isDrained = true))
    expect(world.runtime.readiness()).toEqual({ ready: false, reasons: ['it is draining'] })
    const ids = await world.publish({ key: 'a', n: 1 })
    await world.pass(100)
    closeIntake()
    await world.pass(100)

    const late = { code: 'JUNCTURA_CLOSED' }
    await expect(world.publish({ key: 'b', n: 2 })).rejects.toMatchObject(late)
    const pause = world.operate({ kind: 'consumer.pause', name: 'one' })
    await expect(pause).rejects.toMatchObject(late)
    expect(isDrained).toBe(false)
    await world.pass(3_000)
    await draining
    expect(await world.effects()).toEqual(['a:1'])
    expect(world.runtime.isAlive()).toBe(true)
    expect(await world.runtime.message(ids[0] ?? '')).toMatchObject({ status: 'done' })
    expect(world.runtime.readiness().reasons).toEqual(['it is drained'])
    await world.runtime.close()
    expect(world.runtime.isAlive()).toBe(false)
  })

  it('goes on when the intake cannot be closed, and ends when handlers do not', async () => {
    const world = createWorld()
    await world.start([placedConsumer('one', { timeout: '1h' }, never)])
    await world.publish({ key: 'a', n: 1 })
    await world.pass(100)
    const closeIntake = () => Promise.reject(new Error('the port is stuck'))

    const draining = world.runtime.drain({ closeIntake, graceMs: 1_000 })
    await world.pass(5_000)
    await draining

    expect(world.runtime.readiness().reasons).toEqual(['it is drained'])
  })
})

describe('a backlog', () => {
  it('of a hundred thousand messages behind a slow consumer stays in the log, and its lag is told', async () => {
    const world = createWorld()
    const one = placedConsumer('one', { concurrency: 8, timeout: '10m' }, () =>
      sleep(world.clock, 60_000),
    )
    await world.start([one])
    for (let page = 0; page < 100; page++) {
      await world.publish(...numbers(1_000).map(({ n }) => ({ key: `k${n}`, n: page * 1_000 + n })))
    }
    await world.pass(1_000)

    const [status] = await world.runtime.consumers()
    expect(status).toMatchObject({ lag: 100_000, inFlight: 8 })
    expect(status?.oldestPendingAgeMs).toBeGreaterThanOrEqual(1_000)
    await world.pass(120_000)
    expect((await world.runtime.consumers())[0]?.lag).toBe(100_000 - 16)

    // A new process has read no more of it than its window holds.
    world.crash()
    let pages = 0
    const fault = async (_point: string, { operation }: { operation: string }): Promise<void> => {
      if (operation === 'readLog') pages += 1
    }
    const idle = placedConsumer('one', { concurrency: 8, timeout: '10m' }, () => never())
    void world.start([idle], { fault })
    await world.pass(60_000)
    expect(pages).toBeLessThan(LIMITS.fetchWindowMax / 256 + 2)
  }, 60_000)

  it('is drained completely, each message once, by one that began late', async () => {
    const world = createWorld()
    await world.start([])
    // Nobody reads yet; the contract is known through its consumer only from here on.
    const one = placedConsumer('one', { ...quick, from: 'earliest' }, (order, ctx) =>
      effect('one', order, ctx).then(() => undefined),
    )
    await world.runtime.close()
    const idle = placedConsumer('idle', quick, () => Promise.resolve())
    await world.start([idle])
    for (let page = 0; page < 12; page++)
      await world.publish(...numbers(1_000, (n) => `k${n % 50}`))
    await world.runtime.idle()
    await world.runtime.close()

    await world.start([idle, one])
    await world.runtime.idle()

    expect(await world.effects('one')).toHaveLength(12_000)
    expect((await world.runtime.consumers()).map(({ lag }) => lag)).toEqual([0, 0])
  })
})

describe('a log that cannot be read', () => {
  it('for a while makes a consumer late, not stopped', async () => {
    const world = createWorld()
    await world.start([placedConsumer('first', quick, () => Promise.resolve())])
    await world.publish(...numbers(20))
    await world.runtime.close()
    let failures = 5
    const fault = async (_point: string, { operation }: { operation: string }): Promise<void> => {
      if (operation === 'readLog' && failures-- > 0) throw new Error('busy')
    }
    const one = placedConsumer('one', quick, (order, ctx) =>
      effect('one', order, ctx).then(() => undefined),
    )
    await world.start([one], { fault })
    await world.pass(10_000)

    expect(await world.effects()).toHaveLength(20)
    expect((await world.runtime.consumers())[0]).toMatchObject({ mode: 'running', lag: 0 })
  })

  it('for good stops its consumer, says so, and skips nothing; a restart resolves the alert', async () => {
    const world = createWorld()
    await world.start([placedConsumer('first', quick, () => Promise.resolve())])
    await world.publish(...numbers(20))
    await world.runtime.close()
    let isDamaged = true
    const fault = async (_point: string, { operation }: { operation: string }): Promise<void> => {
      if (operation !== 'readLog' || !isDamaged) return
      const details = { position: 1, problem: 'its checksum does not match' }
      throw new JuncturaError('JUNCTURA_RECORD_DAMAGED', { details })
    }
    const one = placedConsumer('one', quick, (order, ctx) =>
      effect('one', order, ctx).then(() => undefined),
    )
    await world.start([one], { fault })
    await world.pass(10_000)
    expect((await world.runtime.consumers())[0]).toMatchObject({ mode: 'stopped', watermark: 0 })
    expect(world.sent).toMatchObject([{ kind: 'opened', cause: 'stopped/one' }])
    expect((await world.runtime.overview()).reasons.join()).toContain('one is stopped')
    await world.runtime.close()

    isDamaged = false
    await world.start([one])
    await world.pass(1_000)

    expect(await world.effects()).toHaveLength(20)
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened', 'resolved'])
  })
})

describe('a partition that is stopped', () => {
  it('is told of until it runs again, whatever other partitions of its consumer are opened', async () => {
    const world = createWorld()
    await world.start([placedConsumer('first', quick, () => Promise.resolve())])
    await world.publish(...numbers(20))
    await world.runtime.close()
    const one = placedConsumer('one', { ...quick, partitions: 2 }, () => Promise.resolve())
    const [stopped, other] = partitionsOf(one, slotRanges(2)).map(({ id }) => id)
    const others = ['worker/2', partitionLease(must(other, 'there are two'))]
    let isDamaged = true
    const fault = async (_point: string, { operation }: { operation: string }): Promise<void> => {
      if (operation !== 'readLog' || !isDamaged) return
      const details = { position: 1, problem: 'its checksum does not match' }
      throw new JuncturaError('JUNCTURA_RECORD_DAMAGED', { details })
    }
    await world.start([one], { fault, leases: leasesOf(others) })
    await world.pass(5_000)
    expect(world.sent).toMatchObject([{ kind: 'opened', cause: `stopped/${stopped}` }])

    isDamaged = false
    others.length = 0
    await world.pass(5_000)

    const [view] = await world.runtime.consumers()
    expect(view?.partitions.map(({ mode }) => mode)).toEqual(['stopped', 'running'])
    expect(world.sent).toHaveLength(1)
    await world.runtime.close()

    await world.start([placedConsumer('one', quick, () => Promise.resolve())])
    await world.pass(5_000)
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened', 'resolved'])
  })
})

describe('idle', () => {
  it('waits for what consumers emit to one another, in whatever order they are declared', async () => {
    const world = createWorld()
    const second = consumer('a-second', {
      ...policy,
      on: Shipped,
      handle: (order, ctx) => effect('second', order, ctx).then(() => undefined),
    })
    const first = placedConsumer('b-first', {}, (order, ctx) => {
      ctx.emit(Shipped.of(order))
      return Promise.resolve()
    })
    await world.start([second, first])
    for (let round = 1; round <= 20; round++) {
      await world.publish({ key: 'a', n: round })
      await world.runtime.idle()
      expect(await world.effects('second')).toHaveLength(round)
    }
  })
})

describe('what is shown', () => {
  it('names the state of every message truly', async () => {
    const world = createWorld()
    const one = placedConsumer(
      'one',
      { retry: { attempts: 2, first: '10s', max: '10s' } },
      async (order, ctx) => {
        if (order.key === 'retry') throw new Error('later')
        if (order.key === 'dead') throw Object.assign(new Error('bad'), { name: 'Fatal' })
        if (order.key === 'slow') await sleep(world.clock, 5_000)
        await effect('one', order, ctx)
      },
    )
    await world.start([{ ...one, permanent: ['Fatal'] }])
    await world.publish(
      { key: 'done', n: 1 },
      { key: 'retry', n: 2 },
      { key: 'dead', n: 3 },
      { key: 'dead', n: 4 },
      { key: 'slow', n: 5 },
    )
    await world.pass(100)

    const page = await world.runtime.messages({})
    expect(
      Object.fromEntries(page.items.map(({ position, status }) => [position, status])),
    ).toEqual({
      1: 'done',
      2: 'retrying',
      3: 'dead',
      4: 'parked',
      5: 'pending',
    })
    expect(page.searched).toMatchObject({
      records: 5,
      complete: true,
      fromPosition: 1,
      toPosition: 5,
    })
    const retrying = await world.runtime.message(page.items[3]?.id ?? '')
    expect(retrying?.consumers).toMatchObject([
      {
        consumer: 'one',
        status: 'retrying',
        lastError: 'Error: later',
        attempts: [{ outcome: 'failed' }],
      },
    ])
    expect(await world.runtime.overview()).toMatchObject({
      status: 'degraded',
      deadLettersOpen: 1,
      alertsOpen: 1,
    })
    expect((await world.runtime.messages({ key: 'dead', status: 'parked' })).items).toHaveLength(1)
  })

  it('says how far a search came, and goes on from there', async () => {
    const world = createWorld()
    const one = placedConsumer('one', quick, () => Promise.resolve())
    await world.start([one])
    for (let page = 0; page < 30; page++) await world.publish(...numbers(1_000))
    await world.runtime.idle()

    const first = await world.runtime.messages({ key: 'none' })
    expect(first.searched).toMatchObject({ records: 20_000, complete: false, fromPosition: 10_001 })
    const second = await world.runtime.messages({ key: 'none', after: first.next ?? '' })
    expect(second.searched).toMatchObject({ complete: true, toPosition: 10_000, fromPosition: 1 })
    expect(second.next).toBeUndefined()
  })

  it('finds a message by its id after a restart, also one that was emitted days later', async () => {
    const world = createWorld()
    let isMended = false
    const first = placedConsumer(
      'first',
      { retry: { attempts: 9, first: '24h', max: '24h' } },
      async (order, ctx) => {
        if (!isMended) throw new Error('later')
        ctx.emit(Shipped.of(order))
      },
    )
    const second = consumer('second', { ...policy, on: Shipped, handle: () => Promise.resolve() })
    await world.start([first, second])
    const [id = ''] = await world.publish({ key: 'a', n: 1 })
    await world.pass(86_400_000 * 1.5)
    isMended = true
    await world.pass(86_400_000 * 2)
    await world.runtime.close()
    await world.start([first, second])

    expect(await world.runtime.message(id)).toMatchObject({ id, status: 'done' })
    expect(await world.runtime.message(`${id}.first.0`)).toMatchObject({ type: 'orders.shipped' })
    expect(await world.runtime.message('msg_unknown')).toBeUndefined()
    const missing = await world.runtime.messages({ id: 'msg_unknown' })
    expect(missing).toMatchObject({ items: [], searched: { complete: true } })
  })
})
