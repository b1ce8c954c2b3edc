import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JuncturaError, LIMITS, type LogFields, type Logger } from '../kernel/index.ts'
import {
  createJsonLogger,
  createPrettyLogger,
  type LogLevel,
  withLogFields,
} from './json-logger.ts'

const clock = { now: () => 1_700_000_000_000 }

interface Captured {
  readonly log: Logger
  readonly lines: string[]
}

const capture = (level?: LogLevel): Captured => {
  const lines: string[] = []
  const write = (line: string): void => void lines.push(line)
  const log = createJsonLogger({ write, clock, ...(level === undefined ? {} : { level }) })
  return { log, lines }
}

const logged = (fields: LogFields, message = 'hello'): Record<string, unknown> => {
  const { log, lines } = capture()
  log.info(fields, message)
  expect(lines).toHaveLength(1)
  const entry: unknown = JSON.parse(lines[0] ?? '')
  if (typeof entry !== 'object' || entry === null) throw new Error('is not an object')
  return { ...entry }
}

describe('createJsonLogger', () => {
  it('writes nothing below its level', () => {
    const { log, lines } = capture('warn')

    log.debug({}, 'a')
    log.info({}, 'b')
    log.warn({}, 'c')
    log.error({}, 'd')

    expect(lines.map((line) => /"level":"(\w+)"/.exec(line)?.[1])).toEqual(['warn', 'error'])
  })

  it('writes from info on when nobody says otherwise', () => {
    const { log, lines } = capture()

    log.debug({}, 'a')
    log.info({ port: 7070 }, 'listening')

    expect(lines).toEqual([
      '{"at":"2023-11-14T22:13:20.000Z","level":"info","message":"listening","port":7070}',
    ])
  })

  it('lets nothing in a message or a field start a new line or turn text around', () => {
    const evil = 'a\nb\r\u001b[31mc\u007f\u0085\u2028\u202e\u2066d'
    const { log, lines } = capture()

    log.info({ [evil]: evil }, evil)

    expect(lines[0]).not.toMatch(/[\p{Cc}\u2028\u202e\u2066]/u)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ message: evil, [evil]: evil })
  })

  it('does not let a field replace the time, the level or the message', () => {
    expect(logged({ at: 1, level: 'none', message: 'x' })).toEqual({
      at: '2023-11-14T22:13:20.000Z',
      level: 'info',
      message: 'hello',
      'field.at': 1,
      'field.level': 'none',
      'field.message': 'x',
    })
  })

  it('abridges what is deep, wide, circular or not data', () => {
    const circle: Record<string, unknown> = { name: 'loop' }
    circle['self'] = circle
    const broken = {
      get secret(): never {
        throw new Error('no')
      },
    }

    const entry = logged({
      circle,
      broken,
      wide: Array.from({ length: 100 }, (_, index) => index),
      run: () => 1,
      sign: Symbol('x'),
      nothing: null,
      missing: undefined,
      big: 10n ** 30n,
      odd: Number.NaN,
      when: new Date(0),
      never: new Date(Number.NaN),
      bytes: new Uint8Array(1_000),
    })

    expect(entry).toMatchObject({
      circle: { name: 'loop', self: { name: 'loop', self: { name: 'loop', self: '<object>' } } },
      broken: { secret: '<unreadable>' },
      nothing: null,
      big: '1000000000000000000000000000000',
      odd: 'NaN',
      when: '1970-01-01T00:00:00.000Z',
      never: null,
      bytes: '<1000 bytes>',
    })
    expect(entry['wide']).toHaveLength(LIMITS.logItemsMax + 1)
    expect(entry['wide']).toContain('<80 more>')
    expect(Object.keys(entry)).not.toContain('run')
    expect(Object.keys(entry)).not.toContain('sign')
    expect(Object.keys(entry)).not.toContain('missing')
  })

  it('writes errors with code and cause', () => {
    const cause = new RangeError('deep')
    const error = new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The store' }, cause })

    expect(logged({ error })).toMatchObject({
      error: {
        name: 'JuncturaError',
        code: 'JUNCTURA_CLOSED',
        message: 'The store is closed.',
        stack: expect.stringContaining('json-logger.test.ts') as unknown,
        cause: { name: 'RangeError', message: 'deep' },
      },
    })
  })

  it('cuts a long value', () => {
    const entry = logged({ text: 'y'.repeat(100_000) }, 'z'.repeat(100_000))

    expect(entry['text']).toHaveLength(LIMITS.logValueCharsMax)
    expect(entry['message']).toHaveLength(LIMITS.logValueCharsMax)
  })

  it('says what it left out when a line would be too long', () => {
    const fields = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => [`f${index}`, 'y'.repeat(1_000)]),
    )

    const entry = logged(fields)

    expect(Object.keys(entry)).toEqual(['at', 'level', 'message', 'leftOut'])
    expect(entry['leftOut']).toContain('f0, f1, f2')
  })

  it('writes one line of bounded length and valid JSON, whatever it is given', () => {
    const names = fc.string({ unit: 'binary', maxLength: 40 })
    const values = fc.anything({ withBigInt: true, withDate: true, withTypedArray: true })
    fc.assert(
      fc.property(fc.dictionary(names, values), fc.string({ unit: 'binary' }), (fields, text) => {
        const { log, lines } = capture()

        log.error(fields, text)

        expect(lines).toHaveLength(1)
        expect(lines[0]?.length).toBeLessThanOrEqual(LIMITS.logLineCharsMax)
        expect(lines[0]).not.toMatch(/\p{Cc}/u)
        expect(() => JSON.parse(lines[0] ?? '') as unknown).not.toThrow()
      }),
      { numRuns: 25 },
    )
  })
})

describe('createPrettyLogger', () => {
  const line = (color: boolean, fields: LogFields, message: string): string => {
    const lines: string[] = []
    createPrettyLogger({ write: (text) => void lines.push(text), clock, color }).warn(
      fields,
      message,
    )
    return lines[0] ?? ''
  }

  it('is one line for people, quoted where it must be', () => {
    expect(line(false, { key: 'A-17', note: 'two words', n: 2, o: { a: 1 } }, 'parked')).toBe(
      '22:13:20.000 warn  parked key=A-17 note="two words" n=2 o={"a":1}',
    )
  })

  it('lets nothing that is logged control the terminal', () => {
    const text = line(false, { 'a\u001b[2J': '\u001b]0;title\u0007' }, 'x\u001b[31m\ny\u009b')

    expect(text).not.toMatch(/\p{Cc}/u)
    expect(text).toContain('x\\u001b[31m\\u000ay')
  })

  it('uses colour only when asked, and only its own', () => {
    const text = line(true, { key: 'a' }, 'x\u001b[31m')

    const escape = String.fromCharCode(0x1b)
    expect(text).toContain(`${escape}[33mwarn`)
    expect(text).toContain('x\\u001b[31m')
  })

  it('keeps to the same length as a JSON line', () => {
    const long = '\u0001'.repeat(100_000)

    expect(line(false, { a: long, b: long, c: long }, long).length).toBeLessThanOrEqual(
      LIMITS.logLineCharsMax,
    )
  })
})

describe('withLogFields', () => {
  it('adds fields to every entry, and an own field wins', () => {
    const { log, lines } = capture('debug')
    const child = withLogFields(log, { consumer: 'finance', attempt: 1 })

    child.debug({}, 'a')
    child.info({ attempt: 2 }, 'b')
    child.warn({}, 'c')
    child.error({}, 'd')

    const entries = lines.map((line) => JSON.parse(line) as unknown)
    expect(entries).toMatchObject([
      { level: 'debug', consumer: 'finance', attempt: 1 },
      { level: 'info', consumer: 'finance', attempt: 2 },
      { level: 'warn', consumer: 'finance', attempt: 1 },
      { level: 'error', consumer: 'finance', attempt: 1 },
    ])
  })
})
