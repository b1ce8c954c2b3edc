import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { createMemoryBroker, type MemoryBroker } from '../testing/index.ts'
import { leasesOf } from './leases.fixture.ts'
import { createWorld, Placed, placedConsumer, type World } from './world.fixture.ts'

const idle = placedConsumer('one', {}, () => Promise.resolve())

const over = (broker: MemoryBroker) => ({
  transport: { engine: 'custom', open: async () => broker } as const,
})

const publishersOf = async (world: World): Promise<readonly (string | null)[]> =>
  (await world.runtime.overview()).transport.publishers.map(({ holder }) => holder)

describe('a channel of a broker on a shared store', () => {
  it('is published by a worker while no process only relays, and is given to one that comes', async () => {
    const world = createWorld()
    const broker = createMemoryBroker()
    const others: string[] = []
    await world.start([idle], { leases: leasesOf(others), ...over(broker) })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)
    expect(broker.messages(Placed.channel)).toHaveLength(1)
    expect(await publishersOf(world)).toEqual(['this'])

    others.push('relay/1')
    await world.pass(1_000)

    expect(await publishersOf(world)).toEqual([null])
    others.push(`publish/custom/${Placed.channel}`)
    await world.publish({ key: 'a', n: 2 })
    await world.pass(30_000)
    expect(broker.messages(Placed.channel)).toHaveLength(1)
  })

  it('is taken over where it was left, when the process that had it is gone', async () => {
    const world = createWorld()
    const broker = createMemoryBroker()
    const others = [`publish/custom/${Placed.channel}`, 'worker/2']
    await world.start([idle], { leases: leasesOf(others), ...over(broker) })
    await world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 })
    await world.pass(3_000)
    expect(broker.messages(Placed.channel)).toHaveLength(0)

    others.splice(0)
    await world.pass(1_000)

    expect(
      broker.messages(Placed.channel).map(({ data }) => JSON.parse(String(Buffer.from(data)))),
    ).toEqual([
      { key: 'a', n: 1 },
      { key: 'a', n: 2 },
    ])
  })

  it('is published in the end by a worker that is not asked to, when nobody else does', async () => {
    const world = createWorld()
    const broker = createMemoryBroker()
    // One that only relays, of a version that does not know the channel.
    await world.start([idle], { leases: leasesOf(['relay/1']), ...over(broker) })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(3_000)
    expect(broker.messages(Placed.channel)).toHaveLength(0)

    await world.pass((LIMITS.leaseFreeLooksMax + 2) * LIMITS.leasePollMs)
    await world.publish({ key: 'a', n: 2 })
    await world.pass(5_000)

    expect(broker.messages(Placed.channel)).toHaveLength(2)
  })

  it('is told of as published to where it is asked for, whoever publishes it', async () => {
    const world = createWorld()
    const broker = createMemoryBroker()
    const others = [`publish/custom/${Placed.channel}`, 'worker/2']
    await world.start([idle], { leases: leasesOf(others), ...over(broker) })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)

    const { transport } = await world.runtime.overview()

    expect(transport).toMatchObject({
      connected: true,
      unpublished: 1,
      publishers: [{ channel: Placed.channel, holder: others[0], managementUrl: null }],
    })
  })
})
