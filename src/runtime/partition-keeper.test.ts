import { describe, expect, it } from 'vitest'
import { partitionsOf, slotRanges } from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'
import type { Leases } from '../store/index.ts'
import { partitionLease } from './lease-names.ts'
import { leasesOf } from './leases.fixture.ts'
import { createWorld, effect, type Order, placedConsumer } from './world.fixture.ts'

const orders: readonly Order[] = Array.from({ length: 20 }, (_, n) => ({ key: `k${n}`, n }))

describe('the partitions of a worker', () => {
  it('are run by it in the end when the worker they are left to does not take them', async () => {
    const world = createWorld()
    const others: string[] = []
    const one = placedConsumer('one', { partitions: 2 }, async (order, ctx) => {
      await effect('one', order, ctx)
    })
    await world.start([one], { leases: leasesOf(others) })
    // Of a version that divides it otherwise, or held up by something.
    others.push('worker/2')
    await world.pass(3_000)
    await world.publish(...orders)
    await world.pass(1_000)
    const { length } = await world.effects()
    expect(length).toBeGreaterThan(0)
    expect(length).toBeLessThan(20)

    await world.pass(15_000)

    expect(await world.effects()).toHaveLength(20)
    // It stays, and is not given back and taken again.
    await world.publish(...orders)
    await world.pass(2_000)
    expect(await world.effects()).toHaveLength(40)
  })

  it('are shared again with a worker that comes later', async () => {
    const world = createWorld()
    const others = ['worker/2']
    const one = placedConsumer('one', { partitions: 2 }, () => Promise.resolve())
    await world.start([one], { leases: leasesOf(others) })
    await world.pass(15_000)
    const modes = async (): Promise<readonly string[]> =>
      (await world.runtime.consumers()).flatMap(({ partitions }) =>
        partitions.map(({ mode }) => mode),
      )
    expect(await modes()).toEqual(['running', 'running'])

    others.push('worker/3')
    await world.pass(1_000)

    expect((await modes()).filter((mode) => mode === 'running')).toHaveLength(1)
  })

  it('are taken once before they are divided anew, so that who slept past them can commit nothing', async () => {
    const world = createWorld()
    const dividedBy = (partitions: number, was: readonly string[] = []) =>
      placedConsumer(was.length > 0 ? 'two' : 'one', { partitions, was }, () => Promise.resolve())
    const takenBy = async (part: Consumer): Promise<readonly string[]> => {
      const leases = leasesOf()
      const names: string[] = []
      const take: Leases['take'] = (request) => {
        names.push(request.name)
        return leases.take(request)
      }
      await world.start([part], { leases: { ...leases, take } })
      await world.pass(2_000)
      expect((await leases.list?.())?.size).toBe(2 + part.partitions)
      await world.runtime.close()
      return names
    }
    await takenBy(dividedBy(1))

    expect(await takenBy(dividedBy(2))).toContain('consumer/one')
    expect(await takenBy(dividedBy(2, ['one']))).toEqual(
      expect.arrayContaining(
        partitionsOf(dividedBy(2), slotRanges(2)).map(({ id }) => partitionLease(id)),
      ),
    )
  })
})
