import { describe, expect, it } from 'vitest'
import { JuncturaError } from '../../kernel/index.ts'
import type { BrokerMessage } from '../broker.ts'
import { loadAmqp, type AmqpMessage } from './amqp-client.ts'
import { asText, checkSize, fromWireMessage, toWireMessage } from './amqp-message.ts'
import { readTarget } from './connect-target.ts'

const messageOf = (over: Partial<BrokerMessage> = {}): BrokerMessage => ({
  partition: 0,
  key: 'k1',
  id: 'msg_1',
  attributes: {
    specversion: '1.0',
    id: 'msg_1',
    type: 'orders.changed',
    source: '/publish',
    datacontenttype: 'application/json',
    partitionkey: 'k1',
  },
  data: Buffer.from('{}'),
  ...over,
})

const NO_PROPERTIES: AmqpMessage['properties'] = {
  contentType: undefined,
  contentEncoding: undefined,
  headers: undefined,
  deliveryMode: undefined,
  priority: undefined,
  correlationId: undefined,
  replyTo: undefined,
  expiration: undefined,
  messageId: undefined,
  timestamp: undefined,
  type: undefined,
  userId: undefined,
  appId: undefined,
  clusterId: undefined,
}

const deliveryOf = (properties: Partial<AmqpMessage['properties']>): AmqpMessage => ({
  content: Buffer.from('data'),
  fields: {
    consumerTag: 'c',
    deliveryTag: 1,
    redelivered: false,
    exchange: 'shop',
    routingKey: 'orders.changed',
  },
  properties: { ...NO_PROPERTIES, ...properties },
})

/** As it comes back from the broker. */
const roundTrip = (message: BrokerMessage) => {
  const { options, content } = toWireMessage(message)
  return fromWireMessage({ ...deliveryOf({ ...options }), content })
}

describe('a message as AMQP carries it', () => {
  it('has the names of the CloudEvents binding, its id and type where AMQP looks for them', () => {
    const { routingKey, options } = toWireMessage(messageOf())

    expect(routingKey).toBe('orders.changed')
    expect(options).toEqual({
      persistent: true,
      messageId: 'msg_1',
      contentType: 'application/json',
      headers: {
        'cloudEvents:specversion': '1.0',
        'cloudEvents:id': 'msg_1',
        'cloudEvents:type': 'orders.changed',
        'cloudEvents:source': '/publish',
        'cloudEvents:partitionkey': 'k1',
      },
    })
  })

  it('comes back as it was, also with texts that are too long for the fields of AMQP', () => {
    const long = 'ä'.repeat(200)
    const attributes = { ...messageOf().attributes, type: long, datacontenttype: long }
    const message = messageOf({ id: long, key: 'another', attributes })
    const { options, routingKey } = toWireMessage(message)

    expect(options.messageId).toBeUndefined()
    expect(Buffer.byteLength(routingKey)).toBeLessThanOrEqual(255)
    expect(roundTrip(message)).toMatchObject({ attributes, key: 'another', headers: {} })
  })

  it('is refused when its attributes do not fit into one frame', () => {
    const attributes = { ...messageOf().attributes, tracestate: 'x'.repeat(70_000) }

    expect(() => checkSize(messageOf({ attributes }), 4_000_000)).toThrow(/attributes take/)
    expect(() => checkSize(messageOf(), 4_000_000)).not.toThrow()
    expect(() => checkSize(messageOf({ data: Buffer.alloc(1_001) }), 1_000)).toThrow(/bytes of/)
  })
})

describe('what other writers send', () => {
  it('is read with both spellings of the prefix, and with native types', () => {
    const { attributes, headers } = fromWireMessage(
      deliveryOf({
        contentType: 'text/plain',
        headers: {
          cloudEvents_specversion: '1.0',
          'cloudEvents:sequence': 42,
          cloudEvents_time: { '!': 'timestamp', value: 1_700_000_000 },
          other: true,
        },
      }),
    )

    expect(attributes).toEqual({
      specversion: '1.0',
      sequence: '42',
      time: '2023-11-14T22:13:20.000Z',
      datacontenttype: 'text/plain',
    })
    expect(headers).toEqual({ other: 'true' })
  })

  it('is given without CloudEvents as well, with its properties and headers as text', () => {
    const received = fromWireMessage(
      deliveryOf({ headers: { trace: Buffer.from('ab') }, correlationId: 'c1', appId: 'till' }),
    )

    expect(received.attributes).toEqual({})
    expect(received.headers).toEqual({
      trace: 'YWI=',
      'amqp:exchange': 'shop',
      'amqp:routing-key': 'orders.changed',
      'amqp:correlation-id': 'c1',
      'amqp:app-id': 'till',
    })
  })

  it('is text whatever the type of a field', () => {
    expect(asText(null)).toBe('')
    expect(asText({ '!': 'decimal', value: { places: 2, digits: 1234 } })).toBe('12.34')
    expect(asText({ '!': 'timestamp', value: 1e18 })).toBe('1000000000000000000')
    expect(asText([{ count: 1 }])).toBe('[{"count":1}]')
  })
})

describe('where to connect', () => {
  it('is said in a URL of AMQP, and its password is taken out of every text', () => {
    const { mask } = readTarget('amqp://shop:se%3Acret@host/vhost')

    expect(mask('login of shop with se:cret, se%3Acret')).toBe('login of shop with ***, ***')
    expect(() => readTarget('http://shop:secret@host')).toThrow(JuncturaError)
    expect(() => readTarget('http://shop:secret@host')).not.toThrow(/secret/)
  })

  it('names the package that is missing', async () => {
    const missing = Object.assign(new TypeError('no'), { code: 'ERR_MODULE_NOT_FOUND' })

    await expect(loadAmqp(() => Promise.reject(missing))).rejects.toMatchObject({
      code: 'JUNCTURA_PEER_MISSING',
      details: { package: 'amqplib' },
    })
  })
})
