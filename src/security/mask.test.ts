import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { createMasker, MASK, WITHHELD } from './mask.ts'
import { maskHeaders } from './mask-headers.ts'

const EMAIL = 'Ada.Canary+7@example.com'
const order = {
  orderId: 'o-1',
  customer: { email: EMAIL, name: 'Zoë "Z" Canary', age: 41 },
  items: [
    { sku: 'a', name: 'Engraving for Ada' },
    { sku: 'b', name: null },
  ],
  contacts: { 'second@example.com': { phone: '+31 20 555 0199' } },
}
const masker = createMasker([
  'customer.email',
  'customer.name',
  'customer.age',
  'items.*.name',
  'contacts',
])

describe('masking a document (F57)', () => {
  test('replaces what the contract names and nothing else', () => {
    expect(masker.value(order)).toEqual({
      orderId: 'o-1',
      customer: { email: MASK, name: MASK, age: MASK },
      items: [
        { sku: 'a', name: MASK },
        { sku: 'b', name: null },
      ],
      contacts: MASK,
    })
  })

  test('leaves the original as it was', () => {
    const before = structuredClone(order)

    masker.value(order)

    expect(order).toEqual(before)
  })

  test('enters arrays that the path does not mention, since too much is the smaller mistake', () => {
    const value = createMasker(['items.name', 'lists.*.0.name']).value({
      items: [{ name: 'x' }, [{ name: 'y' }]],
      lists: [[{ name: 'first' }, { name: 'second' }]],
    })

    expect(value).toEqual({
      items: [{ name: MASK }, [{ name: MASK }]],
      lists: [[{ name: MASK }, { name: 'second' }]],
    })
  })

  test('replaces the whole of what is not a document', () => {
    expect(masker.value(JSON.stringify(order))).toBe(MASK)
    expect(masker.value(Buffer.from(EMAIL))).toBe(MASK)
    expect(masker.value(undefined)).toBe(undefined)
    expect(createMasker([]).value(order)).toBe(order)
  })

  test('cannot be led astray by the names of keys', () => {
    const data: unknown = JSON.parse('{"__proto__":{"email":"x"},"constructor":{"email":"y"}}')
    const masked = createMasker(['__proto__.email', 'constructor.email']).value(data)

    expect(JSON.stringify(masked)).toBe(
      `{"__proto__":{"email":"${MASK}"},"constructor":{"email":"${MASK}"}}`,
    )
    expect(Reflect.get({}, 'email')).toBe(undefined)
  })

  test('masks unseen what is too deep or too much to look at', () => {
    let deep: unknown = { name: 'deep' }
    for (let level = 0; level < 10_000; level++) deep = [deep]
    const wide = Array.from({ length: LIMITS.maskNodesMax + 10 }, () => ({ other: 'kept' }))

    expect(JSON.stringify(createMasker(['*.*.*.name']).value({ deep }))).not.toContain('"deep"}')
    expect(JSON.stringify(createMasker(['name']).value(wide)).endsWith(`"${MASK}"]`)).toBe(true)
  })

  test('stays quick where a path and nested arrays can meet in many ways', () => {
    let nested: unknown = [{ name: 'deep' }]
    for (let level = 0; level < 50; level++) nested = [nested]
    const path = `${'*.'.repeat(12)}name`

    expect(JSON.stringify(createMasker([path]).value({ nested }))).toContain(MASK)
  })

  test('no planted value survives, wherever the path leads', () => {
    const path = fc.array(fc.constantFrom('a', 'b', '*', '0', '__proto__'), {
      minLength: 1,
      maxLength: 4,
    })
    fc.assert(
      fc.property(path, fc.jsonValue(), (steps, other) => {
        let planted: unknown = 'canary'
        for (const step of steps.toReversed()) {
          planted =
            step === '0'
              ? [planted, other]
              : Object.fromEntries([
                  [step === '*' ? 'any' : step, planted],
                  ['other', 'kept'],
                ])
        }
        const masked = JSON.stringify(createMasker([steps.join('.')]).value(planted))

        expect(masked).not.toContain('canary')
      }),
    )
  })

  test.each(['', 'a..b', '.a', 'a.'])('refuses the path %j', (path) => {
    expect(() => createMasker([path])).toThrow(
      expect.objectContaining({ code: 'JUNCTURA_DECLARATION' }),
    )
  })
})

describe('masking a free text (F57)', () => {
  test.each([
    ['as it is', `no account for ${EMAIL}!`],
    ['in another case', `no account for ${EMAIL.toUpperCase()}`],
    ['in JSON', `got ${JSON.stringify(order.customer)}`],
    ['in a URL', `GET /accounts?email=${encodeURIComponent(EMAIL)} failed`],
    ['with spaces in a URL', `GET /?name=${encodeURIComponent(order.customer.name)}`],
    ['with spaces in a form', `name=${new URLSearchParams({ n: order.customer.name }).toString()}`],
    ['decomposed', `unknown name ${order.customer.name.normalize('NFD')}`],
    ['in a stack', `Error: ${EMAIL}\n    at handle (file.ts:1:2)`],
    ['many times', `${EMAIL}${EMAIL}, ${EMAIL}`],
    ['a key that is a value', 'duplicate contact second@example.com'],
    ['a number', 'age 41 is not allowed'],
  ])('replaces a value %s', (_, text) => {
    const masked = masker.text(text, order)

    expect(masked).toContain(MASK)
    expect(masked.normalize('NFC')).not.toMatch(/canary|second@|\b41\b/i)
  })

  test('keeps everything else', () => {
    expect(masker.text('order o-1, line 1410, sku a', order)).toBe('order o-1, line 1410, sku a')
    expect(masker.text('text', undefined)).toBe('text')
    expect(createMasker([]).text(EMAIL, order)).toBe(EMAIL)
  })

  test('replaces a short value only where it stands alone', () => {
    const short = createMasker(['name'])

    expect(short.text('Li is on the List', { name: 'Li' })).toBe(`${MASK} is on the List`)
    expect(short.text('🦊 met 🦊🦊', { name: '🦊' })).toBe(`${MASK} met ${MASK}${MASK}`)
    expect(short.text('a  b', { name: ' ' })).toBe('a  b')
  })

  test('takes the longest value first, so no rest of it stays', () => {
    const both = createMasker(['first', 'full'])

    expect(both.text('Ada Lovelace', { first: 'Ada', full: 'Ada Lovelace' })).toBe(MASK)
  })

  test('takes any characters literally', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 3, maxLength: 20 }), (name) => {
        fc.pre(name.trim().length > 2)
        const masked = createMasker(['name']).text(`<<${name}>>`, { name })

        expect(masked).toContain(MASK)
        expect(masked).not.toContain(name.trim())
      }),
    )
  })

  test('cuts a long text without leaving half a value at its end', () => {
    const max = LIMITS.maskTextCharsMax
    for (let before = max - 40; before < max + 2; before++) {
      const masked = masker.text(`${'x'.repeat(before)}${EMAIL} and more`, order)

      expect(masked.length).toBeLessThanOrEqual(max + 1)
      expect(masked.slice(before - 40)).toMatch(/^x+(?:•••| and more|…)*$/)
    }
  })

  test('shows nothing of a value that the cut has split, also when another one is in it', () => {
    const values = { full: 'canary-first Ada and a family name that goes on', first: 'Ada' }
    const text = 'x'.repeat(LIMITS.maskTextCharsMax - 20) + values.full

    expect(createMasker(['full', 'first']).text(text, values)).toMatch(/^x+…$/)
  })

  test('does not cut through a character', () => {
    for (const before of [0, 1]) {
      const text = 'x'.repeat(before) + '🦊'.repeat(LIMITS.maskTextCharsMax)

      expect(createMasker(['name']).text(text, { name: 'Ada' })).not.toMatch(/\p{Cs}/u)
    }
  })

  test('withholds a text when there are too many values to look for', () => {
    const many = Array.from({ length: LIMITS.maskValuesMax + 1 }, (_, at) => `value-${at}`)
    const huge = Array.from({ length: 30 }, (_, at) => `${at}${'y'.repeat(10_000)}`)

    expect(createMasker(['many']).text('value-7', { many })).toBe(WITHHELD)
    expect(createMasker(['huge']).text('x'.repeat(20_000), { huge })).toBe(WITHHELD)
  })
})

test('headers that carry credentials are masked, the others are not', () => {
  const masked = maskHeaders({
    Authorization: 'Bearer canary',
    cookie: 'sid=canary',
    'set-cookie': ['a=canary', 'b=canary'],
    'webhook-signature': 'v1,canary',
    'X-Hub-Signature-256': 'sha256=canary',
    'x-api-key': 'canary',
    'x-auth-token': 'canary',
    'webhook-id': 'msg_1',
    'content-type': 'application/json',
    'x-list': ['a', 'b'],
    'x-absent': undefined,
  })

  expect(JSON.stringify(masked)).not.toContain('canary')
  expect(masked).toMatchObject({
    Authorization: MASK,
    'webhook-id': 'msg_1',
    'content-type': 'application/json',
    'x-list': ['a', 'b'],
  })
})
