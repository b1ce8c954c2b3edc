import { describe, expect, it } from 'vitest'
import { header } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { createMemoryDisk } from '../store/memory/index.ts'
import type { InvalidRequest } from './invalid-shelf.ts'
import { type InboxBench, only, openInbox, order, ordersHook } from './inbox.fixture.ts'

const badRequest = (bench: InboxBench, text: string, key = 'k1'): InvalidRequest => ({
  request: {
    webhook: bench.hook,
    raw: Buffer.from(text),
    header: (name) =>
      name === 'webhook-id' ? key : name === 'authorization' ? 'secret' : undefined,
    mediaType: 'application/json',
    receivedAtMs: bench.kernel.clock.now(),
    scheme: 'unsigned',
  },
  reason: 'schema',
  version: 1,
  errors: [{ pointer: '/status', message: 'status is required.' }],
})

describe('the shelf of invalid requests', () => {
  it('keeps the bytes, the fields at fault and the headers that matter, and tells the owner', async () => {
    const bench = openInbox()

    const kept = await bench.inbox.keepInvalid(badRequest(bench, '{"orderId":"A"}'))

    const row = only(await bench.rows('invalid'))
    expect(row).toMatchObject({
      id: kept.id,
      state: 'open',
      reason: 'schema',
      contract: 'partner.order',
      headers: { 'webhook-id': 'k1' },
      errors: [{ pointer: '/status', message: 'status is required.' }],
    })
    expect(Buffer.from(row.body, 'base64').toString()).toBe('{"orderId":"A"}')
    expect(only(bench.alerts)).toMatchObject({
      kind: 'contract-mismatch',
      cause: 'contract-mismatch:acme',
    })
  })

  it('has one row for a request that is sent again and again', async () => {
    const bench = openInbox()

    const first = await bench.inbox.keepInvalid(badRequest(bench, '{}'))
    const again = await bench.inbox.keepInvalid(badRequest(bench, '{}'))

    expect(again.id).toBe(first.id)
    expect(await bench.rows('invalid')).toHaveLength(1)
  })

  it('groups requests that fail in the same way under one cause', async () => {
    const bench = openInbox()
    await bench.inbox.keepInvalid(badRequest(bench, '{"a":1}'))
    await bench.inbox.keepInvalid(badRequest(bench, '{"a":2}'))

    const rows = await bench.rows('invalid')

    expect(rows).toHaveLength(2)
    expect(new Set(rows.map(({ cause }) => cause)).size).toBe(1)
  })

  it('counts what comes when it is full, keeps the oldest, and says so once a day', async () => {
    const bench = openInbox()
    for (let index = 0; index < LIMITS.invalidPerDayMax; index++) {
      await bench.inbox.keepInvalid(badRequest(bench, `{"n":${index}}`))
    }

    const late = await bench.inbox.keepInvalid(badRequest(bench, '{"n":"late"}'))
    await bench.inbox.keepInvalid(badRequest(bench, '{"n":"later"}'))

    expect(late.id).toBeUndefined()
    expect(bench.inbox.lostInvalid('acme')).toBe(2)
    expect(bench.alerts.filter(({ kind }) => kind === 'shelf-full')).toHaveLength(1)
    await bench.kernel.clock.advance(86_400_000)
    expect((await bench.inbox.keepInvalid(badRequest(bench, '{"n":"next day"}'))).id).toBeDefined()
  })
})

describe('readmitting', () => {
  /** The same border, before and after the contract learned to take what was refused. */
  const mended = () => {
    const disk = createMemoryDisk()
    const before = openInbox(ordersHook(), { disk })
    return {
      before,
      reopen: async () => {
        await before.store.close()
        return openInbox(ordersHook(), { disk })
      },
    }
  }

  it('takes a request that is valid now, with its id and the time it came', async () => {
    const { before, reopen } = mended()
    const text = JSON.stringify(order('A'))
    const kept = await before.inbox.keepInvalid(badRequest(before, text))
    const receivedAtMs = before.kernel.clock.now()
    const promised = only(await before.rows('invalid')).messageId
    const bench = await reopen()
    await bench.kernel.clock.advance(3_600_000)

    const result = await bench.inbox.readmit(kept.id ?? '')

    expect(result).toMatchObject({ kind: 'accepted', id: promised, events: 1 })
    expect(only(await bench.log()).head).toMatchObject({
      envelope: { id: promised, idempotencykey: 'k1', time: new Date(receivedAtMs).toISOString() },
      receipt: { readmittedFrom: kept.id, receivedAtMs },
    })
    expect(only(await bench.rows('invalid'))).toMatchObject({ state: 'readmitted' })
    expect(await bench.inbox.readmit(kept.id ?? '')).toEqual({
      kind: 'not-open',
      state: 'readmitted',
    })
    expect((await bench.send('k1', text)).kind).toBe('duplicate')
  })

  it('leaves one open that is still invalid, and names the fields', async () => {
    const bench = openInbox()
    const kept = await bench.inbox.keepInvalid(badRequest(bench, '{"orderId":"A"}'))

    const result = await bench.inbox.readmit(kept.id ?? '')

    expect(result).toMatchObject({ kind: 'still-invalid', errors: [{ pointer: '/status' }] })
    expect(only(await bench.rows('invalid')).state).toBe('open')
  })

  it('has no second effect when the sender has sent it again meanwhile', async () => {
    const bench = openInbox()
    const text = JSON.stringify(order('A'))
    const kept = await bench.inbox.keepInvalid(badRequest(bench, text))
    const sent = await bench.send('k1', text)

    const result = await bench.inbox.readmit(kept.id ?? '')

    expect(result).toEqual({ kind: 'duplicate', id: sent.kind === 'accepted' && sent.id })
    expect(await bench.log()).toHaveLength(1)
    expect(only(await bench.rows('invalid')).state).toBe('readmitted')
  })

  it('takes a conflict as a message of its own, because a person has judged it', async () => {
    const bench = openInbox(ordersHook({ idempotency: { key: header('webhook-id') } }))
    await bench.send('k1', order('A'))
    const conflict = await bench.send('k1', order('B'))

    const result = await bench.inbox.readmit(
      (conflict.kind === 'conflict' && conflict.invalidId) || '',
    )

    expect(result).toMatchObject({ kind: 'accepted', events: 1 })
    expect(await bench.log()).toHaveLength(2)
  })

  it('knows what is not there', async () => {
    expect(await openInbox().inbox.readmit('inv_0')).toEqual({ kind: 'not-found' })
  })
})
