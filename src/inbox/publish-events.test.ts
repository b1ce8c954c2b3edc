import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { only, openInbox, order, OrderChanged, OrderSeen } from './inbox.fixture.ts'

describe('publishing in process', () => {
  it('refuses what does not fit its contract, and appends none of the batch', async () => {
    const bench = openInbox()
    const drafts = [OrderSeen.of(order('A')), OrderSeen.of({ orderId: 'B' })]

    const published = bench.inbox.publishMany(drafts)

    await expect(published).rejects.toMatchObject({ code: 'JUNCTURA_EMIT_INVALID' })
    expect(await bench.log()).toEqual([])
  })

  it('refuses more messages than one commit may hold', async () => {
    const drafts = Array.from({ length: LIMITS.publishManyMax + 1 }, () => OrderSeen.of(order('A')))

    const published = openInbox().inbox.publishMany(drafts)

    await expect(published).rejects.toMatchObject({ code: 'JUNCTURA_USAGE' })
  })

  it('appends in the order given and carries correlation on', async () => {
    const bench = openInbox()
    const drafts = ['A', 'B', 'C'].map((id) => OrderSeen.of(order(id)))

    const published = await bench.inbox.publishMany(drafts, { correlationId: 'case-7' })

    const envelopes = (await bench.log()).map(({ head }) => head.envelope)
    expect(envelopes.map(({ id }) => id)).toEqual(published.map(({ id }) => id))
    expect(envelopes.map(({ partitionkey }) => partitionkey)).toEqual(['A', 'B', 'C'])
    expect(envelopes.every(({ correlationid }) => correlationid === 'case-7')).toBe(true)
    expect(envelopes[0]?.source).toBe('/publish')
  })

  it('gives what a handler emits the same id on every attempt', async () => {
    const bench = openInbox()
    await bench.inbox.publish(OrderChanged.of(order('A')))
    const { envelope } = only(await bench.log()).head
    const by = { envelope, consumer: 'warehouse', index: 0, atMs: bench.kernel.clock.now() }

    const append = bench.inbox.emitAppend(OrderSeen.of(order('A')), by)
    const again = bench.inbox.emitAppend(OrderSeen.of(order('A')), by)

    expect(append.record?.head.envelope).toMatchObject({
      id: `${envelope.id}.warehouse.0`,
      causationid: envelope.id,
      correlationid: envelope.correlationid,
      source: '/consumers/warehouse',
    })
    expect(again.bytes).toEqual(append.bytes)
    expect(append.claim).toBeUndefined()
  })

  it('gives what a handler emits the same claim as publish, where its contract names a fact (M5)', async () => {
    const bench = openInbox()
    const { id } = await bench.inbox.publish(OrderChanged.of(order('A')))
    const { envelope } = only(await bench.log()).head
    const by = { envelope, consumer: 'warehouse', index: 0, atMs: bench.kernel.clock.now() }

    const { claim } = bench.inbox.emitAppend(OrderChanged.of(order('A')), by)
    const position = claim && (await bench.store.claimedPosition(claim.scope, claim.key))

    expect(position).toBe(1)
    expect(await bench.inbox.messageIdAt(position ?? 0)).toBe(id)
    expect(claim?.expiresAtMs).toBe(by.atMs + 7 * 86_400_000)
  })
})
