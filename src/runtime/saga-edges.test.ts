import { describe, expect, it } from 'vitest'
import { type AnySaga, command, Declined, saga } from '../contract/index.ts'
import {
  Charge,
  createSagaWorld,
  does,
  order,
  OrderPlaced,
  orderInput,
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

describe('a budget', () => {
  it('of quiet is told of a run that has moved once and then stands still (S16)', async () => {
    const world = createSagaWorld()
    const kind: AnySaga = saga(
      'order',
      { ...base, uses: [PaymentCaptured], budget: { quiet: '30m' } },
      async (s) => {
        await s.wait(PaymentCaptured)
        await s.wait(PaymentCaptured)
      },
    )
    const runtime = await world.begin(sagaParts(kind))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(10 * MINUTE)
    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(3 * 60 * MINUTE)

    const open = await runtime.alerts({ state: 'open' })
    const titles = open.items.filter((one) => one.kind === 'saga').map(({ title }) => title)
    expect(titles).toEqual([expect.stringContaining('has not moved')])
    await runtime.close()
  })

  it('that is used up beyond the pivot does not wake the run again and again (S22)', async () => {
    const world = createSagaWorld()
    const kind: AnySaga = saga(
      'order',
      { ...base, uses: [PaymentCaptured], budget: { total: '1h', quiet: '30m' } },
      async (s) => {
        s.pivot()
        await s.wait(PaymentCaptured)
      },
    )
    const runtime = await world.begin(sagaParts(kind))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(65 * MINUTE)
    const before = (await world.run('a'))?.position ?? 0
    await world.pass(60 * MINUTE)

    expect((await world.run('a'))?.position ?? 0).toBeLessThan(before + 10)
    await runtime.close()
  })
})

describe('an answer', () => {
  it('that comes while its step is taken back leaves the timers of the undo alone (S11, F154)', async () => {
    const world = createSagaWorld()
    const gates: (() => void)[] = []
    const hang = (): Promise<void> => new Promise((resolve) => gates.push(resolve))
    const Undo = command('undo.it', {
      owner: owners,
      key: 'orderId',
      input: orderInput,
      timeout: '10m',
    })
    const charge = { ...does(Charge, { paymentId: 'P1' }, hang), timeoutMs: 3_600_000 }
    const slow = { ...does(Undo, null, hang), timeoutMs: 3_600_000 }
    const kind: AnySaga = saga('order', { ...base, uses: [Charge, Undo] }, async (s, input) => {
      await s.call(Charge, input, { compensate: ({ input: given }) => Undo.of(given) })
    })
    const runtime = await world.begin([...sagaParts(kind, charge), slow])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(1_000)
    await world.operate({ kind: 'saga.cancel', ...at })
    await world.pass(1_000)
    gates[0]?.()
    await world.pass(1_000)

    expect(await world.run('a')).toMatchObject({
      state: 'compensating',
      entries: [{ state: 'done' }, { state: 'open' }],
      timers: ['timeout:undo:payments.charge#1'],
    })
    gates[1]?.()
    await world.pass(1_000)
    expect((await world.run('a'))?.state).toBe('compensated')
    await runtime.close()
  })

  it('to a run that was forgotten is not taken by the next one of its key (F154)', async () => {
    const world = createSagaWorld()
    const answers: (() => void)[] = []
    const desk = does(Charge, { paymentId: 'P1' }, async () => {
      await new Promise<void>((resolve) => answers.push(resolve))
    })
    const slow = { ...desk, timeoutMs: 86_400_000, concurrency: 4, ordering: 'none' as const }
    const kind: AnySaga = saga(
      'order',
      { ...base, uses: [Charge], keep: '1m' },
      async (s, input) => {
        await s.call(Charge, input)
      },
    )
    const runtime = await world.begin(sagaParts(kind, slow))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(1_000)
    await world.operate({ kind: 'saga.terminate', ...at })
    for (let i = 0; i < 12 && (await world.run('a')) !== undefined; i++)
      await world.pass(10 * MINUTE)
    expect(await world.run('a')).toBeUndefined()
    await runtime.publish(OrderPlaced.of(order('a', 2)))
    await world.pass(1_000)
    answers[0]?.()
    await world.pass(1_000)

    expect(answers).toHaveLength(2)
    expect(await world.run('a')).toMatchObject({ state: 'running', entries: [{ state: 'open' }] })
    answers[1]?.()
    await world.pass(1_000)
    expect(await world.run('a')).toMatchObject({ state: 'completed' })
    await runtime.close()
  })

  it('that declines a step whose undo is under way waits for that undo (S11, S12)', async () => {
    const world = createSagaWorld()
    const charge = does(Charge, null, async () => {
      await new Promise<void>((resolve) => world.clock.setTimer(10_000, resolve))
      return new Declined('CardDeclined', { code: 'x' })
    })
    const refund = does(Refund, null, async () => {
      await new Promise<void>((resolve) => world.clock.setTimer(20_000, resolve))
    })
    const kind: AnySaga = saga('order', { ...base, uses: [Charge, Reserve] }, async (s, input) => {
      await s.call(Reserve, input)
      await s.call(Charge, input, { compensate: ({ input: given }) => Refund.of(given) })
    })
    const runtime = await world.begin(sagaParts(kind, charge, refund))
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(1_000)
    await world.operate({ kind: 'saga.cancel', ...at })
    await world.pass(5 * MINUTE)

    const ledger = await world.ledger('a')
    expect(ledger.slice(-2)).toEqual(['payments.refund', 'stock.release'])
    const run = await world.run('a')
    expect(run?.entries.map(({ step, state }) => `${step} ${state}`)).toContain(
      'undo:payments.charge#1 done',
    )
    await runtime.close()
  })
})

describe('a key that has not started', () => {
  it('cannot be paused or ended, and its start is not lost (S5, S23)', async () => {
    for (const kind of ['saga.pause', 'saga.terminate'] as const) {
      const world = createSagaWorld()
      const runtime = await world.begin(sagaParts())
      await runtime.publish(PaymentCaptured.of(order('a')))
      await world.pass(500)
      await world.operate({ kind, ...at })
      await world.pass(500)
      await runtime.publish(OrderPlaced.of(order('a')))
      await world.pass(MINUTE)

      const run = await world.run('a')
      expect(run?.operations[0]?.outcome).toMatch(/refused: it has not started/)
      expect(run?.state).toBe('completed')
      await runtime.close()
    }
  })
})

describe('steps side by side', () => {
  it('that both fail for good keep the run paused until each is seen to (S10)', async () => {
    const world = createSagaWorld()
    let isDown = true
    const fails = (): void => {
      if (isDown) throw new Error('away')
    }
    const kind: AnySaga = saga('order', { ...base, uses: [Reserve, Ship] }, async (s, input) => {
      await Promise.all([s.call(Reserve, input), s.call(Ship, input)])
    })
    const runtime = await world.begin(
      sagaParts(kind, does(Reserve, { place: 'A1' }, fails), does(Ship, { parcel: 'Z1' }, fails)),
    )
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(60 * MINUTE)
    expect((await world.run('a'))?.entries.map(({ state }) => state)).toEqual(['failed', 'failed'])
    isDown = false
    const step = (await world.run('a'))?.problem?.step ?? ''
    await world.operate({ kind: 'saga.retry-step', ...at, step })
    await world.pass(MINUTE)
    expect(await world.run('a')).toMatchObject({
      state: 'paused',
      problem: { kind: 'step-failed' },
    })
    await world.operate({ kind: 'saga.resume', ...at })
    await world.pass(MINUTE)

    expect((await world.run('a'))?.state).toBe('completed')
    await runtime.close()
  })

  it('are over before one of them is taken back, and none runs twice (S8, S11)', async () => {
    for (const alwaysSuspend of [false, true]) {
      const world = createSagaWorld()
      const told: string[] = []
      const kind: AnySaga = saga('order', { ...base, uses: [] }, async (s) => {
        const quick = s.run('quick', async () => void told.push('quick'))
        void s.run(
          'slow',
          async () => {
            await new Promise<void>((resolve) => world.clock.setTimer(5_000, resolve))
            told.push('slow')
          },
          { compensate: async ({ outcome }) => void told.push(`undo slow ${outcome}`) },
        )
        await quick
        s.fail('enough')
      })
      const runtime = await world.begin([kind], { alwaysSuspend })
      await runtime.publish(OrderPlaced.of(order('a')))
      await world.pass(MINUTE)

      expect(told).toEqual(['quick', 'slow', 'undo slow done'])
      expect((await world.run('a'))?.state).toBe('compensated')
      await runtime.close()
    }
  })
})

describe('a wait inside of steps that were dropped', () => {
  it('takes no event from a later one (S4)', async () => {
    const world = createSagaWorld()
    const kind: AnySaga = saga('order', { ...base, uses: [PaymentCaptured] }, async (s) => {
      const both = s.gather({ event: s.wait(PaymentCaptured), time: s.sleep('1h') })
      await s.first({ both, gone: s.sleep('1m', { name: 'gone' }) })
      const got = await s.wait(PaymentCaptured, { name: 'later' })
      return got.data.orderId
    })
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(2 * MINUTE)
    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(MINUTE)

    expect(await world.run('a')).toMatchObject({ state: 'completed', output: 'a' })
    await runtime.close()
  })
})

describe('an operation', () => {
  it('on a sleep is refused, and the sleep still wakes (S19, S23)', async () => {
    const world = createSagaWorld()
    const kind: AnySaga = saga('order', { ...base, uses: [] }, async (s) => {
      await s.sleep('10m')
    })
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(MINUTE)
    await world.operate({ kind: 'saga.retry-step', ...at, step: 'sleep#1' })
    await world.pass(20 * MINUTE)

    const run = await world.run('a')
    expect(run?.operations[0]?.outcome).toMatch(/refused/)
    expect(run?.state).toBe('completed')
    await runtime.close()
  })
})

describe('the name of a step', () => {
  it.each(['undo:x', 'a\nb', ''])('%j is refused, and the run says so', async (name) => {
    const world = createSagaWorld()
    const kind: AnySaga = saga('order', { ...base, uses: [] }, async (s) => {
      await s.sleep('1s', { name })
    })
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(MINUTE)

    expect(await world.run('a')).toMatchObject({
      state: 'paused',
      problem: { kind: 'code-failed' },
    })
    expect((await runtime.sagas({ saga: 'order' })).items).toHaveLength(1)
    await runtime.close()
  })

  it('that ends as another one does shares no timer with it', async () => {
    const world = createSagaWorld()
    const kind: AnySaga = saga('order', { ...base, uses: [] }, async (s) => {
      const long = s.sleep('2m', { name: 'x:b' })
      await s.first({ b: s.sleep('9m', { name: 'b' }), c: s.sleep('1m', { name: 'c' }) })
      await long
    })
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(5 * MINUTE)

    expect((await world.run('a'))?.state).toBe('completed')
    await runtime.close()
  })
})

describe('a child', () => {
  it('that had run already under its key tells a second parent, too (S3)', async () => {
    const world = createSagaWorld()
    const child = saga('child', { ...base, on: PaymentCaptured, uses: [] }, async () => 'well')
    const kind: AnySaga = saga('order', { ...base, uses: [child] }, async (s, input) => {
      return s.child(child, input, { key: 'shared' })
    })
    const runtime = await world.begin([kind, child])
    for (const key of ['a', 'b']) {
      await runtime.publish(OrderPlaced.of(order(key)))
      await world.pass(MINUTE)
      const ended = { state: 'completed', output: { ok: true, output: 'well' } }
      expect(await world.run(key)).toMatchObject(ended)
    }
    await runtime.close()
  })
})

describe('the list of runs', () => {
  it('is filtered by a state without a saga, page by page', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    for (const key of ['a', 'b', 'c']) await runtime.publish(OrderPlaced.of(order(key)))
    await world.pass(500)
    for (const key of ['a', 'c']) {
      await world.operate({ kind: 'saga.terminate', saga: 'order', key })
    }
    await world.pass(500)

    const one = await runtime.sagas({ state: 'terminated', limit: 1 })
    const two = await runtime.sagas({
      state: 'terminated',
      limit: 1,
      ...(one.next !== undefined && { after: one.next }),
    })
    expect([...one.items, ...two.items].map(({ key }) => key).toSorted()).toEqual(['a', 'c'])
    const running = await runtime.sagas({ state: 'running' })
    expect(running.items.map(({ key }) => key)).toEqual(['b'])
    await runtime.close()
  })
})

describe('an event that comes late', () => {
  it('is handled for a key of any length (S6)', async () => {
    const world = createSagaWorld()
    const kind: AnySaga = saga(
      'order',
      {
        ...base,
        uses: [PaymentCaptured],
        late: { 'payments.captured': async (_s, got) => got.data.orderId.length },
      },
      async () => undefined,
    )
    const runtime = await world.begin([kind])
    const key = 'k'.repeat(512)
    await runtime.publish(OrderPlaced.of(order(key)))
    await world.pass(MINUTE)
    await runtime.publish(PaymentCaptured.of(order(key)))
    await world.pass(MINUTE)

    const all = await runtime.sagas({ saga: 'order', state: 'completed' })
    expect(all.items.map(({ output }) => output)).toContain(512)
    await runtime.close()
  })
})

describe('statements of s.tx that fail', () => {
  it('leave what an effect gave before to be durable before the next begins (S1)', async () => {
    const world = createSagaWorld()
    const seen: unknown[] = []
    const kind: AnySaga = saga('order', { ...base, uses: [] }, async (s) => {
      await s.run('one', async () => 1)
      const rows = s.tx('rows', async () => {
        throw new Error('no such table')
      })
      const two = s.run('two', async () => {
        const entries = (await world.run('a'))?.entries ?? []
        seen.push(entries.find(({ step }) => step === 'one#1')?.state)
      })
      await Promise.all([rows, two])
    })
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await world.pass(MINUTE)

    expect(seen).toEqual(['done'])
    await runtime.close()
  })
})

describe('a declaration', () => {
  it('cannot wait for what starts it: one message would be both', () => {
    const both = (): AnySaga =>
      saga('order', { ...base, uses: [OrderPlaced] }, async () => undefined)
    expect(both).toThrow(/shop\.placed starts it/)
  })
})

describe('a correlation', () => {
  it('that names no run is a dead letter, and never the key of another', async () => {
    const world = createSagaWorld()
    const nothing = (): string => JSON.parse('null')
    const kind: AnySaga = saga(
      'order',
      { ...base, uses: [PaymentCaptured], correlate: { 'payments.captured': nothing } },
      async (s) => {
        await s.wait(PaymentCaptured)
      },
    )
    const runtime = await world.begin([kind])
    await runtime.publish(OrderPlaced.of(order('a')))
    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(20 * MINUTE)

    expect((await world.run('a'))?.state).toBe('running')
    expect((await runtime.deadLetters({})).items).toHaveLength(1)
    await runtime.close()
  })
})

describe('a handler that was given another name', () => {
  it('gives the answer of the old one, without a second effect (F151)', async () => {
    const world = createSagaWorld()
    const Once = command('once.do', {
      owner: owners,
      key: 'orderId',
      input: orderInput,
      idempotency: { key: 'orderId' },
    })
    const desk = does(Once, null)
    let runtime = await world.begin([desk])
    await runtime.publish({ contract: Once, data: order('a') })
    await world.pass(MINUTE)
    await runtime.close()
    runtime = await world.begin([{ ...desk, name: 'other-desk', was: [desk.name] }])
    await runtime.publish({ contract: Once, data: order('a', 2) })
    await world.pass(MINUTE)

    expect(await world.ledger('a')).toEqual(['once.do'])
    await runtime.close()
  })
})
