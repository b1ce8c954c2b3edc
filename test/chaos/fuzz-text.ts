// Text that is nearly right: pieces of what parsers read, put together wrongly, from a seed.
import type { Random } from './random.ts'

const PIECES: readonly string[] = [
  '',
  ' ',
  '\t',
  '\0',
  '"',
  '\\',
  '\\u0000',
  '\\ud800',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '=',
  '-',
  '.',
  '%',
  '%00',
  '%zz',
  '%E0%A4',
  '/',
  '..',
  '&',
  '?',
  '#',
  ';',
  'null',
  'true',
  'NaN',
  'Infinity',
  '-0',
  '0',
  '1',
  '1e400',
  '-1',
  '9007199254740993',
  '99999999999999999999999999',
  '0x10',
  '1_000',
  '1h',
  '9'.repeat(400),
  '2026-02-30T25:61:61Z',
  '+275760-09-13T00:00:00.001Z',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'é',
  'e\u0301',
  '\u202e',
  '\ufeff',
  '\ud83d\ude00',
  '\ud800',
  '<script>',
  "' or 1=1 --",
  '$1',
  '*',
  '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  'v1,',
  'v1a,',
  'whsec_',
  'msg_',
  'dead_',
  'A-1',
  'orders.status-changed',
  'a'.repeat(600),
  '[['.repeat(300),
  '{"a":'.repeat(300),
]

export const fuzzText = (random: Random, piecesMax = 6): string => {
  const count = random.between(0, piecesMax)
  return Array.from({ length: count }, () => PIECES[random.between(0, PIECES.length - 1)]).join('')
}

/** The same bytes with a few of them changed, taken out, put in or said twice. */
export const fuzzBytes = (random: Random, bytes: Uint8Array): Buffer => {
  let result = Buffer.from(bytes)
  for (let change = random.between(1, 4); change > 0; change--) {
    const at = random.between(0, result.length)
    const end = Math.min(result.length, at + random.between(1, 12))
    const before = result.subarray(0, at)
    const middle = result.subarray(at, end)
    const after = result.subarray(end)
    const parts: readonly (readonly Uint8Array[])[] = [
      [before, after],
      [before, middle, middle, after],
      [before, Buffer.from(fuzzText(random, 2)), after],
      [before, Buffer.from([random.between(0, 255)]), result.subarray(Math.min(end, at + 1))],
      [before],
    ]
    result = Buffer.concat(parts[random.between(0, parts.length - 1)] ?? [])
  }
  return result
}

/** A JSON value, or the text of one that is none any more. */
export const fuzzJson = (random: Random, like: unknown): string => {
  const text = JSON.stringify(like)
  if (random.chance(0.3)) return fuzzBytes(random, Buffer.from(text)).toString('utf8')
  return JSON.stringify(changeValue(random, like))
}

function changeValue(random: Random, value: unknown): unknown {
  if (random.chance(0.2)) return oddValue(random)
  if (Array.isArray(value)) return value.map((item) => changeValue(random, item))
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).map(([name, member]): [string, unknown] => [
    random.chance(0.1) ? fuzzText(random, 2) : name,
    changeValue(random, member),
  ])
  if (random.chance(0.2)) members.push([fuzzText(random, 2), oddValue(random)])
  return Object.fromEntries(members)
}

function oddValue(random: Random): unknown {
  const odd: readonly unknown[] = [
    null,
    true,
    0,
    -1,
    1.5,
    1e308,
    9_007_199_254_740_992,
    '',
    [],
    {},
    [[[[[]]]]],
    Array.from({ length: 2_000 }, () => 0),
    fuzzText(random),
    'x'.repeat(5_000),
  ]
  return odd[random.between(0, odd.length - 1)]
}
