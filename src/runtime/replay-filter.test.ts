import { expect, it } from 'vitest'
import { sealRecord } from '../contract/index.ts'
import type { DeadLetterRow } from '../store/index.ts'
import { createMemoryStore } from '../store/memory/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { openLetterOf } from './replay-filter.ts'
import { Placed } from './world.fixture.ts'

it('finds the dead letter of the message itself, not that of another with the same id', async () => {
  const { clock } = createVirtualKernel()
  const store = createMemoryStore({ clock })
  const envelope = {
    specversion: '1.0',
    id: 'of-two-systems',
    type: Placed.name,
    source: '/shop',
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
    contractversion: 1,
    partitionkey: 'a',
    correlationid: 'of-two-systems',
    tenant: 'default',
  } as const
  const { record } = sealRecord({ head: { envelope, codec: 'json' }, data: '{}' })
  const first = { position: 7, slot: 0, atMs: 1, record }
  const row: DeadLetterRow = {
    id: 'dead_1',
    stage: 'handler',
    state: 'open',
    consumer: 'one',
    owner: 'shop',
    messageId: envelope.id,
    position: first.position,
    channel: Placed.channel,
    slot: 0,
    key: 'a',
    type: Placed.name,
    contractVersion: 1,
    correlationId: envelope.correlationid,
    attempts: 1,
    crashes: 0,
    cause: 'cause_1',
    causeTitle: 'Error: no',
    errorName: 'Error',
    errorMessage: 'no',
    errorStack: '',
    receivedAtMs: 1,
    firstFailedAtMs: 1,
    lastFailedAtMs: 1,
    diedAtMs: 1,
    modelHash: '',
    parked: false,
  }
  await store.commit([{ rows: [{ collection: 'deadLetters', key: row.id, row }] }])

  expect(await openLetterOf(store, 'one', first)).toEqual(row)
  expect(await openLetterOf(store, 'one', { ...first, position: 8 })).toBeUndefined()
})
