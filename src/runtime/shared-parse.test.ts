import { describe, expect, it } from 'vitest'
import { consumer, event, type Integration, jsonSchema, team } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { createSharedParse } from './shared-parse.ts'

const owner = team('sharing')
const Told = event('sharing.told', { owner, versions: { 1: jsonSchema<unknown>({}) } })
const reader = (name: string) =>
  consumer(name, {
    owner,
    on: Told,
    idempotency: 'natural',
    retry: { attempts: 1, first: '1s', max: '1s' },
    deadLetter: { alert: owner.oncall },
    afterDeadLetter: 'park',
    replay: 'safe',
    handle: () => Promise.resolve(),
  })
const withReaders = (count: number): Pick<Integration, 'consumers'> => ({
  consumers: Array.from({ length: count }, (_, index) => reader(`reader-${index}`)),
})
const bytesOf = (json: string): Uint8Array => new TextEncoder().encode(json)
const NESTED = '{"a":{"b":[1,{"c":"text"}]},"__proto__":{"d":null},"e":true}'

describe('what several consumers read of one record', () => {
  it('is the same for each, and what one does to it no other sees', () => {
    const parse = createSharedParse(withReaders(3))
    const data = bytesOf(NESTED)
    for (let read = 0; read < 4; read++) {
      const value = parse('sharing.told', data)
      expect(JSON.stringify(value)).toBe(NESTED)
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
      const { a } = value as { a: { b: unknown[] } }
      Object.assign(a.b[1] as object, { c: 'changed' })
      a.b.push('more')
      Object.assign(value as object, { e: false })
    }
  })

  it.each(['1', '"text"', 'null', '[]', '[[1],{}]'])('may be %s', (json) => {
    const parse = createSharedParse(withReaders(2))
    const data = bytesOf(json)
    for (let read = 0; read < 3; read++) {
      expect(JSON.stringify(parse('sharing.told', data))).toBe(json)
    }
  })

  it('is parsed again when more waits for its other readers than may be kept', () => {
    const parse = createSharedParse(withReaders(2))
    const text = 'x'.repeat(LIMITS.sharedParseBytesMax / 4)
    const records = Array.from({ length: 12 }, (_, n) => bytesOf(JSON.stringify({ n, text })))
    for (const data of [...records, ...records]) {
      expect(parse('sharing.told', data)).toMatchObject({ text })
    }
  })

  it('throws each time where it is no JSON', () => {
    const parse = createSharedParse(withReaders(2))
    const data = bytesOf('{')
    expect(() => parse('sharing.told', data)).toThrow(SyntaxError)
    expect(() => parse('sharing.told', data)).toThrow(SyntaxError)
  })
})
