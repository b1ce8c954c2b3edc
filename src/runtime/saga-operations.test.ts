import { describe, expect, it } from 'vitest'
import { event, saga } from '../contract/index.ts'
import { METRICS } from '../observe/index.ts'
import {
  createSagaWorld,
  does,
  order,
  OrderPlaced,
  orderInput,
  orderSaga,
  PaymentCaptured,
  Release,
  Reserve,
  sagaParts,
  type SagaWorld,
} from './order-saga.fixture.ts'
import type { OperationCommand } from './commands.ts'
import { counterOf } from './read-metrics.ts'
import type { SagaPlan } from './saga-plans.ts'
import { owners } from './world.fixture.ts'

const MINUTE = 60_000
const base = { version: 1, owner: owners, on: OrderPlaced, from: 'earliest' } as const

const place = async (world: SagaWorld, ...keys: readonly string[]): Promise<void> => {
  for (const key of keys) await world.runtime.publish(OrderPlaced.of(order(key)))
  await world.pass(1_000)
}

type PlanCommand = Omit<Extract<OperationCommand, { readonly kind: 'saga.plan' }>, 'kind'>

const planOf = async (
  world: SagaWorld,
  command: PlanCommand,
): Promise<SagaPlan & { readonly id: string }> => {
  const by = { actor: 'ada', reason: 'a test', origin: 'test' }
  const asked = { kind: 'saga.plan', ...command } as const
  const { operationId, result } = await world.runtime.operate(asked, by)
  const plan: SagaPlan = JSON.parse(JSON.stringify(result))
  return { ...plan, id: operationId }
}

describe('runs of sagas', () => {
  it('are listed by saga, state, owner, step and age, and say what they wait for', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await place(world, 'a')
    await world.pass(5 * MINUTE)
    const betweenMs = world.clock.now()
    await place(world, 'b')
    await runtime.publish(PaymentCaptured.of(order('b')))
    await world.pass(1_000)

    const keysOf = async (query: object): Promise<readonly string[]> =>
      (await runtime.sagas(query)).items.map(({ key }) => key).toSorted()
    expect(await keysOf({})).toEqual(['a', 'b'])
    expect(await keysOf({ state: 'running' })).toEqual(['a'])
    expect(await keysOf({ saga: 'order', state: 'completed' })).toEqual(['b'])
    expect(await keysOf({ step: 'payments.captured' })).toEqual(['a'])
    expect(await keysOf({ step: 'payments.captured#2' })).toEqual([])
    expect(await keysOf({ owner: owners.name, startedBeforeMs: betweenMs })).toEqual(['a'])
    expect(await keysOf({ owner: 'nobody' })).toEqual([])

    const first = await runtime.sagas({ saga: 'order', limit: 1 })
    const rest = await runtime.sagas({ saga: 'order', limit: 1, after: first.next ?? '' })
    expect([...first.items, ...rest.items].map(({ key }) => key).toSorted()).toEqual(['a', 'b'])
    expect(rest.next).toBeUndefined()

    const run = await runtime.sagaRun('order', 'a')
    expect(run?.waitsFor).toMatchObject([
      {
        kind: 'wait',
        contract: 'payments.captured',
        owner: owners.name,
        hint: expect.stringContaining('nothing declared here brings payments.captured'),
      },
      { kind: 'sleep', untilMs: expect.any(Number) },
    ])
    expect(run?.next.map(({ command }) => command)).toEqual([
      'saga.signal',
      'saga.cancel',
      'saga.terminate',
    ])
    await runtime.close()
  })

  it('are counted by state, and by what became of them and of their steps', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await place(world, 'a', 'b')
    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(1_000)
    const [summary] = await runtime.sagaSummaries()
    expect(summary).toMatchObject({ name: 'order', live: { running: 1, paused: 0 } })
    const text = JSON.stringify(runtime.metrics.collect())
    expect(text).toContain('junctura_saga_runs')
    await world.pass(20 * MINUTE)

    const labels = { saga: 'order', owner: owners.name }
    const count = (name: string, more: object = {}): number =>
      counterOf(runtime.metrics, name, { ...labels, ...more })
    expect(count(METRICS.sagasStarted.name)).toBe(2)
    expect(count(METRICS.sagasEnded.name, { outcome: 'completed' })).toBe(1)
    expect(count(METRICS.sagasEnded.name, { outcome: 'compensated' })).toBe(1)
    const undone = { saga: 'order', step: 'stock.release', outcome: 'done' }
    expect(counterOf(runtime.metrics, METRICS.sagaCompensations.name, undone)).toBe(1)
    await runtime.close()
  })

  it('are started once for a key, with data that is checked', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    const start = { kind: 'saga.start', saga: 'order', data: order('a') } as const
    await world.operate(start)
    await world.pass(1_000)
    expect(await world.run('a')).toMatchObject({ state: 'running', input: order('a') })

    await expect(world.operate(start)).rejects.toThrow(/order a is running/)
    const wrong = { ...start, data: { orderId: 7 } }
    await expect(world.operate(wrong)).rejects.toThrow(/shop.placed/)
    const unknown = { ...start, saga: 'nothing' }
    await expect(world.operate(unknown)).rejects.toMatchObject({ code: 'JUNCTURA_NOT_FOUND' })
    await runtime.close()
  })

  it('refuse a step that they do not have, and name those that are open', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await place(world, 'a')
    const retry = { kind: 'saga.retry-step', saga: 'order', key: 'a', step: 'nothing#1' } as const
    await expect(world.operate(retry)).rejects.toThrow(/no step nothing#1/)
    await runtime.close()
  })
})

describe('a plan over runs', () => {
  it('does what it says to exactly the runs it counted, once (S18)', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    await place(world, 'a', 'b', 'c')
    await runtime.publish(PaymentCaptured.of(order('c')))
    await world.pass(1_000)
    const plan = await planOf(world, { act: 'cancel', filter: { saga: 'order' } })
    expect(plan).toMatchObject({ total: 2, complete: true, byState: { running: 2 } })
    await place(world, 'd')
    await runtime.publish(PaymentCaptured.of(order('b')))
    await world.pass(1_000)
    expect(await world.ledger('a')).toEqual(['stock.reserve', 'payments.charge'])

    const run = { kind: 'saga.run-plan', id: plan.id, token: plan.token } as const
    await expect(world.operate({ ...run, token: 'x' })).rejects.toThrow(/token/)
    await expect(world.operate({ ...run, id: 'op_x' })).rejects.toThrow(/there is no plan/)
    const by = { actor: 'ada', reason: 'a test', origin: 'test' }
    const done = await runtime.operate(run, by)
    await world.pass(MINUTE)
    expect(done.result).toMatchObject({
      asked: 1,
      skipped: [{ key: 'b', why: expect.stringContaining('completed') }],
    })
    expect((await world.run('a'))?.state).toBe('compensated')
    expect((await world.run('d'))?.state).toBe('running')

    const again = await runtime.operate(run, by)
    expect(again.result).toMatchObject({ asked: 0 })
    expect((await world.run('a'))?.operations).toHaveLength(1)
    await runtime.close()
  })

  it('acts once on each run however often it is run, and never on a later run of the key', async () => {
    const world = createSagaWorld()
    const kind = saga('order', { ...base, uses: [PaymentCaptured], keep: '1h' }, async (s) => {
      await s.wait(PaymentCaptured)
    })
    const runtime = await world.begin([kind])
    await place(world, 'a')
    const plan = await planOf(world, { act: 'pause', filter: { saga: 'order' } })
    const run = { kind: 'saga.run-plan', id: plan.id, token: plan.token } as const
    const by = { actor: 'ada', reason: 'a test', origin: 'test' }
    await runtime.operate(run, by)
    await world.pass(1_000)
    expect((await world.run('a'))?.state).toBe('paused')
    await world.operate({ kind: 'saga.resume', saga: 'order', key: 'a' })
    await runtime.operate(run, by)
    await world.pass(1_000)
    expect((await world.run('a'))?.state).toBe('running')

    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(150 * MINUTE)
    expect(await world.run('a')).toBeUndefined()
    await place(world, 'a')
    const { result } = await runtime.operate(run, by)
    await world.pass(1_000)
    expect(result).toMatchObject({ asked: 0, skipped: [{ why: 'it is another run by now' }] })
    expect((await world.run('a'))?.state).toBe('running')
    await runtime.close()
  })

  it('is refused where it would take everything, or something unknown (F104)', async () => {
    const world = createSagaWorld()
    const runtime = await world.begin(sagaParts())
    const refusals = [
      [{ act: 'cancel', filter: {} }, /takes every run/],
      [{ act: 'retry-step', filter: { saga: 'order' } }, /needs the step/],
      [{ act: 'cancel', filter: { owner: 'nobody' } }, /owns no saga/],
      [{ act: 'cancel', filter: { saga: 'nothing' } }, /no saga/i],
    ] as const
    for (const [command, words] of refusals) {
      await expect(planOf(world, command)).rejects.toThrow(words)
    }
    await runtime.close()
  })

  it('retries the step of all that stand at it', async () => {
    const world = createSagaWorld()
    let isDown = true
    const desk = does(Reserve, { place: 'B' }, () => {
      if (isDown) throw new Error('the shelf is locked')
    })
    const runtime = await world.begin(sagaParts(orderSaga, desk))
    await place(world, 'a', 'b')
    await world.pass(MINUTE)
    expect((await runtime.sagas({ state: 'paused' })).items).toHaveLength(2)
    isDown = false
    const plan = await planOf(world, {
      act: 'retry-step',
      filter: { state: 'paused', step: 'stock.reserve' },
    })
    await world.operate({ kind: 'saga.run-plan', id: plan.id, token: plan.token })
    await world.pass(1_000)
    expect((await runtime.sagas({ state: 'running' })).items).toHaveLength(2)
    await runtime.close()
  })
})

describe('an alert about a run', () => {
  it('that does not move says where it stands, and is resolved when it moves (S16)', async () => {
    const world = createSagaWorld()
    const kind = saga(
      'order',
      { ...base, uses: [PaymentCaptured], budget: { quiet: '10m' } },
      async (s) => {
        await s.wait(PaymentCaptured)
        await s.sleep('5m')
      },
    )
    const runtime = await world.begin([kind])
    await place(world, 'a')
    await world.pass(12 * MINUTE)
    const open = await runtime.alerts({ state: 'open' })
    expect(open.items).toMatchObject([
      {
        owner: owners.name,
        title: expect.stringMatching(
          /not moved for 10m.*payments.captured#1 \(wait.*nothing declared here brings/,
        ),
      },
    ])
    const overview = await runtime.overview()
    expect(overview.reasons.join()).toContain('has not moved for')
    expect(await runtime.sagaRun('order', 'a')).toMatchObject({ isQuiet: true })

    await runtime.publish(PaymentCaptured.of(order('a')))
    await world.pass(1_000)
    expect((await runtime.alerts({ state: 'open' })).items).toEqual([])
    expect((await world.run('a'))?.isQuiet).toBeUndefined()
    await world.pass(6 * MINUTE)
    expect((await world.run('a'))?.state).toBe('completed')
    await runtime.close()
  })

  it('that is past its total is told, and resolved once it is taken back (S16)', async () => {
    const world = createSagaWorld()
    const kind = saga(
      'order',
      { ...base, uses: [Reserve, Release, PaymentCaptured], budget: { total: '1h' } },
      async (s, input) => {
        if (input.orderId === 'b') await s.call(Reserve, input)
        await s.wait(PaymentCaptured)
      },
    )
    let isDown = true
    const slow = does(Release, null, () => {
      if (isDown) throw new Error('the shelf is locked')
    })
    const runtime = await world.begin(sagaParts(kind, slow))
    const told = async (state: 'open' | 'resolved') =>
      (await runtime.alerts({ state })).items
        .filter(({ cause }) => cause === 'saga/order/budget')
        .map(({ title }) => title)
    // Nothing of it is to be taken back: it is over in the same turn.
    await place(world, 'a')
    await world.pass(61 * MINUTE)
    expect((await world.run('a'))?.state).toBe('compensated')
    expect(await told('open')).toEqual([])
    expect(await told('resolved')).toHaveLength(1)

    await place(world, 'b')
    await world.pass(60 * MINUTE)
    expect(await told('open')).toEqual([
      expect.stringContaining('b: its budget of 1h is used up; it is taken back'),
    ])
    isDown = false
    await world.pass(60 * MINUTE)
    expect((await world.run('b'))?.state).toBe('compensated')
    expect(await told('open')).toEqual([])
    await runtime.close()
  })

  it('that cannot be taken back is resolved when somebody has seen to it (S11)', async () => {
    const world = createSagaWorld()
    const kind = saga('order', { ...base, uses: [Reserve, Release] }, async (s, input) => {
      await s.call(Reserve, input)
      return s.fail('no')
    })
    const broken = does(Release, null, () => {
      throw new Error('the shelf is locked')
    })
    const runtime = await world.begin(sagaParts(kind, broken))
    await place(world, 'a')
    await world.pass(180 * MINUTE)
    const run = await runtime.sagaRun('order', 'a')
    expect(run?.state).toBe('compensation-stuck')
    expect(run?.waitsFor).toMatchObject([{ step: 'undo:stock.reserve#1', state: 'failed' }])
    const [first] = run?.next ?? []
    expect(first).toMatchObject({ command: 'saga.retry-step', step: 'undo:stock.reserve#1' })
    const alerts = async () =>
      (await runtime.alerts({ state: 'open' })).items.filter(({ kind: of }) => of === 'saga')
    expect(await alerts()).toHaveLength(1)
    await world.operate({
      kind: 'saga.skip-step',
      saga: 'order',
      key: 'a',
      step: 'undo:stock.reserve#1',
    })
    await world.pass(1_000)
    expect((await world.run('a'))?.state).toBe('resolved')
    expect(await alerts()).toEqual([])
    await runtime.close()
  })
})

describe('what people gave to a saga', () => {
  it('is masked in the journal of operations', async () => {
    const world = createSagaWorld()
    const Placed = event('people.placed', {
      owner: owners,
      key: 'orderId',
      versions: { 1: orderInput },
      pii: ['amount'],
    })
    const kind = saga('order', { ...base, on: Placed, uses: [] }, async (s) => {
      await s.sleep('1h')
    })
    const runtime = await world.begin([kind])
    await world.operate({ kind: 'saga.start', saga: 'order', data: order('a', 4_711) })
    await world.pass(1_000)
    expect((await world.run('a'))?.state).toBe('running')
    const { items } = await runtime.operations({})
    expect(items).toHaveLength(1)
    expect(JSON.stringify([items, await world.run('a')])).not.toContain('4711')
    await runtime.close()
  })
})
