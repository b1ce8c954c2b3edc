import { describe, expect, it } from 'vitest'
import { type AnySaga, command, Declined, saga, type SagaContext } from '../contract/index.ts'
import {
  Charge,
  createSagaWorld,
  does,
  order,
  OrderPlaced,
  orderInput,
  orderSaga,
  PaymentCaptured,
  Refund,
  Reserve,
  sagaParts,
  Ship,
} from './order-saga.fixture.ts'
import { owners } from './world.fixture.ts'

const MINUTE = 60_000
const at = { saga: 'order', key: 'a' } as const

const base = { version: 1, owner: owners, on: OrderPlaced, from: 'earliest' } as const

describe('a compensation that keeps failing', () => {
  it('leaves the run stuck, never compensated, the others done, and pages its owner (F152, S12)', async () => {
    const world = createSagaWorld()
    let isDown = true
    const desk = does(Refund, null, () => {
      if (isDown) throw new Error('the bank is away')
    })
    const runtime = await world.begin(sagaParts(orderSaga, desk))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(3 * 60 * MINUTE)

    const run = await world.run('a')
    expect(run?.state).toBe('compensation-stuck')
    expect(await world.ledger('a')).toEqual(['stock.reserve', 'payments.charge', 'stock.release'])
    const open = await runtime.alerts({ state: 'open' })
    const titles = open.items.filter(({ kind }) => kind === 'saga').map(({ title }) => title)
    expect(titles).toHaveLength(1)
    expect(titles[0]).toContain('cannot take back payments.charge#1')

    isDown = false
    await world.operate({ kind: 'saga.retry-step', ...at, step: 'undo:payments.charge#1' })
    await world.pass(MINUTE)
    expect((await world.run('a'))?.state).toBe('compensated')
    await runtime.close()
  })

  it('is resolved, not compensated, when a person skips it with a reason (S12, S23)', async () => {
    const world = createSagaWorld()
    const desk = does(Refund, null, () => {
      throw new Error('the bank is away')
    })
    const runtime = await world.begin(sagaParts(orderSaga, desk))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(3 * 60 * MINUTE)

    await world.operate({ kind: 'saga.skip-step', ...at, step: 'undo:payments.charge#1' }, 'op-1')
    await world.operate({ kind: 'saga.skip-step', ...at, step: 'undo:payments.charge#1' }, 'op-1')
    await world.pass(MINUTE)

    const run = await world.run('a')
    expect(run?.state).toBe('resolved')
    expect(run?.operations).toMatchObject([
      { id: 'op-1', actor: 'tester', reason: 'a test', outcome: 'skip-step done' },
    ])
    await runtime.close()
  })
})

describe('an event', () => {
  it('that comes before its wait, or before the start, is found, and a repeat is not taken (S4, S5, F154)', async () => {
    for (const early of ['before the start', 'before the wait'] as const) {
      const world = createSagaWorld()
      const runtime = await world.begin(sagaParts())
      if (early === 'before the wait') await runtime.publish(OrderPlaced.of(order('a')))
      await runtime.publish(PaymentCaptured.of(order('a')))
      await world.pass(500)
      if (early === 'before the start') {
        expect(await world.run('a')).toMatchObject({ state: 'unstarted', parked: 1 })
        await runtime.publish(OrderPlaced.of(order('a')))
        await world.pass(500)
      }

      const run = await world.run('a')
      expect(run?.state).toBe('completed')
      expect(run?.parked).toBeUndefined()
      expect(run?.inbox).toEqual([])
      await runtime.close()
    }
  })

  it('that comes after the end is parked where people see it, or handled late (S6, F154)', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(20 * MINUTE)
    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(500)

    expect(await world.run('a')).toMatchObject({ state: 'compensated', parked: 1 })
    const parked = await runtime.sagas({ isParked: true })
    expect(parked.items.map(({ key }) => key)).toEqual(['a'])
    await runtime.close()

    const other = createSagaWorld()
    const kind: AnySaga = saga(
      'order',
      {
        ...base,
        uses: [PaymentCaptured, Refund],
        late: {
          'payments.captured': async (s, got) => {
            await s.call(Refund, got.data)
          },
        },
      },
      async (s) => {
        await s.sleep('1s')
      },
    )
    const second = await other.begin(sagaParts(kind))
    await second.publish(OrderPlaced.of(order('a')))
    await other.pass(MINUTE)
    await second.publish(PaymentCaptured.of(order('a')))
    await other.pass(MINUTE)

    expect(await other.ledger('a')).toEqual(['payments.refund'])
    const all = await second.sagas({ saga: 'order', state: 'completed' })
    expect(all.items).toHaveLength(2)
    await second.close()
  })

  it('and a timeout of one instant have one winner, which is the one the log has first (S7, F155)', async () => {
    const winners = new Set<unknown>()
    for (let seed = 1; seed <= 12; seed++) {
      const world = createSagaWorld(seed)
      const runtime = await world.begin(sagaParts())
      await runtime.publish(OrderPlaced.of(order('a')))
      await world.pass(500)
      const due = (await world.run('a'))?.entries.find(({ kind }) => kind === 'sleep')?.dueAtMs ?? 0
      const wait = due - world.clock.now()
      await world.clock.advance(wait - (seed % 2))
      await runtime.publish(PaymentCaptured.of(order('a')))
      await world.pass(MINUTE)

      const run = await world.run('a')
      const first = run?.entries.find(({ step }) => step === 'first#1')
      const ends = { captured: 'completed', gone: 'compensated' }
      expect(run?.state).toBe(first?.output === 'captured' ? ends.captured : ends.gone)
      const effects = await world.ledger('a')
      expect(effects.includes('parcels.create')).toBe(first?.output === 'captured')
      expect(effects.includes('payments.refund')).toBe(first?.output === 'gone')
      // Whoever lost is still to be seen: the event, or the timer that fired for nothing.
      if (first?.output === 'gone') expect(run?.parked).toBe(1)
      winners.add(first?.output)
      await runtime.close()
    }
    expect([...winners].map(String).toSorted()).toEqual(['captured', 'gone'])
  })
})

describe('a lost answer', () => {
  it('is asked for again with the same key, and the handler does not run again (F151)', async () => {
    const world = createSagaWorld()
    const Slow = command('slow.do', {
      owner: owners,
      key: 'orderId',
      input: orderInput,
      timeout: '10s',
      retry: { attempts: 4, first: '1s', max: '1s', jitter: 'none' },
    })
    let waits = 1
    const keys: string[] = []
    // The first attempt is so slow that the saga asks again.
    const desk = does(Slow, null, async (_input, ctx) => {
      keys.push(ctx.idempotencyKey)
      if (waits-- > 0) {
        await new Promise<void>((resolve) => world.clock.setTimer(15_000, resolve))
      }
    })
    const kind = saga('order', { ...base, uses: [Slow] }, async (s, input) => {
      await s.call(Slow, input, { compensate: null })
    })
    const runtime = await world.begin([kind, desk])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(5 * MINUTE)

    const run = await world.run('a')
    expect(run?.state).toBe('completed')
    expect(run?.entries[0]?.sent).toBe(2)
    expect(keys).toHaveLength(1)
    expect(await world.ledger('a')).toEqual(['slow.do'])
    await runtime.close()
  })
})

describe('changed code', () => {
  const changed = (
    run: (
      s: SagaContext<typeof Reserve | typeof Charge | typeof PaymentCaptured>,
    ) => Promise<unknown>,
  ): AnySaga => saga('order', { ...base, uses: [Reserve, Charge, PaymentCaptured] }, (s) => run(s))

  const before = changed(async (s) => {
    await s.call(Reserve, order(s.key))
    await s.call(Charge, order(s.key))
    await s.wait(PaymentCaptured)
  })

  it.each([
    {
      what: 'that renames a step',
      says: /code begins pay#1 \(call payments.charge\), where the journal goes on with payments.charge#1/,
      run: changed(async (s) => {
        await s.call(Reserve, order(s.key))
        await s.call(Charge, order(s.key), { name: 'pay' })
        await s.wait(PaymentCaptured)
      }),
    },
    {
      what: 'that removes a step',
      says: /code begins payments.captured#1|journal has payments.charge#1/,
      run: changed(async (s) => {
        await s.call(Reserve, order(s.key))
        await s.wait(PaymentCaptured)
      }),
    },
    {
      what: 'that puts a step before what was done',
      says: /code begins sleep#1 \(sleep\), where the journal goes on with/,
      run: changed(async (s) => {
        await s.sleep('1s')
        await s.call(Reserve, order(s.key))
        await s.call(Charge, order(s.key))
        await s.wait(PaymentCaptured)
      }),
    },
    {
      what: 'that makes another kind of a step',
      says: /is call payments.charge in the journal, and wait payments.captured in the code/,
      run: changed(async (s) => {
        await s.call(Reserve, order(s.key))
        await s.wait(PaymentCaptured, { name: 'payments.charge' })
      }),
    },
  ])(
    '$what parks the run with a readable difference, and old code goes on with it (F156, S15)',
    async ({ run, says }) => {
      const world = createSagaWorld()
      let runtime = await world.begin(sagaParts(before))
      await runtime.publish(OrderPlaced.of(order('a')))
      await world.pass(500)
      await runtime.close()

      runtime = await world.begin(sagaParts(run))
      await runtime.publish(PaymentCaptured.of(order('a')))
      await world.pass(500)
      const parked = await world.run('a')
      expect(parked).toMatchObject({ state: 'paused', problem: { kind: 'mismatch' } })
      expect(parked?.problem?.message).toMatch(says)
      expect(await world.ledger('a')).toEqual(['stock.reserve', 'payments.charge'])
      await runtime.close()

      runtime = await world.begin(sagaParts(before))
      await world.operate({ kind: 'saga.resume', ...at })
      await world.pass(500)
      expect((await world.run('a'))?.state).toBe('completed')
      await runtime.close()
    },
  )

  it('of another version is refused at start while runs of the old one live (S15)', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(500)
    await runtime.close()

    const next = (supports: readonly number[]): AnySaga =>
      saga(
        'order',
        { ...base, version: 2, supports, uses: [PaymentCaptured] },
        async (s) => s.version,
      )
    await expect(world.begin(sagaParts(next([])))).rejects.toThrow(
      /1 live runs of versions that this code does not run: 1\. It runs 2/,
    )
    const able = await world.begin(sagaParts(next([1])))
    await able.close()
  })
})

describe('a person', () => {
  it('cancels, and the run is taken back; terminates, and it is not; each once (F159, S17, S23)', async () => {
    for (const kind of ['saga.cancel', 'saga.terminate'] as const) {
      const world = createSagaWorld()
      const runtime = await world.begin(sagaParts())
      await runtime.publish(OrderPlaced.of(order('a')))
      await world.pass(500)
      await world.operate({ kind, ...at }, 'op-1')
      await world.operate({ kind, ...at }, 'op-1')
      await world.pass(MINUTE)

      const run = await world.run('a')
      const isCancel = kind === 'saga.cancel'
      expect(run?.state).toBe(isCancel ? 'compensated' : 'terminated')
      expect(run?.operations).toHaveLength(1)
      expect(run?.timers).toEqual([])
      expect(await world.ledger('a')).toEqual(
        isCancel
          ? ['stock.reserve', 'payments.charge', 'payments.refund', 'stock.release']
          : ['stock.reserve', 'payments.charge'],
      )
      await runtime.close()
    }
  })

  it('pauses a run: what comes meanwhile is kept, nothing is done, and resume goes on (F159)', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(500)
    await world.operate({ kind: 'saga.pause', ...at })
    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(20 * MINUTE)
    expect((await world.run('a'))?.state).toBe('paused')
    expect(await world.ledger('a')).toEqual(['stock.reserve', 'payments.charge'])

    await world.operate({ kind: 'saga.resume', ...at })
    await world.pass(MINUTE)
    // The event came before the timer, and both are there now.
    expect((await world.run('a'))?.state).toBe('completed')
    await runtime.close()
  })

  it('cannot cancel beyond the pivot, where a failure pauses and never takes back (S14)', async () => {
    const world = createSagaWorld()
    const desk = does(Ship, null, () => new Declined('NoCarrier', { code: 'x' }))
    const kind = saga('order', { ...base, uses: [Reserve, Ship] }, async (s, input) => {
      await s.call(Reserve, input)
      s.pivot()
      await s.call(Ship, input)
    })
    const runtime = await world.begin(sagaParts(kind, desk))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(500)
    await world.operate({ kind: 'saga.cancel', ...at })
    await world.pass(500)

    const run = await world.run('a')
    expect(run).toMatchObject({ state: 'paused', problem: { kind: 'after-pivot' } })
    expect(run?.operations[0]?.outcome).toMatch(/refused: it has passed its pivot/)
    expect(await world.ledger('a')).toEqual(['stock.reserve', 'no parcels.create'])
    await runtime.close()
  })
})
