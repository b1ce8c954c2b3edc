import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CloudEvent, readCloudEvent } from './cloud-event.ts'

const ATTRIBUTES = {
  specversion: '1.0',
  id: 'evt-1',
  source: '/shop',
  type: 'payments.captured',
} as const

const text = (event: CloudEvent): string => Buffer.from(event.data).toString('utf8')

const eventOf = (attributes: Readonly<Record<string, string>>, data = '{}'): CloudEvent => {
  const read = readCloudEvent({ attributes, data: Buffer.from(data) })
  if (read.kind === 'event') return read.event
  throw new TypeError(read.fault.errors[0]?.message)
}

const structured = (value: unknown, contentType = 'application/cloudevents+json') =>
  readCloudEvent({
    attributes: { datacontenttype: contentType },
    data: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
  })

const faultOf = (read: ReturnType<typeof readCloudEvent>): string =>
  read.kind === 'invalid' ? (read.fault.errors[0]?.pointer ?? '') : 'it is an event'

describe('binary mode', () => {
  test('takes the attributes from the headers and the data as they are', () => {
    const event = eventOf({ ...ATTRIBUTES, time: '2026-01-02T03:04:05.678+01:00' }, '{"n": 1}')

    expect(event).toMatchObject({ id: 'evt-1', source: '/shop', type: 'payments.captured' })
    expect(event.timeMs).toBe(Date.parse('2026-01-02T02:04:05.678Z'))
    expect(text(event)).toBe('{"n": 1}')
  })

  test.each(['id', 'source', 'type'])('without %s it is none', (name) => {
    const read = readCloudEvent({ attributes: { ...ATTRIBUTES, [name]: '' }, data: Buffer.of() })

    expect(faultOf(read)).toBe(`/${name}`)
  })

  test.each([undefined, '0.3', '1.1'])('of specversion %s it is none', (specversion) => {
    const { id, source, type } = ATTRIBUTES
    const attributes = { id, source, type, ...(specversion !== undefined && { specversion }) }

    expect(faultOf(readCloudEvent({ attributes, data: Buffer.of() }))).toBe('/specversion')
  })

  test.each(['application/json', 'Application/JSON; charset=utf-8', 'application/vnd.pay+json'])(
    'data of %s are JSON',
    (datacontenttype) => {
      expect(eventOf({ ...ATTRIBUTES, datacontenttype }).type).toBe('payments.captured')
    },
  )

  test.each(['application/avro', 'text/plain', 'application/jsonx'])(
    'data of %s are not taken',
    (datacontenttype) => {
      const attributes = { ...ATTRIBUTES, datacontenttype }
      const read = readCloudEvent({ attributes, data: Buffer.from('{}') })

      expect(faultOf(read)).toBe('/datacontenttype')
    },
  )

  test.each(['yesterday', '2026-01-02', '2026-13-02T03:04:05Z', '1969-01-01T00:00:00Z'])(
    'a time of %s is left out, and the event is taken',
    (time) => {
      expect(eventOf({ ...ATTRIBUTES, time }).timeMs).toBeUndefined()
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

    expect(read).toMatchObject({
      kind: 'event',
      event: { dataAt: '/data', attributes: { n: '3' } },
    })
    expect(read.kind === 'event' && text(read.event)).toBe(data)
  })

  test('reads data in base64', () => {
    const base64 = Buffer.from('{"n":1}').toString('base64')
    const read = structured({ ...ATTRIBUTES, data_base64: base64 })

    expect(read.kind === 'event' && text(read.event)).toBe('{"n":1}')
  })

  test.each([
    ['no JSON', 'hello'],
    ['an array', []],
    ['null', null],
  ])('%s is no event', (_, value) => {
    expect(structured(value).kind).toBe('invalid')
  })

  test('a batch, and another format, are none', () => {
    expect(faultOf(structured([], 'application/cloudevents-batch+json'))).toBe('/datacontenttype')
    expect(faultOf(structured('', 'application/cloudevents+avro'))).toBe('/datacontenttype')
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
        const read = readCloudEvent({ attributes, data })
        if (read.kind === 'invalid') expect(read.fault.errors).toHaveLength(1)
        else expect([read.event.id, read.event.source, read.event.type]).not.toContain('')
      }),
    )
  })

  test('says the same in both modes', () => {
    const word = fc.string({ minLength: 1 }).filter((one) => one.isWellFormed())
    fc.assert(
      fc.property(word, word, word, fc.jsonValue(), (id, source, type, json) => {
        // What parseJson refuses by itself is of another test.
        const data = JSON.stringify({ json }).replaceAll('__proto__', 'proto')
        const attributes = { specversion: '1.0', id, source, type }
        const binary = readCloudEvent({ attributes, data: Buffer.from(data) })
        const head = JSON.stringify(attributes).slice(0, -1)
        const whole = structured(`${head},"data":${data}}`)
        if (binary.kind === 'invalid' || whole.kind === 'invalid') return binary.kind === whole.kind
        const { event } = whole
        expect({ ...event, dataAt: '', data: text(event) }).toEqual({
          ...binary.event,
          data: text(binary.event),
        })
        return true
      }),
    )
  })
})
