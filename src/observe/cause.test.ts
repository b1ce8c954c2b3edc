import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { causeOf, type CauseParts, normaliseMessage } from './cause.ts'

const parts: CauseParts = {
  errorName: 'TypeError',
  message: 'order 4711 is unknown',
  consumer: 'finance',
  contract: 'orders.status-changed',
  version: 2,
  stage: 'handler',
}

describe('normaliseMessage', () => {
  it.each([
    ['order 4711 is unknown', 'order <n> is unknown'],
    ['balance -12.50 EUR, limit 1,000.00', 'balance <n> EUR, limit <n>'],
    ['order POISON-7f3a99 always fails', 'order POISON-<id> always fails'],
    ['order ORD1234 and user_77 clash', 'order <id> and <id> clash'],
    ['message msg_01933d2e7c0a7b6c9f0e6b1f7d3a5c21 is gone', 'message <id> is gone'],
    ['no row 0d4b2a66-7c1e-4f0a-9a51-0b1c2d3e4f50', 'no row <id>'],
    ['bad hash 0xDEADBEEF, want 9f86d081884c7d65', 'bad hash <id>, want <id>'],
    ['due 2026-02-03T04:05:06.789Z', 'due <time>'],
    ['due 2026-02-03 04:05:06+01:00 at the latest', 'due <time> at the latest'],
    ['closed since 17:45', 'closed since <time>'],
    ['no mailbox jo.doe+tag@example.com here', 'no mailbox <email> here'],
    ['connect ECONNREFUSED 10.0.0.7:5432', 'connect ECONNREFUSED <address>'],
    [
      'connect to ::1 or fe80::1ff:fe23:4567:890a failed',
      'connect to <address> or <address> failed',
    ],
    [
      "Cannot read properties of undefined (reading 'foo')",
      'Cannot read properties of undefined (reading <text>)',
    ],
    ['duplicate key "orders_pkey"', 'duplicate key <text>'],
    ['no column `total` in “orders”', 'no column <text> in <text>'],
    ["the customer's order can't be found", "the customer's order can't be found"],
    [
      'GET https://shop.test/orders/55?token=abc&x=1 failed',
      'GET https://shop.test/orders/<n>?<query> failed',
    ],
    ['missing items 1, 2, 3, 4', 'missing items <n>…'],
    ['missing items 1, 2', 'missing items <n>…'],
    ['three\n  lines\tand\u0000controls\u202e', 'three lines and controls'],
    ['partner answered HTTP 503', 'partner answered HTTP 503'],
    ['Request failed with status code 404', 'Request failed with status code 404'],
    ['failed with code 23505', 'failed with code <n>'],
    ['waited 503 ms', 'waited <n> ms'],
    ['Straße Nr. 5 für Kunde K77ä', 'Straße Nr. <n> für Kunde <id>'],
    ['', ''],
  ])('makes %j into %j', (message, normalised) => {
    expect(normaliseMessage(message)).toBe(normalised)
  })

  it('leaves no number, address or quoted value of a person in it (F57)', () => {
    const canaries = fc.constantFrom(
      'jane.roe@example.org',
      '+49 170 5550199',
      'DE89370400440532013000',
      '"Jane Roe"',
      "'Jane Roe'",
      '192.0.2.77',
      '4111 1111 1111 1111',
    )
    fc.assert(
      fc.property(canaries, fc.constantFrom('', ': ', ' for ', ', '), (canary, joint) => {
        const normalised = normaliseMessage(`refused${joint === '' ? ' ' : joint}${canary} today`)

        expect(normalised).not.toMatch(/jane|roe|5550199|DE89|192|4111/i)
      }),
    )
  })

  it('is never longer than its maximum, and valid text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (message) => {
        const normalised = normaliseMessage(message)

        expect(normalised.length).toBeLessThanOrEqual(LIMITS.causeCharsMax)
        expect(normalised).not.toMatch(/\d{4,}|\p{Cc}/u)
      }),
      { numRuns: 25 },
    )
  })

  it('reads no further than its maximum, however much a message repeats itself', () => {
    expect(normaliseMessage(`items ${'7, '.repeat(200)}end`)).toBe('items <n>…, end')
    expect(normaliseMessage(`items ${'7, '.repeat(100_000)}end`)).not.toContain('end')
  })

  // A pattern that backtracks without bound would run into the test's time limit here.
  it.each([
    ['quotes', `"'`],
    ['question marks', '?'],
    ['queries', '?a'],
    ['colons', ':a'],
    ['digits and dots', '1.'],
    ['letters', 'a'],
    ['at signs', 'a@'],
    ['dates that almost are', '2026-01-'],
    ['statuses that almost are', 'status '],
  ])('comes to an end on nothing but %s', (_, piece) => {
    const normalised = normaliseMessage(piece.repeat(100_000))

    expect(normalised.length).toBeLessThanOrEqual(LIMITS.causeCharsMax)
  })
})

describe('causeOf', () => {
  it('is one cause for messages that differ only in their figures', () => {
    const other = causeOf({ ...parts, message: 'order 9 is unknown' })

    expect(other).toEqual(causeOf(parts))
    expect(other.fingerprint).toMatch(/^cause_[0-9a-f]{24}$/)
  })

  it.each<[string, Partial<CauseParts>]>([
    ['class of error', { errorName: 'RangeError' }],
    ['message', { message: 'order 4711 is closed' }],
    ['consumer', { consumer: 'warehouse' }],
    ['contract', { contract: 'orders.placed' }],
    ['version', { version: 1 }],
    ['stage', { stage: 'transform' }],
  ])('is another cause for another %s', (_, change) => {
    expect(causeOf({ ...parts, ...change }).fingerprint).not.toBe(causeOf(parts).fingerprint)
  })

  it('does not let one part run into the next', () => {
    const left = causeOf({ ...parts, consumer: 'a","b', contract: 'c' })
    const right = causeOf({ ...parts, consumer: 'a', contract: 'b","c' })

    expect(left.fingerprint).not.toBe(right.fingerprint)
  })

  it('stays the same from release to release, for alerts that are open meanwhile', () => {
    expect(causeOf(parts)).toEqual({
      fingerprint: 'cause_821c821e834069a066d5819a',
      label: 'finance (orders.status-changed v2): TypeError: order <n> is unknown',
    })
  })

  it('says the stage when it is not the handler, and keeps the label short', () => {
    expect(causeOf({ ...parts, stage: 'transform' }).label).toContain('v2) at transform: TypeError')
    expect(causeOf({ ...parts, message: 'word '.repeat(500) }).label.length).toBeLessThanOrEqual(
      200,
    )
  })
})
