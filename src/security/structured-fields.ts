import { LIMITS } from '../kernel/index.ts'

/** An inner list with its parameters, as `Signature-Input` holds one under each label. */
export interface InnerList {
  readonly items: readonly InnerItem[]
  readonly params: ReadonlyMap<string, BareItem>
  /** As it was written, which is as it is signed: only the canonical spelling is read. */
  readonly text: string
}

export interface InnerItem {
  readonly name: string
  readonly params: ReadonlyMap<string, BareItem>
  readonly text: string
}

export type BareItem = string | number | boolean

/**
 * A dictionary whose members are inner lists of strings. Undefined for anything else, for a label
 * that comes twice, and for what is not in its canonical spelling.
 *
 * @see RFC 9651, sections 3.2, 3.1.1 and 4.1
 */
export const readInnerLists = (text: string): ReadonlyMap<string, InnerList> | undefined =>
  readMembers(text, readInnerList)

/**
 * A dictionary whose members are byte sequences, as `Signature` and `Content-Digest` are; each
 * value is base64 in its canonical spelling.
 *
 * @see RFC 9651, sections 3.2 and 3.3.5
 */
export const readByteMembers = (text: string): ReadonlyMap<string, string> | undefined =>
  readMembers(text, (reader) => {
    const found = reader.take(/:([A-Za-z0-9+/]*={0,2}):/y)?.[1]
    if (found === undefined) return undefined
    return Buffer.from(found, 'base64').toString('base64') === found ? found : undefined
  })

interface Reader {
  readonly at: number
  take(pattern: RegExp): RegExpExecArray | undefined
  slice(from: number): string
  readonly isDone: boolean
}

function createReader(text: string): Reader {
  let at = 0
  return {
    get at() {
      return at
    },
    get isDone() {
      return at >= text.length
    },
    take(pattern) {
      pattern.lastIndex = at
      const found = pattern.exec(text)
      if (!found) return undefined
      at = pattern.lastIndex
      return found
    },
    slice: (from) => text.slice(from, at),
  }
}

const KEY = /[a-z*][a-z0-9_.*-]{0,99}/y

function readMembers<T>(
  text: string,
  readValue: (reader: Reader) => T | undefined,
): ReadonlyMap<string, T> | undefined {
  const reader = createReader(text)
  const members = new Map<string, T>()
  while (!reader.isDone) {
    const label = reader.take(KEY)?.[0]
    if (label === undefined || members.has(label) || !reader.take(/=/y)) return undefined
    const value = readValue(reader)
    if (value === undefined || members.size >= LIMITS.signedComponentsMax) return undefined
    members.set(label, value)
    if (reader.isDone) return members
    if (!reader.take(/[ \t]*,[ \t]*/y) || reader.isDone) return undefined
  }
  return members.size === 0 ? undefined : members
}

function readInnerList(reader: Reader): InnerList | undefined {
  const from = reader.at
  if (!reader.take(/\(/y)) return undefined
  const items: InnerItem[] = []
  while (!reader.take(/\)/y)) {
    if (items.length > 0 && !reader.take(/ /y)) return undefined
    const itemFrom = reader.at
    const name = readBareItem(reader)
    const params = readParams(reader)
    if (typeof name !== 'string' || !params) return undefined
    items.push({ name, params, text: reader.slice(itemFrom) })
    if (items.length > LIMITS.signedComponentsMax) return undefined
  }
  const params = readParams(reader)
  return params && { items, params, text: reader.slice(from) }
}

function readParams(reader: Reader): ReadonlyMap<string, BareItem> | undefined {
  const params = new Map<string, BareItem>()
  while (reader.take(/;/y)) {
    const key = reader.take(KEY)?.[0]
    if (key === undefined || params.has(key)) return undefined
    const value = reader.take(/=/y) ? readBareItem(reader) : true
    if (value === undefined) return undefined
    params.set(key, value)
  }
  return params
}

/** Strings, integers and tokens; no parameter of a signature is anything else. */
function readBareItem(reader: Reader): BareItem | undefined {
  const text = reader.take(/"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){0,1024})"/y)?.[1]
  if (text !== undefined) return text.replace(/\\(["\\])/g, '$1')
  const integer = reader.take(/(?:0|-?[1-9]\d{0,14})(?![\d.])/y)?.[0]
  if (integer !== undefined) return Number(integer)
  return reader.take(/[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,99}/y)?.[0]
}
