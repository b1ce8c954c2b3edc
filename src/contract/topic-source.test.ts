import { describe, expect, test } from 'vitest'
import { event } from './contract.ts'
import { integration } from './integration.ts'
import { header } from './key-source.ts'
import { secret } from './secret.ts'
import { team } from './system.ts'
import { topicSource } from './topic-source.ts'

const owner = team('payments')
const Captured = event('payments.captured', {
  owner,
  versions: { 1: { type: 'object' }, 2: { type: 'object' } },
  upcast: { 1: (data: unknown) => data },
})
const url = secret.env('PAYMENTS_KAFKA_URL')
const topic = { kafka: url, topic: 'payments.events' } as const
const declare = (over: object) =>
  topicSource('payments', { owner, topic, accepts: [Captured], ...over })

describe('a topic of others', () => {
  test('is in the Model with its place and types, and without its URL', () => {
    const source = declare({ accepts: { 'com.acme.captured': Captured.version(1) } })

    const { model } = integration('demo', { parts: [source] })

    expect(model.topics).toEqual([
      {
        name: 'payments',
        owner: 'payments',
        broker: {
          kind: 'kafka',
          url: { kind: 'env', source: 'PAYMENTS_KAFKA_URL', hasDevelopmentValue: false },
        },
        resource: 'payments.events',
        format: 'cloudevents',
        accepts: [{ type: 'com.acme.captured', contract: 'payments.captured', version: 1 }],
        startAt: 'earliest',
      },
    ])
    expect(model.contracts).toHaveLength(1)
    expect(model.edges).toMatchObject([{ kind: 'topic', from: 'topic/payments' }])
  })

  test.each<readonly [string, object, RegExp]>([
    [
      'a URL in the source',
      { topic: { kafka: 'kafka://u:p@h', topic: 't' } },
      /reference to a secret/,
    ],
    ['no broker', { topic: { topic: 't' } }, /does not name one broker/],
    ['two brokers', { topic: { kafka: url, nats: url, topic: 't' } }, /does not name one broker/],
    ['no name of the stream', { topic: { nats: url } }, /name of the stream is missing/],
    ['subjects that are none', { topic: { nats: url, stream: 'S', subjects: [] } }, /subjects/],
    ['no contract', { accepts: [] }, /list of contracts/],
    ['contracts beside a format', { format: { json: Captured } }, /leave accepts out/],
    ['a format that is none', { format: 'avro' }, /no known format/],
    ['an id that is none', { format: { json: Captured, id: 'x' }, accepts: undefined }, /header/],
    ['a start that is none', { startAt: 'latest' }, /no start/],
    ['the end of a queue', { topic: { rabbitmq: url, queue: 'q' }, startAt: 'now' }, /its front/],
  ])('with %s is refused, and no secret is repeated', (_, over, problem) => {
    expect(() => declare(over)).toThrow(problem)
    expect(() => declare(over)).not.toThrow(/u:p@h/)
  })

  test('takes plain JSON with the id from a header', () => {
    const id = header('Message-Id')
    const source = declare({ format: { json: Captured.version(1), id }, accepts: undefined })

    expect([...source.types.keys()]).toEqual(['payments.captured'])
    expect(integration('demo', { parts: [source] }).model.topics).toMatchObject([
      { format: 'json', id: { from: 'header', name: 'message-id' } },
    ])
  })

  test('of a contract that is in no log is refused', () => {
    const accepts = [
      event('payments.ticked', {
        owner,
        guarantee: 'at-most-once',
        versions: { 1: { type: 'object' } },
      }),
    ]

    expect(() => declare({ accepts })).toThrow(/at-most-once/)
  })
})
