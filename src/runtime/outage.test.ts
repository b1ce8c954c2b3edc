import { describe, expect, it } from 'vitest'
import { consumer, slotOf } from '../contract/index.ts'
import { leasesOf } from './leases.fixture.ts'
import {
  createWorld,
  effect,
  type Order,
  Placed,
  placedConsumer,
  policy,
  type World,
} from './world.fixture.ts'

const outage = { after: 5, probe: '10s' } as const
const retry = { attempts: 3, first: '1s', max: '10s', jitter: 'none' } as const

const orders = (count: number): readonly Order[] =>
  Array.from({ length: count }, (_, n) => ({ key: `k${n}`, n }))

const modeOf = async (world: World): Promise<string | undefined> =>
  (await world.runtime.consumers())[0]?.mode

describe('when everything a consumer does fails (M25)', () => {
  /** A hundred messages for a consumer whose database is down. */
  const down = (): {
    readonly world: World
    readonly attempts: number[]
    readonly one: ReturnType<typeof placedConsumer>
    mend(): void
  } => {
    const world = createWorld()
    const attempts: number[] = []
    let isDown = true
    const one = placedConsumer('one', { outage, retry, concurrency: 4 }, async (order, ctx) => {
      attempts.push(world.clock.monotonicMs())
      if (isDown) throw new Error('connection refused')
      await effect('one', order, ctx)
    })
    return { world, attempts, one, mend: () => (isDown = false) }
  }

  it('tries one message at a time and says so, instead of burying the backlog', async () => {
    const { world, attempts, one } = down()
    await world.start([one])
    await world.publish(...orders(100))
    await world.pass(500)

    expect(await modeOf(world)).toBe('outage')
    const before = attempts.length
    expect(before).toBeLessThanOrEqual(5 + 4)
    await world.pass(100_000)

    const probes = attempts.slice(before)
    expect(probes.length).toBeGreaterThanOrEqual(9)
    expect(probes.length).toBeLessThanOrEqual(10)
    probes.forEach((atMs, index) => {
      if (index > 0) expect(atMs - (probes[index - 1] ?? 0)).toBeGreaterThanOrEqual(10_000)
    })
    expect(await world.runtime.overview()).toMatchObject({ deadLettersOpen: 0, status: 'degraded' })
    expect((await world.runtime.overview()).reasons.join()).toContain('one fails on everything')
    expect(world.sent).toMatchObject([{ kind: 'opened', cause: 'outage/one' }])
    expect(world.sent[0]?.title).toContain('connection refused')
  })

  it('goes on by itself at the first success, in order, with what waited', async () => {
    const { world, attempts, one, mend } = down()
    await world.start([one])
    await world.publish(...orders(100), ...orders(100).map((order) => ({ ...order, n: 1_000 })))
    await world.pass(30_000)
    mend()
    await world.pass(20_000)

    expect(await modeOf(world)).toBe('running')
    const effects = await world.effects()
    expect(effects).toHaveLength(200)
    for (const { key, n } of orders(100)) {
      expect(effects.filter((one) => one.startsWith(`${key}:`))).toEqual([
        `${key}:${n}`,
        `${key}:1000`,
      ])
    }
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened', 'resolved'])
    expect(attempts.length).toBeLessThan(200 + 20)
  })

  it('stays so across a crash: the next process begins with one probe', async () => {
    const { world, attempts, one, mend } = down()
    await world.start([one])
    await world.publish(...orders(100))
    await world.pass(60_000)
    world.crash()

    // What was claimed runs once, alone, and is a retry from then on.
    expect(await world.boot([one])).toBe(true)
    world.crash()
    const before = attempts.length
    expect(await world.boot([one])).toBe(true)
    await world.pass(9_000)
    expect(attempts.length - before).toBeLessThanOrEqual(2)
    expect(await modeOf(world)).toBe('outage')

    mend()
    await world.pass(30_000)
    expect(await world.effects()).toHaveLength(100)
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened', 'resolved'])
  })

  it('holds a batch consumer back the same way', async () => {
    const world = createWorld()
    const sizes: number[] = []
    let isDown = true
    const batch = consumer('one', {
      ...policy,
      outage,
      on: Placed,
      batch: { max: 20, maxAge: 0 },
      handleBatch: (items) => {
        sizes.push(items.length)
        return isDown ? Promise.reject(new Error('down')) : Promise.resolve()
      },
    })
    await world.start([batch])
    await world.publish(...orders(100))
    await world.pass(30_000)

    expect(await modeOf(world)).toBe('outage')
    expect(sizes.slice(0, 6)).toEqual([20, 1, 1, 1, 1, 1])
    expect(sizes.slice(6).every((size) => size === 1)).toBe(true)
    expect(sizes.length).toBeLessThanOrEqual(6 + 3)
    isDown = false
    await world.pass(20_000)
    expect((await world.runtime.consumers())[0]).toMatchObject({ mode: 'running', lag: 0 })
    expect(sizes.slice(9)).toContain(20)
  })
})

describe('what is not an outage', () => {
  it('is one poison message that fails again and again, or errors that nothing can mend', async () => {
    const world = createWorld()
    const fails = placedConsumer(
      'one',
      { outage, retry: { ...retry, attempts: 20 }, permanent: ['Fatal'] },
      (order) => {
        const error = new Error('bad')
        if (order.key !== 'poison') error.name = 'Fatal'
        return Promise.reject(error)
      },
    )
    await world.start([fails])
    await world.publish({ key: 'poison', n: 0 }, ...orders(20))
    await world.pass(600_000)

    expect(await modeOf(world)).toBe('running')
    expect((await world.runtime.overview()).deadLettersOpen).toBe(21)
  })

  it('is one that the declaration no longer asks about: its alert is resolved', async () => {
    const world = createWorld()
    const handle = (): Promise<void> => Promise.reject(new Error('down'))
    await world.start([placedConsumer('one', { outage, retry }, handle)])
    await world.publish(...orders(20))
    await world.pass(1_000)
    expect(await modeOf(world)).toBe('outage')
    await world.runtime.close()

    await world.start([placedConsumer('one', { retry }, handle)])
    await world.pass(1_000)
    expect(await modeOf(world)).toBe('running')
    const causes = (await world.runtime.alerts({ state: 'open' })).items.map(({ cause }) => cause)
    expect(causes).not.toContain('outage/one')
  })
})

describe('an outage of several partitions of a consumer', () => {
  const divided = () => {
    const world = createWorld()
    const down = new Set<number>()
    const one = placedConsumer(
      'one',
      { outage, retry: { ...retry, attempts: 8 }, concurrency: 4, partitions: 2 },
      async ({ key }) => {
        const half = slotOf('default', key) < 32 ? 0 : 1
        if (down.has(half)) throw new Error('connection refused')
      },
    )
    return { world, down, one }
  }
  const states = async (world: World): Promise<readonly string[]> =>
    (await world.runtime.alerts({})).items.map(({ cause, state }) => `${cause} ${state}`)

  it('is one alert, which is resolved when the last of them is over', async () => {
    const { world, down, one } = divided()
    down.add(0).add(1)
    await world.start([one], { leases: leasesOf() })
    await world.publish(...orders(60))
    await world.pass(5_000)
    expect(await states(world)).toEqual(['outage/one open'])

    down.delete(0)
    await world.pass(25_000)
    expect((await world.runtime.consumers())[0]?.partitions.map(({ mode }) => mode)).toEqual([
      'running',
      'outage',
    ])
    expect(await states(world)).toEqual(['outage/one open'])

    down.delete(1)
    await world.pass(25_000)
    expect(await states(world)).toEqual(['outage/one resolved'])
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened', 'resolved'])
  })
})
