import { type Random, randomInteger } from '../kernel/index.ts'
import { generateFromPattern } from './generate-from-pattern.ts'

export interface TextWishes {
  readonly format: string | undefined
  readonly patterns: readonly string[]
  readonly charsMin: number
  readonly charsMax: number
}

/** A text that follows the format, else the first pattern, else plain words of a fitting length. */
export const generateText = (random: Random, wishes: TextWishes): string => {
  const formatted = wishes.format === undefined ? undefined : FORMATS[wishes.format]
  if (formatted) return formatted(random)
  const [pattern] = wishes.patterns
  if (pattern !== undefined) {
    const text = generateFromPattern(pattern, random)
    if (text !== undefined) return text
  }
  const length = Math.min(Math.max(wishes.charsMin, 8), wishes.charsMax, CHARS_MAX)
  let text = ''
  while (text.length < length) text += `${WORDS[randomInteger(random, 0, WORDS.length - 1)]}-`
  // A hyphen at the end would look cut off.
  return text.slice(0, length).replace(/-$/, 'x')
}

const CHARS_MAX = 100_000
const WORDS = ['amber', 'birch', 'cedar', 'delta', 'ember', 'fjord', 'grove', 'heron'] as const

const digits = (random: Random, count: number): string =>
  Array.from({ length: count }, () => randomInteger(random, 0, 9)).join('')

const hex = (random: Random, count: number): string =>
  Array.from({ length: count }, () => randomInteger(random, 0, 15).toString(16)).join('')

const two = (number: number): string => String(number).padStart(2, '0')

const date = (random: Random): string =>
  `20${two(randomInteger(random, 20, 29))}-${two(randomInteger(random, 1, 12))}-${two(randomInteger(random, 1, 28))}`

const time = (random: Random): string =>
  `${two(randomInteger(random, 0, 23))}:${two(randomInteger(random, 0, 59))}:${two(randomInteger(random, 0, 59))}Z`

const uuid = (random: Random): string =>
  `${hex(random, 8)}-${hex(random, 4)}-4${hex(random, 3)}-8${hex(random, 3)}-${hex(random, 12)}`

/** Names and numbers reserved for examples: RFC 2606, RFC 5737, RFC 3849. */
const FORMATS: Readonly<Record<string, (random: Random) => string>> = {
  'date-time': (random) => `${date(random)}T${time(random)}`,
  date,
  time,
  duration: (random) => `PT${randomInteger(random, 1, 59)}M`,
  email: (random) => `someone.${digits(random, 3)}@example.com`,
  'idn-email': (random) => `someone.${digits(random, 3)}@example.com`,
  hostname: (random) => `host-${digits(random, 3)}.example.com`,
  'idn-hostname': (random) => `host-${digits(random, 3)}.example.com`,
  ipv4: (random) => `192.0.2.${randomInteger(random, 1, 254)}`,
  ipv6: (random) => `2001:db8::${hex(random, 4)}`,
  uri: (random) => `https://example.com/${digits(random, 4)}`,
  url: (random) => `https://example.com/${digits(random, 4)}`,
  iri: (random) => `https://example.com/${digits(random, 4)}`,
  'uri-reference': (random) => `/items/${digits(random, 4)}`,
  'iri-reference': (random) => `/items/${digits(random, 4)}`,
  'uri-template': () => '/items/{id}',
  uuid,
  'json-pointer': () => '/items/0',
  'relative-json-pointer': () => '1/items',
  regex: () => '^[a-z]+$',
  byte: (random) => Buffer.from(digits(random, 6)).toString('base64'),
}
