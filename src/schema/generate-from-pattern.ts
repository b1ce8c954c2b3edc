import { type Random, randomInteger } from '../kernel/index.ts'

/**
 * A text that should match a pattern, or undefined when the pattern has parts that are not
 * generated (lookbehind, backreferences, properties of Unicode). Lookaheads are passed over: the
 * caller checks the text and tries again.
 */
export const generateFromPattern = (pattern: string, random: Random): string | undefined => {
  const reader: Reader = { pattern, at: 0, random, steps: 0, failed: false }
  const text = readAlternatives(reader)
  return reader.failed || reader.at < pattern.length ? undefined : text
}

interface Reader {
  readonly pattern: string
  readonly random: Random
  at: number
  steps: number
  failed: boolean
}

/** Repeats without an upper bound stay short. */
const REPEAT_MORE = 4
const REPEAT_MAX = 200
const NESTING_MAX = 40
/** Atoms read; repeats of repeats multiply. */
const STEPS_MAX = 100_000

/**
 * All branches are read so that the reader stands behind them; the text of one is kept. Text of
 * branches and repeats that are dropped is wasted, which patterns of limited length can afford.
 */
function readAlternatives(reader: Reader, nesting = 0): string {
  if (nesting > NESTING_MAX) reader.failed = true
  const branches = [readSequence(reader, nesting)]
  while (!reader.failed && reader.pattern[reader.at] === '|') {
    reader.at++
    branches.push(readSequence(reader, nesting))
  }
  return branches[randomInteger(reader.random, 0, branches.length - 1)] ?? ''
}

function readSequence(reader: Reader, nesting: number): string {
  let text = ''
  while (!reader.failed && reader.at < reader.pattern.length) {
    const character = reader.pattern.charAt(reader.at)
    if (character === '|' || character === ')') break
    const start = reader.at
    const once = readAtom(reader, nesting)
    const end = reader.at
    const count = readCount(reader)
    const behind = reader.at
    text += count > 0 ? once : ''
    for (let i = 1; i < count && !reader.failed; i++) {
      // Reading the atom again draws again, so that [0-9]{4} is not one digit four times.
      reader.at = start
      text += readAtom(reader, nesting)
      reader.failed ||= reader.at !== end
    }
    reader.at = behind
  }
  return text
}

function readAtom(reader: Reader, nesting: number): string {
  if (++reader.steps > STEPS_MAX) reader.failed = true
  const character = reader.pattern.charAt(reader.at++)
  if (character === '^' || character === '$') return ''
  if (character === '.') return pickFrom(reader, WORD)
  if (character === '[') return pickFrom(reader, readClass(reader))
  if (character === '(') return readGroup(reader, nesting)
  if (character === '\\') return readEscape(reader)
  return character
}

function readGroup(reader: Reader, nesting: number): string {
  const rest = reader.pattern.slice(reader.at)
  const opening = /^\?(?::|<[A-Za-z]\w*>|=|!)/.exec(rest)?.[0] ?? ''
  if (rest.startsWith('?') && opening === '') reader.failed = true
  reader.at += opening.length
  const text = readAlternatives(reader, nesting + 1)
  if (reader.pattern[reader.at] !== ')') reader.failed = true
  reader.at++
  return opening === '?=' || opening === '?!' ? '' : text
}

function readEscape(reader: Reader): string {
  const character = reader.pattern.charAt(reader.at++)
  if (character === 'b' || character === 'B') return ''
  const set = escapedSet(reader, character)
  return set === undefined ? '' : pickFrom(reader, set)
}

const DIGITS = '0123456789'
const LOWER = 'abcdefghijklmnopqrstuvwxyz'
const WORD = LOWER + LOWER.toUpperCase() + DIGITS
const PRINTABLE = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')
const CONTROLS: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f', v: '\v' }

/** The characters of an escape, whose letter was just read; undefined fails the reader. */
function escapedSet(reader: Reader, letter: string): string | undefined {
  switch (letter) {
    case 'd':
      return DIGITS
    case 'w':
      return WORD
    case 's':
      return ' '
    case 'D':
    case 'S':
      return LOWER
    case 'W':
      return '-'
    case 'x':
    case 'u': {
      const length = letter === 'x' ? 2 : 4
      const code = reader.pattern.slice(reader.at, reader.at + length)
      reader.at += length
      if (/^[0-9a-fA-F]+$/.test(code)) return String.fromCharCode(Number.parseInt(code, 16))
      break
    }
    default:
      if (letter in CONTROLS) return CONTROLS[letter]
      if (!/[0-9a-zA-Z]/.test(letter) && letter !== '') return letter
  }
  reader.failed = true
  return undefined
}

/** The characters of a class, whose bracket was just read. */
function readClass(reader: Reader): string {
  const isNegated = reader.pattern[reader.at] === '^'
  if (isNegated) reader.at++
  let members = ''
  while (reader.at < reader.pattern.length && reader.pattern[reader.at] !== ']') {
    const low = readClassMember(reader)
    const isRange = reader.pattern[reader.at] === '-' && reader.pattern[reader.at + 1] !== ']'
    if (isRange && low.length === 1) {
      reader.at++
      members += between(low, readClassMember(reader))
    } else members += low
    if (reader.failed) return ''
  }
  reader.at++
  if (!isNegated) return members
  const others = Array.from(PRINTABLE).filter((character) => !members.includes(character))
  return others.filter((character) => WORD.includes(character)).join('') || others.join('')
}

function readClassMember(reader: Reader): string {
  const character = reader.pattern.charAt(reader.at++)
  return character === '\\'
    ? (escapedSet(reader, reader.pattern.charAt(reader.at++)) ?? '')
    : character
}

/** Long ranges are cut: any of their characters will do. */
function between(low: string, high: string): string {
  const from = low.charCodeAt(0)
  const count = Math.min(high.charCodeAt(0) - from + 1, PRINTABLE.length)
  return Array.from({ length: Math.max(0, count) }, (_, i) => String.fromCharCode(from + i)).join(
    '',
  )
}

/** How often the atom comes: chosen within the quantifier that stands here, or once. */
function readCount(reader: Reader): number {
  const rest = reader.pattern.slice(reader.at)
  const quantifier = /^(?:[*+?]|\{(\d+)(,)?(\d+)?\})\??/.exec(rest)
  if (quantifier === null) return 1
  reader.at += quantifier[0].length
  const sign = quantifier[0].charAt(0)
  if (sign === '?') return randomInteger(reader.random, 0, 1)
  if (sign === '*') return randomInteger(reader.random, 0, REPEAT_MORE)
  if (sign === '+') return randomInteger(reader.random, 1, REPEAT_MORE)
  const least = Math.min(Number(quantifier[1]), REPEAT_MAX)
  if (quantifier[2] === undefined) return least
  const most = quantifier[3] === undefined ? least + REPEAT_MORE : Number(quantifier[3])
  return randomInteger(reader.random, least, Math.max(least, Math.min(most, least + REPEAT_MORE)))
}

function pickFrom(reader: Reader, set: string): string {
  if (set === '') reader.failed = true
  return set.charAt(randomInteger(reader.random, 0, set.length - 1))
}
