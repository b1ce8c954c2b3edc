import { createHash } from 'node:crypto'
import { LIMITS } from '../kernel/index.ts'

/** What failed, in words that are the same for every message that fails in the same way. */
export interface CauseParts {
  readonly errorName: string
  readonly message: string
  /** The consumer, or the webhook when the transform failed. */
  readonly consumer: string
  readonly contract: string
  readonly version: number
  /** For example `handler` or `transform`. */
  readonly stage: string
}

export interface Cause {
  /** `cause_` and 24 hex digits; equal for equal causes, in every process and release. */
  readonly fingerprint: string
  /** For people, at most 200 characters: `finance (orders.status-changed v2): TypeError: …`. */
  readonly label: string
}

/**
 * Groups failures: two messages have one cause when they failed in the same consumer, contract
 * version and stage with the same class of error and the same normalised message.
 */
export const causeOf = (parts: CauseParts): Cause => {
  const { errorName, consumer, contract, version, stage } = parts
  const message = normaliseMessage(parts.message)
  // As JSON, so that no value can imitate the boundary between two others.
  const text = JSON.stringify([errorName, message, consumer, contract, version, stage])
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 24)
  const where = stage === 'handler' ? '' : ` at ${stage}`
  const label = `${consumer} (${contract} v${version})${where}: ${errorName}: ${message}`
  return { fingerprint: `cause_${digest}`, label: cut(label) }
}

/**
 * Takes out of an error message what differs from case to case: ids, numbers, times, addresses and
 * whatever stands in quotes. That groups failures and keeps most personal data out of group names
 * (F57); it does not replace masking. HTTP statuses stay, since 404 and 503 are not one cause.
 * Reads the first 2 000 characters, gives at most 200.
 */
export const normaliseMessage = (message: string): string => {
  let text = message.slice(0, LIMITS.errorMessageCharsMax)
  for (const [pattern, placeholder] of PLACEHOLDERS) text = text.replace(pattern, placeholder)
  return cut(text.trim())
}

/** In this order: what is more specific goes first. */
const PLACEHOLDERS: readonly (readonly [pattern: RegExp, placeholder: string])[] = [
  [/[\s\p{Cc}\p{Cf}]+/gu, ' '],
  [/"[^"]*"|`[^`]*`|“[^”]*”|«[^»]*»/g, '<text>'],
  // An apostrophe inside a word opens nothing.
  [/(?<![\p{L}\p{N}])'[^']*'(?![\p{L}\p{N}])/gu, '<text>'],
  [/[^\s<>@,;:()[\]"']{1,64}@[\p{L}\p{N}.-]{1,255}/gu, '<email>'],
  [/\?[^\s<>?=]*=[^\s<>]*/g, '?<query>'],
  [
    /\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?/g,
    '<time>',
  ],
  [/(?<![\w:])\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?![\w:])/g, '<time>'],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, '<id>'],
  [/\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b/g, '<address>'],
  [/(?<![\w:])(?=[0-9a-f:]*:[0-9a-f:]*:)[0-9a-f:]{2,39}(?![\w:])/gi, '<address>'],
  // A number, unless it is an HTTP status and says so.
  [
    /(?<![\p{L}\p{N}_])(?<!(?:HTTP|status|code)[ :=]{1,3}(?=[1-5]\d\d\b))[-+]?\d+(?:[.,]\d+)*(?![\p{L}\p{N}_])/giu,
    '<n>',
  ],
  // A word with letters and digits in it.
  [/(?<![\p{L}\p{N}_])(?=\d*[\p{L}_])[\p{L}_]*\d[\p{L}\p{N}_]*/gu, '<id>'],
  // A list is one cause however long it is.
  [/<(n|id|time|text|address|email)>(?:[ ,;|/-]{1,3}<\1>)+/g, '<$1>…'],
]

function cut(text: string): string {
  if (text.length <= LIMITS.causeCharsMax) return text
  // Half a character at the cut would not be valid text.
  return `${text.slice(0, LIMITS.causeCharsMax - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
}
