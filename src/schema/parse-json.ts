import { isUtf8 } from 'node:buffer'
import { LIMITS, assert, utf8Length } from '../kernel/index.ts'
import { locateJsonFault } from './locate-json-fault.ts'

export interface JsonLimits {
  /**
   * Nesting of arrays and objects.
   *
   * @default 64
   * @maximum 512
   */
  readonly depthMax?: number
  /**
   * Values and keys, counted before anything is built: one for the document, one for each comma,
   * colon and opening bracket.
   *
   * @default 100_000
   */
  readonly nodesMax?: number
}

/** Why bytes are not a JSON document for us. The names are permanent. */
export type JsonFault =
  | 'empty'
  | 'bom'
  | 'utf8'
  | 'syntax'
  | 'depth'
  | 'nodes'
  | 'surrogate'
  | 'duplicate-key'
  | 'prototype-key'
  | 'number-range'

export type ParsedJson =
  | { readonly ok: true; readonly value: unknown; readonly text: string }
  | {
      readonly ok: false
      readonly reason: JsonFault
      /** Offset of the fault in bytes, where it is known. */
      readonly at?: number
      /** One sentence without any of the sender's data. */
      readonly detail: string
    }

/** The walk over the result recurses, so depth is bounded whatever the caller asks for. */
const DEPTH_LIMIT = 512

/**
 * The one reader of JSON from outside: RFC 8259 as `JSON.parse` reads it, less what two readers
 * understand differently. README.md beside this file lists each decision with its reason. Bad input
 * is a result, never a throw.
 *
 * One pass over the bytes bounds depth and nodes before anything is built, so that a hostile body
 * costs no more than a good one of its size; then the native parser; then one walk over the result,
 * which counts members: fewer members than colons means that a key came twice.
 *
 * @see RFC 8259, and RFC 7493 (I-JSON) for what it leaves open
 */
export const parseJson = (bytes: Uint8Array, limits: JsonLimits = {}): ParsedJson => {
  const depthMax = limits.depthMax ?? LIMITS.jsonDepthMax
  const nodesMax = limits.nodesMax ?? LIMITS.jsonNodesMax
  assert(depthMax <= DEPTH_LIMIT, 'depthMax of parseJson is at most 512')

  if (bytes.length === 0) return refuse('empty')
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return refuse('bom', 0)
  if (!isUtf8(bytes)) return refuse('utf8')
  const colons = countColons(bytes, depthMax, nodesMax)
  if (typeof colons !== 'number') return colons

  const text = asBuffer(bytes).toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The native message quotes the body, which may hold personal data; ours names the place.
    return refuseLocated(text) ?? refuse('syntax')
  }
  if (countMembers(value) !== colons) {
    // Members inherited from a prototype that other code polluted are counted too: look closely.
    const refused = refuseLocated(text)
    if (refused) return refused
  }
  return { ok: true, value, text }
}

/**
 * The colons outside strings, or why the bytes are refused. On what is not JSON the count means
 * nothing, and the parser refuses afterwards.
 */
function countColons(bytes: Uint8Array, depthMax: number, nodesMax: number): number | ParsedJson {
  let depth = 0
  let nodes = 1
  let colons = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (byte === QUOTE) {
      for (i++; i < bytes.length; i++) {
        if (bytes[i] === QUOTE) break
        if (bytes[i] !== BACKSLASH) continue
        i++
        if (bytes[i] !== LETTER_U) continue
        const pair = pairLength(bytes, i)
        if (pair === LONE) return refuse('surrogate', i - 1)
        i += pair
      }
    } else if (byte === COMMA) nodes++
    else if (byte === COLON) colons++
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      nodes++
      depth++
      if (depth > depthMax) return refuse('depth', i)
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--
  }
  return nodes + colons > nodesMax ? refuse('nodes') : colons
}

/** Bytes to skip after the `u` of an escape: those of a whole surrogate pair, or none. */
function pairLength(bytes: Uint8Array, at: number): number {
  const unit = hex4(bytes, at + 1)
  if (unit < 0xd800 || unit > 0xdfff) return 0
  if (unit > 0xdbff || bytes[at + 5] !== BACKSLASH || bytes[at + 6] !== LETTER_U) return LONE
  const low = hex4(bytes, at + 7)
  return low >= 0xdc00 && low <= 0xdfff ? 10 : LONE
}

/** Four hex digits as a number; 0 for anything else, which the parser refuses later. */
function hex4(bytes: Uint8Array, at: number): number {
  let unit = 0
  for (let i = at; i < at + 4; i++) {
    const digit = Number.parseInt(String.fromCharCode(bytes[i] ?? 0), 16)
    if (Number.isNaN(digit)) return 0
    unit = unit * 16 + digit
  }
  return unit
}

/** The members of all objects inside; NaN, equal to no count, when a value or key is refused. */
function countMembers(value: unknown): number {
  if (typeof value === 'number') return Number.isFinite(value) ? 0 : Number.NaN
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value) {
      if (typeof item === 'object' || typeof item === 'number') count += countMembers(item)
    }
    return count
  }
  const record = value as Record<string, unknown> // An object of JSON.parse that is no array.
  for (const key in record) {
    const member = record[key]
    count++
    if (key === '__proto__') return Number.NaN
    if (typeof member === 'object' && member !== null) {
      if (key === 'constructor' && Object.hasOwn(member, 'prototype')) return Number.NaN
      count += countMembers(member)
    } else if (typeof member === 'number' && !Number.isFinite(member)) return Number.NaN
  }
  return count
}

function refuseLocated(text: string): ParsedJson | undefined {
  const fault = locateJsonFault(text)
  return fault && refuse(fault.reason, utf8Length(text.slice(0, fault.at)))
}

function refuse(reason: JsonFault, at?: number): ParsedJson {
  const detail = DETAILS[reason] + (at === undefined || at === 0 ? '' : ` See byte ${at}.`)
  return { ok: false, reason, ...(at !== undefined && { at }), detail }
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const DETAILS: Readonly<Record<JsonFault, string>> = {
  empty: 'The body is empty.',
  bom: 'The body begins with a byte order mark, which JSON does not have.',
  utf8: 'The body is not valid UTF-8.',
  syntax: 'The body is not JSON (RFC 8259).',
  depth: 'The body is nested too deep.',
  nodes: 'The body has too many values and keys.',
  surrogate: 'A string has half of a surrogate pair, which is no character.',
  'duplicate-key': 'An object has the same key twice.',
  'prototype-key': 'An object has the key __proto__, or prototype below constructor.',
  'number-range': 'A number is too large for a double.',
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const LETTER_U = 0x75
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const LONE = -1
