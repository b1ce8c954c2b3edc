import { endOfPlain, endOfString, skipSpace } from './json-tokens.ts'

export interface LocatedFault {
  readonly reason: 'syntax' | 'duplicate-key' | 'prototype-key' | 'number-range'
  /** Offset in characters. */
  readonly at: number
}

/** An open array, or an open object with the keys it has so far. */
interface Open {
  readonly keys: Set<string> | undefined
  /** The member being read; an object below `constructor` may not have `prototype`. */
  key: string
}

type Expected = 'value' | 'first-item' | 'first-key' | 'key' | 'after-value'

/**
 * Finds the first thing that `parseJson` refuses in a text, or undefined when there is none. Only
 * runs once something is known to be wrong: it is exact and linear, not fast. It never recurses.
 *
 * States: `value` and `key` want one; `first-item` and `first-key` also take the closing bracket;
 * `after-value` takes a comma or what closes the innermost container, or the end of the text.
 */
export const locateJsonFault = (text: string): LocatedFault | undefined => {
  const open: Open[] = []
  let expected: Expected = 'value'
  let at = 0
  for (;;) {
    at = skipSpace(text, at)
    const character = text[at]
    const inside = open.at(-1)
    if (expected === 'after-value') {
      if (inside === undefined) return at === text.length ? undefined : { reason: 'syntax', at }
      if (character === ',') expected = inside.keys ? 'key' : 'value'
      else if (character === (inside.keys ? '}' : ']')) open.pop()
      else return { reason: 'syntax', at }
      at++
    } else if (
      (expected === 'first-item' && character === ']') ||
      (expected === 'first-key' && character === '}')
    ) {
      open.pop()
      at++
      expected = 'after-value'
    } else if (expected === 'first-key' || expected === 'key') {
      const read = readKey(text, at, open)
      if (typeof read !== 'number') return read
      at = read
      expected = 'value'
    } else if (character === '{' || character === '[') {
      open.push({ keys: character === '{' ? new Set() : undefined, key: '' })
      at++
      expected = character === '{' ? 'first-key' : 'first-item'
    } else {
      const read = readScalar(text, at)
      if (typeof read !== 'number') return read
      at = read
      expected = 'after-value'
    }
  }
}

/** Reads a key and its colon; the offset behind them, or the fault. */
function readKey(text: string, at: number, open: readonly Open[]): number | LocatedFault {
  const object = open.at(-1)
  if (object?.keys === undefined || text[at] !== '"') return { reason: 'syntax', at }
  const end = endOfString(text, at)
  if (end < 0) return { reason: 'syntax', at: -1 - end }
  const colon = skipSpace(text, end)
  if (text[colon] !== ':') return { reason: 'syntax', at: colon }

  const key = String(JSON.parse(text.slice(at, end)))
  if (object.keys.has(key)) return { reason: 'duplicate-key', at }
  const underConstructor = open.at(-2)?.keys !== undefined && open.at(-2)?.key === 'constructor'
  if (key === '__proto__' || (key === 'prototype' && underConstructor)) {
    return { reason: 'prototype-key', at }
  }
  object.keys.add(key)
  object.key = key
  return colon + 1
}

function readScalar(text: string, at: number): number | LocatedFault {
  if (text[at] === '"') {
    const end = endOfString(text, at)
    return end < 0 ? { reason: 'syntax', at: -1 - end } : end
  }
  const end = endOfPlain(text, at)
  if (end < 0) return { reason: 'syntax', at }
  const isOutOfRange =
    /^[-0-9]/.test(text.charAt(at)) && !Number.isFinite(Number(text.slice(at, end)))
  return isOutOfRange ? { reason: 'number-range', at } : end
}
