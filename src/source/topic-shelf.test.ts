import { describe, expect, test } from 'vitest'
import { createContractBook } from '../inbox/index.ts'
import type { ReceivedMessage } from '../transport/index.ts'
import { type MessageReading, readMessage } from './read-message.ts'
import { shelveMessage } from './topic-shelf.ts'
import { BROKER_URL, PaymentCaptured, paymentsSource } from './topic-world.fixture.ts'

const source = paymentsSource({ rabbitmq: BROKER_URL, queue: 'payments' })
let made = 0
const reading: MessageReading = {
  source,
  book: createContractBook([PaymentCaptured]),
  nowMs: 1_000,
  era: 0,
  newId: () => `msg_${(made += 1)}`,
}

const eventOf = (attributes: Readonly<Record<string, string>>, data = '{}'): ReceivedMessage => ({
  partition: 0,
  offset: '',
  key: '',
  attributes: { specversion: '1.0', source: '/shop', type: 'refunds.made', ...attributes },
  headers: {},
  data: Buffer.from(data),
})

const rowIdOf = (message: ReceivedMessage): string => {
  const verdict = readMessage(message, reading)
  if (verdict.kind !== 'invalid') throw new Error('it is valid')
  return shelveMessage(message, verdict, reading).id
}

describe('invalid messages of a queue, which have no place', () => {
  test('are told apart by what their events say, however alike their data are', () => {
    const ids = [{ id: '1' }, { id: '2' }, { id: '1', source: '/other' }].map((attributes) =>
      rowIdOf(eventOf(attributes)),
    )
    expect(new Set(ids).size).toBe(3)
  })

  test('are kept once when the queue brings one again', () => {
    expect(rowIdOf(eventOf({ id: '1' }))).toBe(rowIdOf(eventOf({ id: '1' })))
  })

  test('are each kept where none says an id', () => {
    expect(rowIdOf(eventOf({}))).not.toBe(rowIdOf(eventOf({})))
  })
})
