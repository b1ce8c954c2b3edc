import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  cloudEventKey,
  contractOfEvent,
  eventVersion,
  readCloudEvent,
  readStructuredEvent,
} from './cloud-event.ts'

const GOOD = { specversion: '1.0', id: '1', source: '/shop', type: 'orders.placed' }

/** The examples of the JSON event format, section 3.2, and of the specification, "Example". */
const EXAMPLE = {
  specversion: '1.0',
  type: 'com.example.someevent',
  source: '/mycontext',
  subject: null,
  id: 'C234-1234-1234',
  time: '2018-04-05T17:31:00Z',
  comexampleextension1: 'value',
  comexampleothervalue: 5,
  unsetextension: null,
}
const EXAMPLE_ATTRIBUTES = {
  specversion: '1.0',
  type: 'com.example.someevent',
  source: '/mycontext',
  id: 'C234-1234-1234',
  time: '2018-04-05T17:31:00Z',
  comexampleextension1: 'value',
  comexampleothervalue: '5',
}

describe('the attributes of a CloudEvent', () => {
  test('F54: are taken with every extension, and none is needed beyond the required four', () => {
    expect(readCloudEvent(GOOD)).toMatchObject({ ok: true, event: { id: '1', source: '/shop' } })
    const extended = { ...GOOD, partitionkey: 'ö 1', constructor: 'x' }
    expect(readCloudEvent(extended)).toMatchObject({ ok: true, event: { attributes: extended } })
  })

  test.each(['specversion', 'id', 'source', 'type'])('F54: %s is required', (name) => {
    const { [name]: _, ...rest } = { ...GOOD } as Record<string, string>
    expect(readCloudEvent(rest)).toEqual({
      ok: false,
      problem: expect.stringContaining(`attribute ${name} is missing`),
    })
    expect(readCloudEvent({ ...rest, [name]: '' }).ok).toBe(false)
  })

  test.each([
    { specversion: '0.3' },
    { specversion: '1.0.2' },
    { source: 'with space' },
    { source: '/żółw' },
    { source: '/%zz' },
    { time: 'yesterday' },
    { time: '2018-02-30T00:00:00Z' },
    { time: '2018-04-05 17:31:00' },
    { time: '2018-04-05T24:00:00Z' },
    { datacontenttype: 'json' },
    { dataschema: '/relative' },
    { subject: '' },
    { 'bad-name': 'x' },
    { BAD: 'x' },
    { ['']: 'x' },
    { ['n'.repeat(65)]: 'x' },
    { text: 'a\nb' },
    { text: '\u0085' },
    { text: '\ud800' },
    { text: '\uffff' },
    { text: 'x'.repeat(20_000) },
    Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`a${index}`, 'x'])),
  ])('F54: refuses %j', (wrong) => {
    expect(readCloudEvent({ ...GOOD, ...wrong }).ok).toBe(false)
  })

  test.each([
    '2018-04-05T17:31:00Z',
    '2016-12-31t23:59:60.123456789z',
    '2020-02-29T17:31:00.5+05:30',
  ])('takes the time %s', (time) => {
    expect(readCloudEvent({ ...GOOD, time }).ok).toBe(true)
  })

  test.each([
    'https://github.com/cloudevents',
    'mailto:cncf-wg-serverless@lists.cncf.io',
    'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66',
    '/cloudevents/spec/pull/123',
    '1-555-123-4567',
  ])('takes the source %s of the specification', (source) => {
    expect(readCloudEvent({ ...GOOD, source }).ok).toBe(true)
  })

  test('a problem repeats no value, which may be personal', () => {
    const reading = readCloudEvent({ ...GOOD, time: 'ada@example.com' })
    expect(JSON.stringify(reading)).not.toContain('ada')
  })

  test('two pairs of source and id never make one key', () => {
    const source = fc.string({ unit: fc.constantFrom('/', 'a') })
    const id = fc.string({ unit: fc.constantFrom('/', 'a', ' ') })
    fc.assert(
      fc.property(source, source, id, id, (a, b, left, right) => {
        const isOne = a === b && left === right
        const keys = [
          cloudEventKey({ source: a, id: left }),
          cloudEventKey({ source: b, id: right }),
        ]
        expect(keys[0] === keys[1]).toBe(isOne)
      }),
    )
  })
})

describe('a CloudEvent as JSON', () => {
  test.each([
    [
      'an object',
      { ...EXAMPLE, datacontenttype: 'application/json', data: { appinfoA: 'abc' } },
      { datacontenttype: 'application/json' },
      { kind: 'json', value: { appinfoA: 'abc' } },
    ],
    [
      'a number',
      { ...EXAMPLE, datacontenttype: 'application/json', data: 1.5 },
      { datacontenttype: 'application/json' },
      { kind: 'json', value: 1.5 },
    ],
    [
      'a string without a media type, which is JSON then',
      { ...EXAMPLE, data: "I'm just a string" },
      { datacontenttype: 'application/json' },
      { kind: 'json', value: "I'm just a string" },
    ],
    [
      'null, which is not the same as none',
      { ...EXAMPLE, data: null },
      { datacontenttype: 'application/json' },
      { kind: 'json', value: null },
    ],
    [
      'text of another media type',
      { ...EXAMPLE, datacontenttype: 'application/xml', data: '<much wow="xml"/>' },
      { datacontenttype: 'application/xml' },
      { kind: 'bytes', bytes: Buffer.from('<much wow="xml"/>') },
    ],
    [
      'bytes without a media type, of which none is inferred',
      { ...EXAMPLE, data_base64: 'eyAieHl6IjogMTIzIH0=' },
      {},
      { kind: 'bytes', bytes: Buffer.from('{ "xyz": 123 }') },
    ],
    ['no data', EXAMPLE, {}, { kind: 'none' }],
  ])('F54: example of the JSON format: %s', (_, document, more, data) => {
    expect(readStructuredEvent(document)).toEqual({
      ok: true,
      event: expect.objectContaining({ attributes: { ...EXAMPLE_ATTRIBUTES, ...more } }),
      data,
    })
  })

  test.each([
    [[]],
    [null],
    ['text'],
    [{ ...EXAMPLE, data: 1, data_base64: 'AA==' }],
    [{ ...EXAMPLE, data_base64: 'not base64' }],
    [{ ...EXAMPLE, data_base64: 5 }],
    [{ ...EXAMPLE, datacontenttype: 'text/plain', data: { no: 'text' } }],
    [{ ...EXAMPLE, id: {} }],
    [{ ...EXAMPLE, id: 1 }],
    [{ ...EXAMPLE, type: true }],
    [{ ...EXAMPLE, extension: 1.5 }],
    [{ ...EXAMPLE, extension: 2_147_483_648 }],
    [{ ...EXAMPLE, extension: ['list'] }],
    [JSON.parse('{"__proto__": {"id": "1"}, "specversion": "1.0"}')],
  ])('F54: refuses %j', (document) => {
    expect(readStructuredEvent(document).ok).toBe(false)
  })

  test('F54: whatever JSON comes, it is read or refused, never thrown', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.dictionary(fc.string(), fc.jsonValue()), (value, members) => {
        expect(typeof readStructuredEvent(value).ok).toBe('boolean')
        expect(typeof readStructuredEvent({ ...EXAMPLE, ...members }).ok).toBe('boolean')
      }),
    )
  })
})

describe('the contract of an event', () => {
  const one = { name: 'orders.placed', versions: new Map([[3, {}]]) }
  const two = { name: 'orders.placed', versions: new Map([1, 2].map((each) => [each, {}])) }

  test('is found by its type, with or without the version', () => {
    const contracts = new Map([['orders.placed', two]])
    expect(contractOfEvent('orders.placed', contracts)).toBe(two)
    expect(contractOfEvent('orders.placed.v2', contracts)).toBe(two)
    expect(contractOfEvent('orders.placed.x2', contracts)).toBeUndefined()
  })

  test.each([
    [{}, undefined],
    [{ contractversion: '2' }, 2],
    [{ contractversion: '02' }, undefined],
    [{ dataschema: 'https://schemas.example.com/orders.placed/2' }, 2],
    [{ dataschema: 'https://schemas.example.com/orders.placed#v1' }, 1],
    [{ dataschema: 'urn:example:orders.placed:2' }, 2],
    [{ dataschema: 'https://registry.example.com/ids/7' }, undefined],
    [{ dataschema: 'https://example.com/reorders.placed/2' }, undefined],
    [{ type: 'orders.placed.v1' }, 1],
    [{ type: 'orders.placed.v1', contractversion: '1' }, 1],
    [{ type: 'orders.placed.v1', contractversion: '2' }, undefined],
    [{ contractversion: '9' }, 9],
  ])('its version is what the attributes %j say', (attributes, version) => {
    expect(eventVersion(attributes, two)).toBe(version)
  })

  test('its only version needs no saying', () => {
    expect(eventVersion({}, one)).toBe(3)
    expect(eventVersion({ dataschema: 'https://registry.example.com/ids/7' }, one)).toBe(3)
    expect(eventVersion({ contractversion: 'x' }, one)).toBeUndefined()
  })
})
