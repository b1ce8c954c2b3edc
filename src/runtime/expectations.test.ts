import { describe, expect, it } from 'vitest'
import {
  consumer,
  correlate,
  event,
  expectation,
  flow,
  jsonSchema,
  schedule,
} from '../contract/index.ts'
import { placedConsumer, owners, Placed, policy, Shipped } from './world.fixture.ts'
import { Captured, createExpectationWorld, MINUTE_MS, paid } from './expectation-world.fixture.ts'

const PAID = [paid()]

describe('an expectation', () => {
  it('is met by a message on another channel with another key', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()

    await world.place('a')
    await world.pass(MINUTE_MS)
    await world.capture('a')
    await world.pass(60 * MINUTE_MS)

    expect(await world.openAlerts()).toEqual([])
    const [view] = await world.runtime.expectations()
    expect(view).toMatchObject({ open: 0, missed: 0, totals: { opened: 1, met: 1, missed: 0 } })
  })

  it('raises one durable alarm that names the key, what was seen last, and who should act (F161)', async () => {
    const idle = placedConsumer('payments', {}, async () => undefined)
    const world = createExpectationWorld([paid(), idle])
    await world.up()

    await world.place('a')
    await world.pass(14 * MINUTE_MS)
    expect(await world.openAlerts()).toEqual([])
    await world.pass(2 * MINUTE_MS)

    const [alert] = await world.openAlerts()
    expect(alert).toMatch(
      /^1: no payments.captured within 15m of orders.placed for "a"; payments should have acted; last seen msg_/,
    )
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened'])
    const page = await world.runtime.expectationKeys('paid', {})
    expect(page?.items).toMatchObject([
      {
        key: 'a',
        state: 'missed',
        lastSeen: { type: 'orders.placed' },
        shouldAct: ['payments'],
      },
    ])
  })

  it('is resolved by itself when the message comes late (F161)', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()
    await world.place('a', 'b')
    await world.pass(20 * MINUTE_MS)
    expect(await world.missed()).toEqual(['a', 'b'])

    await world.capture('a')
    await world.pass(MINUTE_MS)
    expect(await world.missed()).toEqual(['b'])
    expect(await world.openAlerts()).toHaveLength(1)
    await world.capture('b')
    await world.pass(MINUTE_MS)

    expect(await world.openAlerts()).toEqual([])
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened', 'resolved'])
    const [view] = await world.runtime.expectations()
    expect(view?.totals).toMatchObject({ opened: 2, missed: 2, late: 2, met: 0 })
  })

  it('counts a message that came before the one it answers', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()

    await world.capture('a')
    await world.pass(MINUTE_MS)
    await world.place('a')
    await world.pass(60 * MINUTE_MS)

    expect(await world.openAlerts()).toEqual([])
    const [view] = await world.runtime.expectations()
    expect(view?.totals).toMatchObject({ opened: 1, met: 1, missed: 0, unexpected: 0 })
  })

  it('forgets what came early and found nothing, and counts it', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()

    await world.capture('a')
    await world.pass(30 * MINUTE_MS)
    await world.place('a')
    await world.pass(30 * MINUTE_MS)

    expect(await world.missed()).toEqual(['a'])
    const [view] = await world.runtime.expectations()
    expect(view?.totals).toMatchObject({ opened: 1, missed: 1, unexpected: 1 })
  })

  it('has nothing to wait for after a message that undoes, whichever comes first', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()

    await world.place('a')
    await world.cancel('a', 'b')
    await world.pass(MINUTE_MS)
    await world.place('b')
    await world.pass(60 * MINUTE_MS)

    expect(await world.openAlerts()).toEqual([])
    const [view] = await world.runtime.expectations()
    expect(view?.totals).toMatchObject({ opened: 2, undone: 2, missed: 0 })
  })

  it('keeps the first deadline when the first message is said again', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()

    await world.place('a')
    await world.pass(10 * MINUTE_MS)
    await world.place('a')
    await world.pass(6 * MINUTE_MS)
    await world.place('a')
    await world.pass(60 * MINUTE_MS)

    expect(await world.openAlerts()).toHaveLength(1)
    expect(world.sent).toHaveLength(1)
  })

  it('watches for a sign of life that has to come again', async () => {
    const alive = expectation('alive', {
      owner: owners,
      after: Placed,
      expect: Placed,
      within: '5m',
    })
    const world = createExpectationWorld([alive])
    await world.up()

    for (let beat = 0; beat < 5; beat++) {
      await world.place('engine')
      await world.pass(4 * MINUTE_MS)
    }
    expect(await world.openAlerts()).toEqual([])
    await world.pass(2 * MINUTE_MS)

    expect(await world.openAlerts()).toHaveLength(1)
    await world.place('engine')
    await world.pass(MINUTE_MS)
    expect(await world.openAlerts()).toEqual([])
  })

  it('folds ten thousand misses into one alert that tells twice (F161)', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()
    for (let lot = 0; lot < 10; lot++) {
      await world.place(...Array.from({ length: 1_000 }, (_, n) => `key-${lot * 1_000 + n}`))
    }

    await world.pass(20 * MINUTE_MS)

    const alerts = await world.openAlerts()
    expect(alerts).toHaveLength(1)
    expect(alerts[0]).toMatch(/^10000: no payments.captured .* for 500 keys, such as "key-0", /)
    expect(world.sent.map(({ kind }) => kind)).toEqual(['opened', 'grown'])
    const page = await world.runtime.expectationKeys('paid', { limit: 500 })
    expect(page?.items).toHaveLength(500)
    expect(page?.next).toBeDefined()
  }, 60_000)

  it('is taken as dealt with by a person, and forgotten', async () => {
    const world = createExpectationWorld(PAID)
    await world.up()
    await world.place('a', 'b', 'c')
    await world.pass(20 * MINUTE_MS)

    const one = await world.operate({ kind: 'expectation.settle', name: 'paid', key: 'b' })
    expect(one.result).toEqual({ settled: 1 })
    expect(await world.missed()).toEqual(['a', 'c'])
    expect(await world.openAlerts()).toHaveLength(1)
    const all = await world.operate({ kind: 'expectation.settle', name: 'paid' })

    expect(all.result).toEqual({ settled: 2 })
    expect(await world.openAlerts()).toEqual([])
  })

  it('says that it cannot tell what a message is about, and goes on', async () => {
    const strict = paid({
      expect: correlate(Captured, (payment) => {
        if (payment.order === 'bad') throw new Error(`unusable ${payment.order}`)
        return payment.order
      }),
    })
    const world = createExpectationWorld([strict])
    await world.up()

    await world.place('a')
    await world.capture('bad', 'a')
    await world.pass(60 * MINUTE_MS)

    const [view] = await world.runtime.expectations()
    expect(view?.totals).toMatchObject({ met: 1, unreadable: 1, missed: 0 })
    const alerts = await world.runtime.alerts({})
    expect(alerts.items).toMatchObject([{ kind: 'expectation-unreadable', severity: 'warning' }])
    expect(alerts.items[0]?.title).not.toContain('bad')
  })

  it('shows no personal key: not in the alarm, the list, the page mark, nor the rows', async () => {
    const Signed = event('signups.made', {
      owner: owners,
      key: 'email',
      pii: ['email'],
      versions: {
        1: jsonSchema<{ readonly email: string }>({
          type: 'object',
          required: ['email'],
          properties: { email: { type: 'string' } },
        }),
      },
    })
    const welcome = expectation('welcomed', {
      owner: owners,
      after: Signed,
      expect: correlate(Captured, ({ order }) => order),
      within: '1m',
    })
    const world = createExpectationWorld([welcome])
    await world.up()
    await world.runtime.publishMany([
      Signed.of({ email: 'ada@example.com' }),
      Signed.of({ email: 'bob@example.com' }),
    ])
    await world.capture('bob@example.com')
    await world.pass(5 * MINUTE_MS)

    const [view] = await world.runtime.expectations()
    expect(view?.totals).toMatchObject({ met: 1, missed: 1 })
    const page = await world.runtime.expectationKeys('welcomed', { limit: 1 })
    const byKey = await world.runtime.expectationKeys('welcomed', { key: 'ada@example.com' })
    expect(byKey?.items).toHaveLength(1)
    const shown = JSON.stringify([await world.openAlerts(), page, byKey, world.sent])
    expect(shown).toContain('•••')
    expect(shown).not.toContain('ada')
  })

  it('names the dead letter of the consumer that gave up', async () => {
    const broken = placedConsumer('payments', {}, async () => {
      throw new Error('no such account')
    })
    const world = createExpectationWorld([paid(), broken])
    await world.up()

    await world.place('a')
    await world.pass(20 * MINUTE_MS)

    const page = await world.runtime.expectationKeys('paid', {})
    expect(page?.items[0]?.deadLetters).toMatchObject([{ consumer: 'payments' }])
  })

  it('is forgotten when it has not been declared for an hour, and its alarm is resolved', async () => {
    const world = createExpectationWorld(PAID)
    const first = await world.up()
    await world.place('a')
    await world.pass(20 * MINUTE_MS)
    expect(await world.openAlerts()).toHaveLength(1)
    await first.close()

    await world.up([])
    await world.pass(30 * MINUTE_MS)
    expect(await world.openAlerts()).toHaveLength(1)
    await world.pass(40 * MINUTE_MS)

    expect(await world.openAlerts()).toEqual([])
  })
})

describe('a choreographed flow', () => {
  const shipped = expectation('shipped', {
    owner: owners,
    after: correlate(Captured, ({ order }) => order),
    expect: Shipped,
    within: '1d',
  })

  it('shows what was expected against what came, and where instances stand', async () => {
    const orders = flow('orders', {
      owner: owners,
      coordination: 'choreography',
      path: [Placed, Captured, Shipped],
      expectations: [paid(), shipped],
    })
    const ship = consumer('warehouse', {
      ...policy,
      on: Captured,
      handle: async ({ order }, ctx) => {
        if (order !== 'b') ctx.emit(Shipped.of({ key: order, n: 1 }))
      },
    })
    const world = createExpectationWorld([orders, ship])
    await world.up()

    await world.place('a', 'b', 'c')
    await world.capture('a', 'b')
    await world.pass(20 * MINUTE_MS)

    const [view] = await world.runtime.flows()
    expect(view).toMatchObject({
      name: 'orders',
      path: ['orders.placed', 'payments.captured', 'orders.shipped'],
      open: 1,
      missed: 1,
      steps: [
        { name: 'paid', totals: { opened: 3, met: 2, missed: 1 } },
        { name: 'shipped', open: 1, shouldAct: ['warehouse'], totals: { opened: 2, met: 1 } },
      ],
    })
  })

  it('is refused at start while a step of its path is watched by nobody', async () => {
    const orders = flow('orders', {
      owner: owners,
      coordination: 'choreography',
      path: [Placed, Captured, Shipped],
      expectations: [paid()],
    })

    await expect(createExpectationWorld([orders]).up()).rejects.toThrow(
      'nobody would be told when orders.shipped does not follow payments.captured',
    )
  })
})

describe('parts of flows', () => {
  it('are refused at start on contracts whose record is the broker', async () => {
    const Elsewhere = event('elsewhere.happened', {
      owner: owners,
      key: 'key',
      record: 'transport',
      versions: { 1: Placed.versions.get(1) ?? {} },
    })
    const parts = [
      expectation('x', { owner: owners, after: Placed, expect: Elsewhere, within: '1m' }),
      schedule('y', { owner: owners, cron: '@daily', emits: Elsewhere, data: () => ({}) }),
    ]

    await expect(createExpectationWorld(parts).up()).rejects.toThrow(
      /expectation "x": the record of elsewhere.happened is the broker[^]*schedule "y"/,
    )
  })
})
