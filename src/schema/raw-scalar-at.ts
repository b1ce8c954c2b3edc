import { endOfPlain, endOfString, skipSpace } from './json-tokens.ts'

/**
 * The exact source text of the scalar at `path`, or undefined when there is none or it is an array
 * or object. `text` must be one that `parseJson` accepted.
 *
 * For identity only: `9007199254740993` and `9007199254740992` parse to one number, and two orders
 * with these ids must not count as one (F49). The text is compared as written, so `1`, `1.0` and
 * `1e0` are three identities. A string is returned with its quotes and escapes.
 */
export const rawScalarAt = (
  text: string,
  path: readonly (string | number)[],
): string | undefined => {
  const at = startOf(text, path)
  if (at === undefined || text[at] === '{' || text[at] === '[') return undefined
  const end = text[at] === '"' ? endOfString(text, at) : endOfPlain(text, at)
  return end < 0 ? undefined : text.slice(at, end)
}

/**
 * The exact source text of whatever value is at `path`. `text` must be one that `parseJson`
 * accepted.
 */
export const rawValueAt = (
  text: string,
  path: readonly (string | number)[],
): string | undefined => {
  const at = startOf(text, path)
  return at === undefined ? undefined : text.slice(at, endOfValue(text, at))
}

/** The source texts of the items of an array, found in one walk. */
export const rawItemsOf = (text: string): readonly string[] => {
  const items: string[] = []
  let at = skipSpace(text, skipSpace(text, 0) + 1)
  while (at < text.length && text[at] !== ']') {
    const end = endOfValue(text, at)
    items.push(text.slice(at, end))
    const comma = skipSpace(text, end)
    at = text[comma] === ',' ? skipSpace(text, comma + 1) : comma
  }
  return items
}

/** A step of a dotted path is text; in an array it is the number of an item. */
const isIndex = (step: string | number): boolean =>
  typeof step === 'number' || /^(?:0|[1-9]\d{0,8})$/.test(step)

function startOf(text: string, path: readonly (string | number)[]): number | undefined {
  let at = skipSpace(text, 0)
  for (const step of path) {
    const found =
      text[at] === '[' && isIndex(step)
        ? findItem(text, at, Number(step))
        : text[at] === '{'
          ? findMember(text, at, String(step))
          : undefined
    if (found === undefined) return undefined
    at = found
  }
  return at
}

function findItem(text: string, open: number, index: number): number | undefined {
  let at = skipSpace(text, open + 1)
  if (text[at] === ']') return undefined
  for (let i = 0; i < index; i++) {
    const comma = skipSpace(text, endOfValue(text, at))
    if (text[comma] !== ',') return undefined
    at = skipSpace(text, comma + 1)
  }
  return at
}

function findMember(text: string, open: number, name: string): number | undefined {
  let at = skipSpace(text, open + 1)
  while (text[at] === '"') {
    const end = endOfString(text, at)
    if (end < 0) return undefined
    const value = skipSpace(text, skipSpace(text, end) + 1)
    if (JSON.parse(text.slice(at, end)) === name) return value
    const comma = skipSpace(text, endOfValue(text, value))
    if (text[comma] !== ',') return undefined
    at = skipSpace(text, comma + 1)
  }
  return undefined
}

/** Skips one value, counting brackets outside strings instead of recursing. */
function endOfValue(text: string, start: number): number {
  let depth = 0
  let at = start
  do {
    const character = text[at]
    if (character === '"') at = endOfString(text, at)
    else if (character === '{' || character === '[') {
      depth++
      at++
    } else if (character === '}' || character === ']') {
      depth--
      at++
    } else if (character === ',' || character === ':') at++
    else at = endOfPlain(text, at)
    if (at < 0) return text.length
    if (depth > 0) at = skipSpace(text, at)
  } while (depth > 0 && at < text.length)
  return at
}
