import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSeededRandom } from '../kernel/index.ts'
import { checkBearerToken, generateToken, hashToken } from './bearer-token.ts'

const random = createSeededRandom(21)
const [first, second] = [generateToken(random), generateToken(random)]
const tokenHashes = [hashToken(first), hashToken(second)]

describe('a management token', () => {
  test.each<[string | readonly string[] | undefined, string]>([
    [undefined, 'missing'],
    ['', 'missing'],
    ['Bearer', 'malformed'],
    ['Bearer ', 'malformed'],
    [first, 'malformed'],
    [`Basic ${first}`, 'malformed'],
    [`Bearer ${first} ${first}`, 'malformed'],
    [`Bearer ${first}\n`, 'malformed'],
    [[`Bearer ${first}`, `Bearer ${first}`], 'malformed'],
    [`Bearer ${'a'.repeat(600)}`, 'malformed'],
    [`Bearer ${first.slice(0, -1)}`, 'mismatch'],
    [`Bearer ${first}a`, 'mismatch'],
    [`Bearer ${hashToken(first)}`, 'mismatch'],
  ])('in %j is refused as %s', (authorization, reason) => {
    expect(checkBearerToken({ authorization, tokenHashes })).toEqual({ ok: false, reason })
  })

  test('is refused when none is set, or only something that is no hash', () => {
    const authorization = `Bearer ${first}`

    for (const none of [[], [''], [first]]) {
      expect(checkBearerToken({ authorization, tokenHashes: none }).ok).toBe(false)
    }
  })

  test('is accepted, and which one it was is said', () => {
    expect(checkBearerToken({ authorization: `Bearer ${first}`, tokenHashes })).toEqual({
      ok: true,
      tokenIndex: 0,
    })
    expect(checkBearerToken({ authorization: `bearer  ${second}`, tokenHashes })).toEqual({
      ok: true,
      tokenIndex: 1,
    })
  })

  test('check never throws, whatever the header holds (W5)', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(checkBearerToken({ authorization: text, tokenHashes }).ok).toBe(false)
        expect(checkBearerToken({ authorization: `Bearer ${text}`, tokenHashes }).ok).toBe(false)
      }),
    )
  })
})
