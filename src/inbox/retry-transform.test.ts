import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import {
  only,
  openInbox,
  order,
  OrderChanged,
  orderData,
  settle,
  ordersHook,
  OrderSeen,
} from './inbox.fixture.ts'

/** A webhook whose transform is broken until it is mended. */
function brokenHook(fault: () => unknown) {
  const state = { isMended: false }
  const hook = ordersHook({
    transformTimeout: 50,
    emit: (data) => (state.isMended ? OrderSeen.of(orderData(data)) : (fault() as undefined)),
  })
  return { state, hook }
}

const FAULTS: readonly (readonly [string, () => unknown, string])[] = [
  ['throws', () => raise(new RangeError('no such status')), 'RangeError'],
  ['throws something that is no error', () => raise('text'), 'string'],
  ['never returns', () => hang(), 'JUNCTURA_TRANSFORM_TIMEOUT'],
  ['makes an event that its contract refuses', () => OrderSeen.of({}), 'JUNCTURA_EMIT_INVALID'],
  [
    'makes an event whose key is not exact',
    () => OrderSeen.of(order(2 ** 53)),
    'JUNCTURA_EMIT_INVALID',
  ],
  [
    'makes an event whose key is too long',
    () => OrderSeen.of(order('x'.repeat(600))),
    'JUNCTURA_EMIT_INVALID',
  ],
  ['makes something that is no event', () => ({ status: 'paid' }), 'JUNCTURA_EMIT_INVALID'],
  ['makes an event that is no JSON', () => OrderSeen.of(circle()), 'JUNCTURA_EMIT_INVALID'],
  [
    'makes an event too large for a record',
    () => OrderSeen.of(huge()),
    'JUNCTURA_RECORD_TOO_LARGE',
  ],
  ['makes more events than one message may', () => many(), 'JUNCTURA_EMIT_INVALID'],
]

describe('a transform that fails', () => {
  it.each(FAULTS)(
    'and %s leaves the raw message, a 202 and a dead letter',
    async (_, fault, name) => {
      const { hook } = brokenHook(fault)
      const bench = openInbox(hook)

      const result = await bench.send('k1', order('A'))

      expect(result).toMatchObject({ kind: 'accepted', events: 0 })
      const record = only(await bench.log())
      expect(record.head.receipt?.transformError).toBeDefined()
      expect(JSON.parse(Buffer.from(record.raw ?? '').toString())).toEqual(order('A'))
      expect(only(await bench.rows('deadLetters'))).toMatchObject({
        stage: 'transform',
        state: 'open',
        consumer: 'acme',
        owner: 'owners',
        messageId: result.kind === 'accepted' && result.id,
        errorName: name,
        position: 1,
        key: 'k1',
        modelHash: 'model',
      })
      expect(only(bench.alerts)).toMatchObject({ kind: 'transform', severity: 'critical' })
      expect((await bench.send('k1', order('A'))).kind).toBe('duplicate')
    },
  )

  it('that waits for ever is cut off by the clock', async () => {
    const hook = ordersHook({ emit: () => new Promise(() => undefined) })
    const bench = openInbox(hook)
    const sent = bench.send('k1', order('A'))

    await settle(bench.kernel.clock)
    await bench.kernel.clock.advance(1_000)

    expect(await sent).toMatchObject({ kind: 'accepted', events: 0 })
    expect(await bench.rows('deadLetters')).toHaveLength(1)
  })

  it('fails alone: messages of the same moment are made into events', async () => {
    const hook = ordersHook({
      transformTimeout: 50,
      emit: (data) => (orderData(data).orderId === 'bad' ? hang() : OrderSeen.of(orderData(data))),
    })
    const bench = openInbox(hook)

    const results = await Promise.all(['A', 'bad', 'B'].map((id) => bench.send(id, order(id))))

    expect(results.map((result) => result.kind === 'accepted' && result.events)).toEqual([1, 0, 1])
  })
})

describe('retrying a transform after a mend', () => {
  it('appends the event under the message id and resolves the dead letter with it', async () => {
    const { state, hook } = brokenHook(() => raise(new TypeError('broken')))
    const bench = openInbox(hook)
    const sent = await bench.send('k1', order('A'))
    const dead = only(await bench.rows('deadLetters'))
    await bench.kernel.clock.advance(60_000)
    state.isMended = true

    const result = await bench.inbox.retryTransform(dead.id, 'someone')

    const id = sent.kind === 'accepted' ? sent.id : ''
    expect(result).toEqual({ kind: 'done', id, events: 1 })
    const [kept, made] = await bench.log()
    expect(made?.head.envelope).toMatchObject({
      id,
      type: 'orders.seen',
      time: kept?.head.envelope.time,
    })
    expect(made?.head.receipt?.transformError).toBeUndefined()
    expect(only(await bench.rows('deadLetters'))).toMatchObject({
      state: 'resolved',
      resolvedBy: 'someone',
    })
  })

  it('happens once, however often it is asked for', async () => {
    const { state, hook } = brokenHook(() => raise(new TypeError('broken')))
    const bench = openInbox(hook)
    await bench.send('k1', order('A'))
    const { id } = only(await bench.rows('deadLetters'))
    state.isMended = true

    const results = await Promise.all([
      bench.inbox.retryTransform(id, 'a'),
      bench.inbox.retryTransform(id, 'b'),
    ])
    const later = await bench.inbox.retryTransform(id, 'c')

    expect(results.map(({ kind }) => kind).toSorted()).toEqual(['done', 'not-open'])
    expect(later.kind).toBe('not-open')
    expect(await bench.log()).toHaveLength(2)
  })

  it('leaves it open and says why when it fails again', async () => {
    const { hook } = brokenHook(() => raise(new TypeError('still broken')))
    const bench = openInbox(hook)
    await bench.send('k1', order('A'))
    const { id } = only(await bench.rows('deadLetters'))

    const result = await bench.inbox.retryTransform(id, 'someone')

    expect(result).toEqual({ kind: 'failed', problem: 'still broken' })
    expect(only(await bench.rows('deadLetters'))).toMatchObject({ state: 'open', attempts: 2 })
  })

  it('does not repeat a fact that came another way meanwhile', async () => {
    let isMended = false
    const hook = ordersHook({
      emit: (data) => (isMended ? OrderChanged.of(orderData(data)) : raise(new TypeError('no'))),
    })
    const bench = openInbox(hook)
    await bench.send('k1', order('A'))
    isMended = true
    await bench.send('k2', order('A'))
    const { id } = only(await bench.rows('deadLetters'))

    const result = await bench.inbox.retryTransform(id, 'someone')

    expect(result).toMatchObject({ kind: 'done', events: 0 })
    expect(only(await bench.rows('deadLetters')).state).toBe('resolved')
    const changed = (await bench.log()).filter(
      ({ head }) => head.envelope.type === 'orders.changed',
    )
    expect(changed).toHaveLength(1)
  })

  it('finds its record: each dead letter names its own from the commit on that made it', async () => {
    const { state, hook } = brokenHook(() => raise(new TypeError('broken')))
    let commits = 0
    const bench = openInbox(hook, {
      fault: async (point) => void (commits += point === 'after-commit' ? 1 : 0),
    })

    const sent = await Promise.all(['k1', 'k2'].map((key) => bench.send(key, order(key))))

    const letters = await bench.rows('deadLetters')
    expect(commits).toBe(1)
    const placed = letters.map(({ messageId, position }) => `${messageId} at ${position}`)
    const accepted = sent.flatMap((one) =>
      one.kind === 'accepted' ? `${one.id} at ${one.position}` : [],
    )
    expect([...placed].sort()).toEqual([...accepted].sort())
    state.isMended = true
    for (const { id } of letters) {
      expect(await bench.inbox.retryTransform(id, 'someone')).toMatchObject({ kind: 'done' })
    }
  })
})

const raise = (thrown: unknown): never => {
  throw thrown
}
const hang = (): never => {
  for (;;);
}
const many = () =>
  Array.from({ length: LIMITS.emitsPerMessageMax + 1 }, () => OrderSeen.of(order('A')))
const huge = () => ({ ...order('A'), note: 'x'.repeat(LIMITS.recordBytesMax) })
const circle = (): never => {
  const data: Record<string, unknown> = { ...order('A') }
  data['self'] = data
  return data as never
}
