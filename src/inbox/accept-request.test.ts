import { describe, expect, it } from 'vitest'
import { header } from '../contract/index.ts'
import { JuncturaError } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import {
  bodyKey,
  only,
  openInbox,
  order,
  OrderChanged,
  orderData,
  ordersHook,
  OrderSeen,
} from './inbox.fixture.ts'

describe('accepting', () => {
  it('stores raw bytes, receipt and event as one record under the message id', async () => {
    const bench = openInbox()

    const result = await bench.send('k1', ' {"orderId":"A-1","status":"placed"}')

    expect(result).toMatchObject({ kind: 'accepted', events: 1, position: 1 })
    const record = only(await bench.log())
    const { envelope, receipt } = record.head
    expect(result.kind === 'accepted' && result.id).toBe(envelope.id)
    expect(envelope).toMatchObject({
      type: 'orders.seen',
      source: '/webhooks/acme',
      partitionkey: 'A-1',
      idempotencykey: 'k1',
      correlationid: envelope.id,
      tenant: 'default',
    })
    expect(Buffer.from(record.raw ?? '').toString()).toBe(' {"orderId":"A-1","status":"placed"}')
    expect(receipt).toMatchObject({ webhook: 'acme', version: 1, headers: { 'webhook-id': 'k1' } })
  })

  it('answers a repeat with the id of the first and stores nothing more', async () => {
    const bench = openInbox()
    const first = await bench.send('k1', order('A'))

    const again = await bench.send('k1', order('A'))

    expect(again).toEqual({ kind: 'duplicate', id: first.kind === 'accepted' ? first.id : '' })
    expect(await bench.log()).toHaveLength(1)
  })

  it('runs no transform for a repeat', async () => {
    let runs = 0
    const emit = (data: unknown) => {
      runs++
      return { contract: OrderSeen, data }
    }
    const bench = openInbox(ordersHook({ emit }))
    await bench.send('k1', order('A'))

    await bench.send('k1', order('A'))

    expect(runs).toBe(1)
  })

  it('accepts one of fifty identical requests at once (M11, W20, F60)', async () => {
    const bench = openInbox()

    const results = await Promise.all(
      Array.from({ length: 50 }, () => bench.send('k1', order('A'))),
    )

    expect(results.filter(({ kind }) => kind === 'accepted')).toHaveLength(1)
    expect(results.filter(({ kind }) => kind === 'duplicate')).toHaveLength(49)
    expect(new Set(results.map((result) => 'id' in result && result.id)).size).toBe(1)
    expect(await bench.log()).toHaveLength(1)
  })

  it('sends a repeat away while the first is being stored, where the webhook says so', async () => {
    const bench = openInbox(
      ordersHook({ idempotency: { key: header('webhook-id'), inFlight: 'conflict' } }),
    )

    const results = await Promise.all([bench.send('k1', order('A')), bench.send('k1', order('A'))])

    expect(results.map(({ kind }) => kind)).toEqual(['accepted', 'in-flight'])
    expect((await bench.send('k1', order('A'))).kind).toBe('duplicate')
  })

  it('derives the key from the bytes when none was sent, and never skips dedupe (W9)', async () => {
    const bench = openInbox()

    const first = await bench.send(undefined, order('A'))
    const again = await bench.send(undefined, order('A'))
    const other = await bench.send(undefined, order('B'))

    expect([first.kind, again.kind, other.kind]).toEqual(['accepted', 'duplicate', 'accepted'])
  })

  it('keeps two ids apart that differ beyond 2^53 (F49)', async () => {
    const bench = openInbox(
      ordersHook({ idempotency: { key: bodyKey('orderId') }, emit: () => undefined }),
    )

    const one = await bench.send(undefined, '{"orderId":9007199254740993,"status":"a"}')
    const two = await bench.send(undefined, '{"orderId":9007199254740992,"status":"a"}')

    expect([one.kind, two.kind]).toEqual(['accepted', 'accepted'])
  })

  it('forgets a key after its retention (F63)', async () => {
    const bench = openInbox()
    await bench.send('k1', order('A'))

    await bench.kernel.clock.advance(7 * 86_400_000 + 1)

    expect((await bench.send('k1', order('A'))).kind).toBe('accepted')
  })

  it('keeps a message that makes no event, with its key', async () => {
    const bench = openInbox(ordersHook({ emit: () => undefined }))

    expect(await bench.send('k1', order('A'))).toMatchObject({ kind: 'accepted', events: 0 })

    const record = only(await bench.log())
    expect(record.head.envelope.type).toBe('partner.order')
    expect(record.data).toHaveLength(0)
    expect((await bench.send('k1', order('A'))).kind).toBe('duplicate')
  })

  it('numbers the events of one message after its id and names it as their cause', async () => {
    const emit = () => [
      OrderSeen.of(order('A')),
      OrderSeen.of(order('B')),
      OrderSeen.of(order('C')),
    ]
    const bench = openInbox(ordersHook({ emit }))

    const result = await bench.send('k1', order('A'))

    const id = result.kind === 'accepted' ? result.id : ''
    const log = await bench.log()
    expect(log.map(({ head }) => head.envelope.id)).toEqual([id, `${id}-2`, `${id}-3`])
    expect(log.map(({ head }) => head.envelope.causationid)).toEqual([undefined, id, id])
    expect(log.map(({ raw }) => raw !== undefined)).toEqual([true, false, false])
  })
})

describe('other content under a used key (F61)', () => {
  const rule = (mismatch: 'conflict' | 'first-wins' | 'accept-as-new') =>
    ordersHook({ idempotency: { key: header('webhook-id'), mismatch } })

  it('is refused, kept and told to the owner under the rule conflict', async () => {
    const bench = openInbox(rule('conflict'))
    const first = await bench.send('k1', order('A'))

    const other = await bench.send('k1', order('B'))

    expect(other).toMatchObject({ kind: 'conflict', id: 'id' in first && first.id })
    expect(only(await bench.rows('invalid'))).toMatchObject({
      reason: 'conflict',
      state: 'open',
      body: Buffer.from(JSON.stringify(order('B'))).toString('base64'),
    })
    expect(only(bench.alerts)).toMatchObject({ kind: 'conflict', owner: { name: 'owners' } })
    expect(await bench.log()).toHaveLength(1)
  })

  it('is a repeat with a counted difference under the rule first-wins', async () => {
    const bench = openInbox(rule('first-wins'))
    const first = await bench.send('k1', order('A'))

    const other = await bench.send('k1', order('B'))
    await bench.inbox.close()

    expect(other).toEqual({ kind: 'duplicate', id: 'id' in first && first.id })
    expect(only(await bench.rows('repeats'))).toMatchObject({ repeats: 1, differences: 1 })
    expect(await bench.log()).toHaveLength(1)
  })

  it('is a message of its own under the rule accept-as-new, once', async () => {
    const bench = openInbox(rule('accept-as-new'))
    await bench.send('k1', order('A'))

    const other = await bench.send('k1', order('B'))
    const again = await bench.send('k1', order('B'))
    const first = await bench.send('k1', order('A'))

    expect([other.kind, again.kind, first.kind]).toEqual(['accepted', 'duplicate', 'duplicate'])
    expect(await bench.log()).toHaveLength(2)
  })

  it('is decided among requests that come at once as well', async () => {
    const bench = openInbox(rule('conflict'))

    const results = await Promise.all([bench.send('k1', order('A')), bench.send('k1', order('B'))])

    expect(results.map(({ kind }) => kind)).toEqual(['accepted', 'conflict'])
  })

  it('is a plain repeat when the fields to compare are equal', async () => {
    const idempotency = { key: header('webhook-id'), compare: { fields: ['orderId'] } } as const
    const bench = openInbox(ordersHook({ idempotency }))
    await bench.send('k1', order('A', 'placed'))

    const same = await bench.send('k1', order('A', 'paid'))
    const other = await bench.send('k1', order('B', 'paid'))

    expect([same.kind, other.kind]).toEqual(['duplicate', 'conflict'])
  })
})

describe('facts (M5)', () => {
  const facts = () => ordersHook({ emit: (data) => OrderChanged.of(orderData(data)) })

  it('have one effect under two message ids; the second is answered with the first id', async () => {
    const bench = openInbox(facts())
    const first = await bench.send('k1', order('A', 'paid'))

    const second = await bench.send('k2', order('A', 'paid'))

    const id = first.kind === 'accepted' ? first.id : ''
    expect(second).toEqual({ kind: 'duplicate', id })
    const log = await bench.log()
    expect(log.filter(({ head }) => head.envelope.type === 'orders.changed')).toHaveLength(1)
    expect(log[1]?.head.receipt?.duplicateOf).toBe(id)
    expect((await bench.send('k2', order('A', 'paid'))).kind).toBe('duplicate')
    expect(await bench.log()).toHaveLength(2)
  })

  it('are kept apart when one of their values differs', async () => {
    const bench = openInbox(facts())

    const results = [
      await bench.send('k1', order('A', 'paid')),
      await bench.send('k2', order('A', 'packed')),
      await bench.send('k3', order('B', 'paid')),
    ]

    expect(results.every(({ kind }) => kind === 'accepted')).toBe(true)
  })

  it('are left out one by one when a message carries known and new ones', async () => {
    const emit = (data: unknown) => {
      const { orderId, status } = orderData(data)
      return [OrderChanged.of(order(orderId, status)), OrderChanged.of(order('common'))]
    }
    const bench = openInbox(ordersHook({ emit }))
    await bench.send('k1', order('A'))

    const second = await bench.send('k2', order('B'))

    expect(second).toMatchObject({ kind: 'accepted', events: 1 })
    const keys = (await bench.log()).map(({ head }) => head.envelope.partitionkey)
    expect(keys).toEqual(['A', 'common', 'B'])
  })

  it('are published once too, and name the message that carried them', async () => {
    const bench = openInbox(facts())
    const first = await bench.send('k1', order('A', 'paid'))

    const [known, fresh, twin] = await bench.inbox.publishMany([
      OrderChanged.of(order('A', 'paid')),
      OrderChanged.of(order('C', 'paid')),
      OrderChanged.of(order('C', 'paid')),
    ])

    expect(known).toEqual({ id: first.kind === 'accepted' && first.id, isDuplicate: true })
    expect(fresh?.isDuplicate).toBe(false)
    expect(twin).toEqual({ id: fresh?.id, isDuplicate: true })
    expect(await bench.log()).toHaveLength(2)
  })
})

describe('a store that claims keys by fingerprint', () => {
  /** All keys look alike to this store, whatever they are. */
  const colliding = (store: Store): Store => ({
    ...bindAll(store),
    claimedPosition: (scope) => store.claimedPosition(scope, 'same'),
    commit: (units, finish) =>
      store.commit(
        units.map((unit) => ({
          ...unit,
          ...(unit.claims && { claims: unit.claims.map((claim) => ({ ...claim, key: 'same' })) }),
        })),
        finish,
      ),
  })

  it('swallows no message when two keys have one fingerprint', async () => {
    const bench = openInbox(ordersHook(), { wrap: colliding })

    const one = await bench.send('k1', order('A'))
    const two = await bench.send('k2', order('B'))
    const again = await bench.send('k2', order('B'))

    expect([one.kind, two.kind, again.kind]).toEqual(['accepted', 'accepted', 'duplicate'])
    expect(await bench.log()).toHaveLength(2)
  })

  it('swallows no fact either', async () => {
    const hook = ordersHook({ emit: (data) => OrderChanged.of(orderData(data)) })
    const bench = openInbox(hook, { wrap: colliding })

    const one = await bench.send('k1', order('A'))
    const two = await bench.send('k2', order('B'))
    const fact = await bench.send('k3', order('B'))

    expect([one.kind, two.kind, fact.kind]).toEqual(['accepted', 'accepted', 'duplicate'])
  })
})

describe('a store that fails', () => {
  it('leaves nothing half accepted, and the key free for the retry (F2)', async () => {
    let isFull = true
    const fault = (point: string): Promise<void> =>
      isFull && point === 'before-commit'
        ? Promise.reject(new JuncturaError('JUNCTURA_STORE_FULL', { details: { problem: 'full' } }))
        : Promise.resolve()
    const bench = openInbox(ordersHook(), { fault })

    const failed = await Promise.allSettled([
      bench.send('k1', order('A')),
      bench.send('k1', order('A')),
      bench.send('k2', order('B')),
    ])
    isFull = false

    expect(failed.every(({ status }) => status === 'rejected')).toBe(true)
    expect(await bench.log()).toHaveLength(0)
    expect((await bench.send('k1', order('A'))).kind).toBe('accepted')
  })
})

function bindAll(store: Store): Store {
  const bound: Record<string, unknown> = { features: store.features }
  for (
    let at: object | null = store;
    at && at !== Object.prototype;
    at = Object.getPrototypeOf(at)
  ) {
    for (const name of Object.getOwnPropertyNames(at)) {
      const member: unknown = Reflect.get(store, name)
      if (!(name in bound) && typeof member === 'function') bound[name] = member.bind(store)
    }
  }
  return bound as unknown as Store
}
