import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { createMemoryBroker } from '../testing/index.ts'
import { createWorld, effect, Placed, placedConsumer } from './world.fixture.ts'

describe('a broker that is away from the start', () => {
  it('is told of after half a minute, and resolved when it comes; consumers read the store meanwhile', async () => {
    const world = createWorld()
    const broker = createMemoryBroker()
    broker.isDown = true
    const one = placedConsumer('one', {}, (order, ctx) => effect('one', order, ctx).then(() => {}))
    await world.start([one], { transport: { engine: 'custom', open: async () => broker } })
    await world.publish({ key: 'a', n: 1 }, { key: 'b', n: 2 })
    await world.pass(5_000)
    expect(await world.effects()).toEqual(['a:1', 'b:2'])
    expect((await world.runtime.alerts({})).items).toEqual([])

    await world.pass(LIMITS.brokerDownAlertMs)
    const { items } = await world.runtime.alerts({})
    expect(items).toMatchObject([{ kind: 'transport-down', state: 'open' }])

    broker.isDown = false
    await world.pass(60_000)
    expect((await world.runtime.alerts({})).items).toMatchObject([{ state: 'resolved' }])
    expect(broker.messages(Placed.channel)).toHaveLength(2)
  })
})
