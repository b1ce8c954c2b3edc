import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readTopicEvent } from './cloud-event.ts'

const ATTRIBUTES = {
  specversion: '1.0',
  id: 'evt-1',
  source: '/shop',
  type: 'payments.captured',
} as const

const binary = (over: Readonly<Record<string, string>> = {}, data = '{}') =>
  readTopicEvent({ attributes: { ...ATTRIBUTES, ...over }, data: Buffer.from(data) })

const structured = (value: unknown, contentType = 'application/cloudevents+json') =>
  readTopicEvent({
    attributes: { datacontenttype: contentType },
    data: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
  })

type Reading = ReturnType<typeof readTopicEvent>

const textOf = (read: Reading): string =>
  read.kind === 'event' ? Buffer.from(read.data).toString('utf8') : 'it is no event'

const faultOf = (read: Reading): string =>
  read.kind === 'invalid' ? (read.fault.errors[0]?.message ?? '') : 'it is an event'

describe('binary mode', () => {
  test('takes the attributes from the headers and the data as they are', () => {
    const read = binary({ time: '2026-01-02T03:04:05.678+01:00', partitionkey: 'k' }, '{"n": 1}')

    expect(read).toMatchObject({ event: { id: 'evt-1', attributes: ATTRIBUTES }, dataAt: '' })
    expect(textOf(read)).toBe('{"n": 1}')
  })

  test.each(['id', 'source', 'type', 'specversion'])('without %s it is none', (name) => {
    expect(faultOf(binary({ [name]: '' }))).toContain(`attribute ${name} is missing`)
  })

  test.each(['application/json', 'Application/JSON; charset=utf-8', 'application/vnd.pay+json'])(
    'data of %s are JSON',
    (datacontenttype) => {
      expect(binary({ datacontenttype }).kind).toBe('event')
    },
  )

  test.each(['application/avro', 'text/plain', 'application/jsonx'])(
    'data of %s are not taken',
    (datacontenttype) => {
      expect(faultOf(binary({ datacontenttype }))).toContain('not JSON')
    },
  )
})

describe('structured mode', () => {
  test('keeps the data as they were written, with every digit (F49)', () => {
    const data = '{ "id": 9007199254740993, "text": "a\\u0062" }'
    const read = structured(
      `{"specversion":"1.0","id":"e","source":"/s","type":"t","data": ${data} , "n": 3}`,
      'application/cloudevents+json; charset=UTF-8',
    )

    expect(read).toMatchObject({ dataAt: '/data', event: { attributes: { n: '3' } } })
    expect(textOf(read)).toBe(data)
  })

  test('reads data in base64', () => {
    const base64 = Buffer.from('{"n":1}').toString('base64')
    const datacontenttype = 'application/json'
    const read = structured({ ...ATTRIBUTES, datacontenttype, data_base64: base64 })

    expect(textOf(read)).toBe('{"n":1}')
  })

  test.each([
    ['no JSON', 'hello'],
    ['an array', []],
    ['null', null],
  ])('%s is no event', (_, value) => {
    expect(structured(value).kind).toBe('invalid')
  })

  test('a batch, and another format, are none', () => {
    expect(structured([], 'application/cloudevents-batch+json').kind).toBe('invalid')
    expect(structured('', 'application/cloudevents+avro').kind).toBe('invalid')
  })
})

describe('whatever comes', () => {
  const name = fc.constantFrom(
    'id',
    'source',
    'type',
    'specversion',
    'time',
    'datacontenttype',
    'x',
  )
  const value = fc.oneof(
    fc.string(),
    fc.constantFrom('1.0', 'application/json', 'application/cloudevents+json', ''),
  )

  test('is an event that has what is required, or says what is wrong, and never throws', () => {
    fc.assert(
      fc.property(fc.dictionary(name, value), fc.uint8Array(), (attributes, data) => {
        const read = readTopicEvent({ attributes, data })
        if (read.kind === 'invalid') expect(read.fault.errors).toHaveLength(1)
        else expect([read.event.id, read.event.source, read.event.type]).not.toContain('')
      }),
    )
  })

  test('says the same in both modes', () => {
    const word = fc.stringMatching(/^[a-z/.-]{1,20}$/)
    fc.assert(
      fc.property(word, word, word, fc.jsonValue(), (id, source, type, json) => {
        const datacontenttype = 'application/json'
        // What parseJson refuses by itself is of another test.
        const data = JSON.stringify({ json }).replaceAll('__proto__', 'proto')
        const attributes = { specversion: '1.0', id, source, type, datacontenttype }
        const one = binary(attributes, data)
        const other = structured(`${JSON.stringify(attributes).slice(0, -1)},"data":${data}}`)
        // Only one of them reads the data.
        if (other.kind === 'invalid') return expect(one.kind).toBe('event')
        expect(other).toMatchObject({ event: one.kind === 'event' && one.event })
        expect(textOf(other)).toBe(textOf(one))
      }),
    )
  })
})
