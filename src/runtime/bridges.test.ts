import { describe, expect, it } from 'vitest'
import { JuncturaError, LIMITS } from '../kernel/index.ts'
import { createMemoryBroker, type MemoryBroker } from '../testing/index.ts'
import type { BridgeChoice, BrokerChoice } from './open-transport.ts'
import { createWorld, effect, Placed, placedConsumer, type World } from './world.fixture.ts'

const choice = (name: string, broker: MemoryBroker): BrokerChoice => ({
  engine: 'custom',
  name,
  open: async () => broker,
})

const one = placedConsumer('one', {}, async (order, ctx) => {
  await effect('one', order, ctx)
})

const orders = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => ({ key: `k${at % 3}`, n: from + at }))

/** The numbers of one key, in the order in which the broker confirmed them. */
const numbersOf = (broker: MemoryBroker, key?: string): readonly number[] =>
  broker
    .messages(Placed.channel)
    .filter((message) => key === undefined || message.key.endsWith(key))
    .map(({ data }): number => JSON.parse(Buffer.from(data).toString()).n)

const close = async (world: World): Promise<void> => {
  let isClosed = false
  void world.runtime.close().then(() => (isClosed = true))
  while (!isClosed) await world.pass(100)
}

describe('a bridge', () => {
  it('is given every message in the order of the log, also what it missed while it was away; consumers are not kept waiting (F, M6)', async () => {
    const world = createWorld()
    const bridge = createMemoryBroker()
    await world.start([one], {
      transport: { engine: 'embedded' },
      bridges: [choice('other', bridge)],
    })
    await world.publish(...orders(1, 10))
    await world.pass(1_000)
    expect(numbersOf(bridge)).toEqual(orders(1, 10).map(({ n }) => n))

    bridge.isDown = true
    await world.publish(...orders(11, 30))
    await world.pass(60_000)
    expect(await world.effects()).toHaveLength(30)
    expect((await world.runtime.overview()).transport.bridges).toMatchObject([
      { name: 'other', unpublished: 20 },
    ])
    bridge.isDown = false
    await world.pass(LIMITS.relayPauseMsMax * 2)
    for (const key of ['k0', 'k1', 'k2']) {
      const numbers = numbersOf(bridge, key)
      expect(numbers).toEqual([...numbers].sort((left, right) => left - right))
    }
    expect(new Set(numbersOf(bridge))).toEqual(new Set(orders(1, 30).map(({ n }) => n)))
    await close(world)
  })

  it('lets a running system change its broker: each has everything from the day of the bridge, in order and once, and no effect is doubled', async () => {
    const world = createWorld()
    const [old, next] = [createMemoryBroker(), createMemoryBroker()]
    await world.start([one], { transport: choice('old', old) })
    await world.publish(...orders(1, 5))
    await world.pass(1_000)
    await close(world)

    await world.start([one], { transport: choice('old', old), bridges: [choice('next', next)] })
    await world.publish(...orders(6, 20))
    await world.pass(1_000)
    await close(world)

    await world.start([one], { transport: choice('next', next), bridges: [choice('old', old)] })
    await world.publish(...orders(21, 40))
    await world.pass(1_000)
    await close(world)

    await world.start([one], { transport: choice('next', next) })
    await world.publish(...orders(41, 45))
    await world.pass(1_000)

    expect(numbersOf(old)).toEqual(orders(1, 40).map(({ n }) => n))
    expect(numbersOf(next)).toEqual(orders(6, 45).map(({ n }) => n))
    const effects = await world.effects()
    expect(effects).toHaveLength(45)
    expect(new Set(effects).size).toBe(45)
    await close(world)
  })

  it.each([
    ['now', [6, 7]],
    ['earliest', [1, 2, 3, 4, 5, 6, 7]],
  ] as const)('that is new begins with %s', async (from, expected) => {
    const world = createWorld()
    await world.start([one])
    await world.publish(...orders(1, 5))
    await world.pass(1_000)
    await close(world)
    const bridge = createMemoryBroker()
    await world.start([one], { bridges: [{ ...choice('other', bridge), from }] })
    await world.publish(...orders(6, 7))
    await world.pass(1_000)
    expect(numbersOf(bridge)).toEqual(expected)
    await close(world)
  })

  it('goes on after a crash without a gap', async () => {
    const world = createWorld()
    const bridge = createMemoryBroker()
    await world.start([one], { bridges: [choice('other', bridge)] })
    for (let round = 0; round < 5; round++) {
      await world.publish(...orders(round * 10 + 1, round * 10 + 10))
      await world.pass(round * 300)
      world.crash()
      await world.start([one], { bridges: [choice('other', bridge)] })
    }
    await world.pass(10_000)
    const numbers = numbersOf(bridge)
    const firsts = numbers.filter((n, at) => numbers.indexOf(n) === at)
    expect(firsts).toEqual(orders(1, 50).map(({ n }) => n))
    await close(world)
  })

  it('that is taken away takes its alerts with it', async () => {
    const world = createWorld()
    const bridge = createMemoryBroker()
    bridge.isDown = true
    await world.start([one], { bridges: [choice('other', bridge)] })
    await world.pass(LIMITS.brokerDownAlertMs + 5_000)
    const open = { kind: 'transport-down', state: 'open' }
    expect((await world.runtime.alerts({})).items).toMatchObject([open])
    await close(world)
    await world.start([one])
    await world.pass(5_000)
    expect((await world.runtime.alerts({})).items).toMatchObject([{ state: 'resolved' }])
    await close(world)
  })

  it.each<[string, readonly BridgeChoice[]]>([
    ['two brokers are called other', [1, 2].map(() => choice('other', createMemoryBroker()))],
    ['cannot be used', [choice('Other', createMemoryBroker())]],
    [
      'has no channel nothing',
      [{ ...choice('other', createMemoryBroker()), channels: ['nothing'] }],
    ],
  ])('is refused where %s', async (problem, bridges) => {
    const world = createWorld()
    await expect(world.start([one], { bridges })).rejects.toThrow(problem)
  })
})

describe('a start that a bridge refuses', () => {
  it('leaves nothing running: no consumer, and no other broker open', async () => {
    const world = createWorld()
    await world.start([one])
    await world.pass(1_000)
    const ran: number[] = []
    const late = placedConsumer('late', { from: 'earliest' }, async ({ n }) => {
      ran.push(n)
    })
    await world.publish(...orders(1, 3))
    await close(world)
    const first = createMemoryBroker()
    let closed = 0
    const watched = Object.assign(first, { close: async () => void (closed += 1) })
    const refusal = new JuncturaError('JUNCTURA_TRANSPORT_REFUSED', {
      details: { engine: 'custom', resource: 'the broker', problem: 'no', fix: 'none' },
    })
    const broken: BridgeChoice = {
      engine: 'custom',
      name: 'broken',
      open: () => Promise.reject(refusal),
    }

    await expect(
      world.start([late], { bridges: [choice('first', watched), broken] }),
    ).rejects.toThrow(refusal)
    const before = ran.length
    await world.pass(60_000)

    expect(ran).toHaveLength(before)
    expect(closed).toBe(1)
    expect(world.clock.pendingTimers).toEqual([])
  })
})
