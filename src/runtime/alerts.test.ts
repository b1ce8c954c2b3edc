import { describe, expect, it } from 'vitest'
import { JuncturaError, sleep } from '../kernel/index.ts'
import type { AlertNotification } from '../observe/index.ts'
import { createWorld, effect, type Order, placedConsumer, type World } from './world.fixture.ts'

const quick = { retry: { attempts: 1, first: 0, max: '1s' }, afterDeadLetter: 'skip' } as const

const numbers = (count: number): readonly Order[] =>
  Array.from({ length: count }, (_, n) => ({ key: `k${n}`, n }))

const kinds = (sent: readonly AlertNotification[]): readonly string[] =>
  sent.map(({ kind }) => kind)

/** Tries every dead letter again and waits. */
const retryAll = async (world: World): Promise<void> => {
  for (const group of await world.runtime.deadLetterGroups()) {
    await world.operate({ kind: 'dead-letter.retry', cause: group.cause })
  }
  await world.pass(5_000)
}

describe('alerts', () => {
  it('tell a thousand dead letters of one cause once, once more for growth, and once when the last is resolved', async () => {
    const world = createWorld()
    let isMended = false
    const one = placedConsumer('one', quick, async (order, ctx) => {
      if (!isMended) throw new Error('database is down')
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish(...numbers(1_000))
    await world.pass(5_000)
    expect(kinds(world.sent)).toEqual(['opened', 'grown'])
    const { items } = await world.runtime.alerts({})
    expect(items).toMatchObject([{ count: 1_000, state: 'open', kind: 'dead-letter' }])

    isMended = true
    const [first] = (await world.runtime.deadLetters({})).items
    await world.operate({ kind: 'dead-letter.retry', ids: [first?.id ?? ''] })
    await world.pass(5_000)
    expect(kinds(world.sent)).toEqual(['opened', 'grown'])
    await retryAll(world)

    expect(kinds(world.sent)).toEqual(['opened', 'grown', 'resolved'])
    expect((await world.runtime.alerts({})).items).toMatchObject([{ state: 'resolved', owed: [] }])
    expect((await world.runtime.overview()).alertsOpen).toBe(0)
  })

  it('keep a cause that comes again while its last alert is still being told as resolved', async () => {
    const world = createWorld()
    let isMended = false
    const one = placedConsumer('one', quick, async (order, ctx) => {
      if (!isMended) throw new Error('database is down')
      await effect('one', order, ctx)
    })
    const slowly: AlertNotification[] = []
    await world.start([one], {
      send: async (_, notification) => {
        await sleep(world.clock, 2_000)
        slowly.push(notification)
      },
    })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(5_000)
    isMended = true
    const [letter] = (await world.runtime.deadLetters({})).items
    await world.operate({ kind: 'dead-letter.retry', ids: [letter?.id ?? ''] })
    await world.pass(500)
    isMended = false
    await world.publish({ key: 'b', n: 2 })
    await world.pass(10_000)
    await world.publish({ key: 'c', n: 3 })
    await world.pass(10_000)

    expect(kinds(slowly)).toEqual(['opened', 'resolved', 'opened'])
    expect((await world.runtime.alerts({ state: 'open' })).items).toMatchObject([{ count: 2 }])
  })

  it('tell only what is durable: a dead letter whose commit is refused is told when it is taken', async () => {
    const world = createWorld()
    let refuses = false
    const one = placedConsumer('one', quick, () => {
      refuses = true
      return Promise.reject(new Error('database is down'))
    })
    await world.start([one], {
      fault: async (point, { units }) => {
        // Only the commit with the dead letter is refused; those that come after it are not.
        if (point !== 'before-commit' || !refuses || units === 0) return
        refuses = false
        throw new JuncturaError('JUNCTURA_STORE_FAILED', { details: { problem: 'no' } })
      },
    })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(300)
    expect((await world.runtime.deadLetters({})).items).toEqual([])
    expect(world.sent).toEqual([])
    await world.pass(5_000)

    expect((await world.runtime.deadLetters({})).items).toHaveLength(1)
    expect(kinds(world.sent)).toEqual(['opened'])
  })

  it('tell the same thrice, under the same ids, when the process dies again and again (F10)', async () => {
    const world = createWorld()
    let isMended = false
    const one = placedConsumer('one', { ...quick, concurrency: 4 }, async (order, ctx) => {
      if (!isMended) throw new Error('database is down')
      await effect('one', order, ctx)
    })
    await world.start([one])
    for (let round = 0; round < 10; round++) {
      await world.publish(...numbers(20))
      // At another moment of the path each time.
      for (let turn = 0; turn < round * 3; turn++) await world.clock.yield()
      world.crash()
      await world.start([one])
    }
    await world.pass(60_000)
    isMended = true
    await retryAll(world)

    const distinct = new Map(world.sent.map((one) => [one.id, one.kind]))
    expect([...distinct.values()]).toEqual(['opened', 'grown', 'resolved'])
    expect(await world.effects()).toHaveLength(200)
  })

  it('are resolved by the next start, when the last one died before it could', async () => {
    const world = createWorld()
    let isMended = false
    const one = placedConsumer('one', quick, async (order, ctx) => {
      if (!isMended) throw new Error('down')
      await effect('one', order, ctx)
    })
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)
    isMended = true
    const [letter] = (await world.runtime.deadLetters({})).items
    await world.operate({ kind: 'dead-letter.retry', ids: [letter?.id ?? ''] })
    while ((await world.runtime.deadLetter(letter?.id ?? ''))?.state === 'open')
      await world.clock.yield()
    world.crash()
    expect(kinds(world.sent)).toEqual(['opened'])

    await world.start([one])
    await world.pass(1_000)

    expect(kinds(world.sent)).toEqual(['opened', 'resolved'])
  })

  it('follow a dead letter to its new cause: the one it had is resolved', async () => {
    const world = createWorld()
    let problem = 'disk is full'
    const one = placedConsumer('one', quick, () => Promise.reject(new Error(problem)))
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)
    problem = 'password is wrong'
    const [letter] = (await world.runtime.deadLetters({})).items
    await world.operate({ kind: 'dead-letter.retry', ids: [letter?.id ?? ''] })
    await world.pass(1_000)

    const told = world.sent.map(({ kind, title }) => `${kind} ${/disk|password/.exec(title)?.[0]}`)
    expect([...told].sort()).toEqual(['opened disk', 'opened password', 'resolved disk'])
    expect((await world.runtime.consumers())[0]).toMatchObject({ deadLettersOpen: 1 })
  })

  it('keep being told while a route is down, later and later, and other routes do not wait', async () => {
    const world = createWorld()
    const tries: { title: string; atMs: number }[] = []
    const send = async (_alert: unknown, notification: AlertNotification): Promise<void> => {
      tries.push({ title: notification.title, atMs: world.clock.monotonicMs() })
      if (notification.title.includes('one')) throw new Error('the route is down')
    }
    const one = placedConsumer('one', quick, () => Promise.reject(new Error('x')))
    const two = placedConsumer('two', quick, () => Promise.reject(new Error('y')))
    await world.start([one, two], { send })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(3_600_000)

    const broken = tries.filter(({ title }) => title.includes('one'))
    expect(tries.filter(({ title }) => title.includes('two'))).toHaveLength(1)
    expect(broken.length).toBeGreaterThan(10)
    expect(broken.length).toBeLessThan(30)
  })

  it('are not told before what they tell is durable', async () => {
    const world = createWorld()
    let isStuck = false
    const fault = async (point: string): Promise<void> => {
      if (isStuck && point === 'before-commit') throw new Error('no')
    }
    const one = placedConsumer('one', quick, async () => {
      isStuck = true
      throw new Error('down')
    })
    await world.start([one], { fault })
    await world.publish({ key: 'a', n: 1 })
    await world.pass(30_000)
    expect(world.sent).toEqual([])
    isStuck = false
    await world.pass(5_000)

    expect(kinds(world.sent)).toEqual(['opened'])
  })

  it('are acknowledged by an operation', async () => {
    const world = createWorld()
    const one = placedConsumer('one', quick, () => Promise.reject(new Error('x')))
    await world.start([one])
    await world.publish({ key: 'a', n: 1 })
    await world.pass(1_000)
    const [alert] = (await world.runtime.alerts({ state: 'open' })).items

    await world.operate({ kind: 'alert.acknowledge', id: alert?.id ?? '' })

    expect((await world.runtime.alerts({ state: 'acknowledged' })).items).toHaveLength(1)
    await expect(
      world.operate({ kind: 'alert.acknowledge', id: 'alert_none' }),
    ).rejects.toMatchObject({
      code: 'JUNCTURA_NOT_FOUND',
    })
  })
})
