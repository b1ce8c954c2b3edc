import { describe, expect, it } from 'vitest'
import {
  consumer,
  type Contract,
  event,
  integration,
  jsonSchema,
  outboxSource,
} from '../contract/index.ts'
import type { OutboxReader, OutboxRow } from '../outbox/index.ts'
import { createMemoryDisk, createMemoryStore } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createRuntime } from './create-runtime.ts'
import type { Runtime } from './runtime-port.ts'
import { type Order, owners, policy } from './world.fixture.ts'

type Placed = Contract<'orders.placed', { readonly 1: Order }, 1>

/** `key` and `n`, of which `n` may be missing once the contract is mended. */
const placed = (required: readonly string[], fact?: 'key'): Placed =>
  event('orders.placed', {
    owner: owners,
    key: 'key',
    compatibility: 'none',
    pii: ['note'],
    ...(fact !== undefined && { idempotency: { key: fact, retention: '1d' } }),
    versions: {
      1: jsonSchema<Order>({
        type: 'object',
        required: [...required],
        properties: { key: { type: 'string' }, n: { type: 'number' }, note: { type: 'string' } },
      }),
    },
  })

const rowOf = (seq: number, more: Partial<OutboxRow> = {}): OutboxRow => ({
  seq,
  atMs: 1,
  id: `msg_${seq}`,
  type: 'orders.placed',
  version: null,
  key: 'k',
  fact: null,
  payload: '{"key":"k"}',
  headers: '{"correlationid":"corr_1"}',
  record: null,
  ...more,
})

const readerOf = (rows: readonly OutboxRow[]): OutboxReader => ({
  read: async ({ head }) => ({
    rows: rows.filter(({ seq }) => seq > head),
    isComplete: true,
    endedBelow: 1_000,
  }),
  fence: async () => 1,
  writersEndedBelow: async () => 1_000,
  clean: async () => undefined,
  backlog: async () => ({ waiting: 0, isMore: false, oldestAtMs: undefined }),
  close: async () => undefined,
})

const openShop = (rows: readonly OutboxRow[]) => {
  const kernel = createVirtualKernel()
  const disk = createMemoryDisk()
  const handled: string[] = []
  const start = async (contract: Placed): Promise<Runtime> => {
    const source = outboxSource('shop', {
      owner: owners,
      database: { file: 'shop.db' },
      accepts: [contract],
    })
    const one = consumer('one', {
      ...policy,
      on: contract,
      handle: async ({ key }, { message }) =>
        void handled.push(`${message.id} ${key} ${message.correlationId}`),
    })
    const runtime = await createRuntime(integration('shop', { parts: [source, one] }), {
      kernel,
      store: createMemoryStore({ clock: kernel.clock, random: kernel.random, disk }),
      openOutbox: async () => readerOf(rows),
      send: () => Promise.resolve(),
    })
    await kernel.clock.advance(2_000)
    return runtime
  }
  return { start, handled, kernel }
}

const by = { actor: 'on-call', reason: 'the contract was wrong', origin: 'test' }
const readmit = { kind: 'invalid.readmit', webhook: 'outbox/shop' } as const

const operate = async (
  shop: ReturnType<typeof openShop>,
  runtime: Runtime,
  planOnly = false,
): Promise<unknown> => {
  const asked = runtime.operate({ ...readmit, ...(planOnly && { planOnly }) }, by)
  let isOver = false
  void asked.finally(() => (isOver = true))
  while (!isOver) await shop.kernel.clock.advance(10)
  return (await asked).result
}

describe('a row of an outbox that is no message', () => {
  it('is re-admitted once its contract is mended: with its id, key and correlation, and once', async () => {
    const shop = openShop([rowOf(1), rowOf(2, { key: 'other', payload: '{"key":"other"}' })])
    const before = await shop.start(placed(['key', 'n']))
    expect(shop.handled).toEqual([])
    expect(await operate(shop, before)).toMatchObject({ planned: 2, admitted: 0, stillInvalid: 2 })
    await before.close()

    const after = await shop.start(placed(['key']))
    expect(await operate(shop, after, true)).toMatchObject({ planned: 2, wouldAdmit: 2 })
    expect(shop.handled).toEqual([])
    expect(await operate(shop, after)).toMatchObject({ planned: 2, admitted: 2, stillInvalid: 0 })
    await shop.kernel.clock.advance(1_000)

    expect(shop.handled.toSorted()).toEqual(['msg_1 k corr_1', 'msg_2 other corr_1'])
    expect((await after.messages({})).items.map(({ key }) => key)).toEqual(['other', 'k'])
    expect(await operate(shop, after)).toMatchObject({ planned: 0, admitted: 0 })
    const { items } = await after.invalid({ state: 'readmitted' })
    expect(items.map(({ messageId }) => messageId)).toEqual(['msg_2', 'msg_1'])
    await after.close()
  })

  it('is a duplicate where its fact has come meanwhile', async () => {
    const shop = openShop([rowOf(1)])
    const first = await shop.start(placed(['key', 'n'], 'key'))
    await first.publish(placed(['key', 'n'], 'key').of({ key: 'k', n: 1 }))
    await first.close()

    const after = await shop.start(placed(['key'], 'key'))
    const report = await operate(shop, after)

    expect(report).toMatchObject({ planned: 1, admitted: 0, duplicates: 1 })
    await after.close()
  })

  it('is shown masked by the contract that it names', async () => {
    const shop = openShop([rowOf(1, { payload: '{"key":"k","note":"Jane"}' })])
    const runtime = await shop.start(placed(['key', 'n']))

    const [kept] = (await runtime.invalid({})).items

    expect(kept?.payload).toEqual({ key: 'k', note: '•••' })
    await runtime.close()
  })
})
