import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { body } from '../contract/index.ts'
import { createContractBook } from '../inbox/index.ts'
import type { ReceivedMessage } from '../transport/index.ts'
import { type MessageReading, readMessage } from './read-message.ts'
import { shelveMessage, unshelve } from './topic-shelf.ts'
import { BROKER_URL, PaymentCaptured, paymentsSource } from './topic-world.fixture.ts'

const DATA = '{"paymentId":"a","n":1}'
const TIMES = ['9999-12-31T23:59:59-23:59', '0000-01-01T00:00:00Z', '2026-01-01T23:59:60Z'] as const

const odd = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('__proto__', 'constructor', '\r\nx: y', '\ud800', '\0', '%0d%0a', ...TIMES),
  fc.constantFrom('1.0', 'payments.captured.v2', 'application/cloudevents+json', DATA),
)
const name = fc.oneof(
  fc.constantFrom('id', 'source', 'type', 'specversion', 'datacontenttype', 'traceparent'),
  fc.constantFrom('contractversion', 'correlationid', 'partitionkey', 'amqp:message-id'),
  odd,
)
const event = fc.record(
  {
    specversion: fc.constant('1.0'),
    id: odd,
    source: fc.constantFrom('/shop', 'a b', '%'),
    type: fc.constant(PaymentCaptured.name),
    time: fc.constantFrom(...TIMES),
  },
  { requiredKeys: ['specversion', 'id', 'source', 'type'] },
)
const received: fc.Arbitrary<ReceivedMessage> = fc.record({
  partition: fc.nat(5),
  offset: fc.oneof(fc.constant(''), fc.bigInt({ min: 0n, max: 2n ** 63n }).map(String)),
  key: odd,
  attributes: fc.oneof(fc.dictionary(name, odd, { maxKeys: 8 }), event),
  headers: fc.dictionary(name, odd, { maxKeys: 8 }),
  data: fc.oneof(odd, fc.constant(DATA), fc.json()).map((text) => Buffer.from(text)),
})

const queue = { rabbitmq: BROKER_URL, queue: 'payments' }

test.each([
  ['a CloudEvent', paymentsSource(queue)],
  ['JSON', paymentsSource(queue, { format: { json: PaymentCaptured } })],
  [
    'JSON with an id',
    paymentsSource(queue, { format: { json: PaymentCaptured, id: body('paymentId') } }),
  ],
])(
  'F54: whatever is written as %s is a message or is kept whole, and stops nothing',
  (_, source) => {
    const reading: MessageReading = {
      source,
      book: createContractBook([PaymentCaptured]),
      nowMs: 1_000,
      era: 0,
      newId: () => 'msg_1',
    }
    fc.assert(
      fc.property(received, (message) => {
        const verdict = readMessage(message, reading)
        if (verdict.kind === 'append') {
          expect(verdict.append.record?.head.envelope.time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/)
          return
        }
        const kept = unshelve(shelveMessage(message, verdict, reading))
        expect(Buffer.from(kept?.message.data ?? [])).toEqual(message.data)
        expect(readMessage(message, reading)).toEqual(verdict)
      }),
      { numRuns: 500 },
    )
  },
)
