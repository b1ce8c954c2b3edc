import { LIMITS, type Random, toHex } from '../kernel/index.ts'

/**
 * Where a piece of work stands in a distributed trace.
 *
 * @see W3C Trace Context Level 2.
 */
export interface SpanContext {
  /** 32 lower-case hex digits, never all zero. */
  readonly traceId: string
  /** 16 lower-case hex digits, never all zero: the span that is the parent of what comes next. */
  readonly spanId: string
  /** Bit 0: sampled. Bit 1: the trace id is random. No other bit is ever carried on. */
  readonly flags: number
  /** The other systems' part, as one header value; empty when there is none. */
  readonly traceState: string
}

const SAMPLED = 0b01
const RANDOM_TRACE_ID = 0b10

export const isSampled = (context: SpanContext): boolean => (context.flags & SAMPLED) !== 0

/**
 * Reads `traceparent` and `tracestate` from headers in the order they came, names in any case.
 * Undefined when there is no valid `traceparent` or more than one; the caller then starts a new
 * trace. A bad `tracestate` is dropped whole and leaves the trace alone.
 *
 * @see W3C Trace Context Level 2, sections 3.2, 3.3 and 4.
 */
export const readTraceContext = (
  headers: Iterable<readonly [name: string, value: string]>,
): SpanContext | undefined => {
  const parents: string[] = []
  const states: string[] = []
  for (const [name, value] of headers) {
    const lowerName = name.toLowerCase()
    if (lowerName === 'traceparent') parents.push(value)
    else if (lowerName === 'tracestate') states.push(value)
  }
  const [parent] = parents
  if (parent === undefined || parents.length > 1) return undefined
  const context = parseTraceparent(parent)
  if (context === undefined || states.length === 0) return context
  return { ...context, traceState: parseTracestate(states) }
}

/** Version 00 and the part of every later version that 00 can read. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

const ZERO_TRACE_ID = '0'.repeat(32)
const ZERO_SPAN_ID = '0'.repeat(16)

/**
 * Reads one `traceparent` value, or undefined. A later version is read as far as version 00 goes;
 * of its flags only `sampled` is taken.
 *
 * @see W3C Trace Context Level 2, sections 3.2.2 and 3.2.4.
 */
export const parseTraceparent = (value: string): SpanContext | undefined => {
  const match = TRACEPARENT.exec(trimOws(value))
  if (match === null) return undefined
  const [, version = '', traceId = '', spanId = '', flagsHex = '', rest] = match
  if (version === 'ff') return undefined
  if (version === '00' && rest !== undefined) return undefined
  if (traceId === ZERO_TRACE_ID || spanId === ZERO_SPAN_ID) return undefined
  const known = version === '00' ? SAMPLED | RANDOM_TRACE_ID : SAMPLED
  return { traceId, spanId, flags: Number.parseInt(flagsHex, 16) & known, traceState: '' }
}

/** Writes a `traceparent` value of version 00. */
export const formatTraceparent = (context: SpanContext): string => {
  const flags = (context.flags & (SAMPLED | RANDOM_TRACE_ID)).toString(16).padStart(2, '0')
  return `00-${context.traceId}-${context.spanId}-${flags}`
}

/**
 * A key as the W3C test suite wants it: a vendor, or a tenant and a vendor. Level 2 also allows a
 * vendor to begin with a digit.
 */
const STATE_KEY =
  /^(?:[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})$/
const STATE_VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/

/**
 * Joins and checks `tracestate` values. Empty when there is nothing to carry or anything is wrong:
 * a malformed member, a key twice, more than 32 members. Longer than 512 characters, members are
 * left out whole, first those above 128 characters, then from the end.
 *
 * @see W3C Trace Context Level 2, sections 3.3.1 and 3.3.1.5.
 */
export const parseTracestate = (values: readonly string[]): string => {
  const members = new Map<string, string>()
  for (const raw of values.join(',').split(',')) {
    const member = trimOws(raw)
    if (member === '') continue
    const equals = member.indexOf('=')
    const key = member.slice(0, equals)
    if (equals < 1 || !STATE_KEY.test(key)) return ''
    if (!STATE_VALUE.test(member.slice(equals + 1))) return ''
    if (members.has(key) || members.size === LIMITS.traceStateMembersMax) return ''
    members.set(key, member)
  }
  return fitTracestate([...members.values()])
}

const LARGE_MEMBER_CHARS = 128

function fitTracestate(members: readonly string[]): string {
  const whole = members.join(',')
  if (whole.length <= LIMITS.traceStateCharsMax) return whole
  const kept = [...members]
  const charsOf = (): number => kept.join(',').length
  for (let index = kept.length - 1; index >= 0; index--) {
    if (charsOf() <= LIMITS.traceStateCharsMax) break
    if ((kept[index]?.length ?? 0) > LARGE_MEMBER_CHARS) kept.splice(index, 1)
  }
  while (charsOf() > LIMITS.traceStateCharsMax) kept.pop()
  return kept.join(',')
}

/** The headers to send on; `tracestate` only when there is something in it. */
export const traceHeaders = (
  context: SpanContext,
): { readonly traceparent: string; readonly tracestate?: string } => {
  const traceparent = formatTraceparent(context)
  return context.traceState === ''
    ? { traceparent }
    : { traceparent, tracestate: context.traceState }
}

/**
 * The context of a new span: in the parent's trace with its sampling decision, or, without a
 * parent, of a new trace that nobody has decided to sample yet.
 */
export const startSpanContext = (
  parent: SpanContext | undefined,
  random: Pick<Random, 'bytes'>,
): SpanContext => {
  const spanId = randomHexId(random, 8)
  if (parent !== undefined) return { ...parent, spanId }
  return { traceId: randomHexId(random, 16), spanId, flags: RANDOM_TRACE_ID, traceState: '' }
}

function randomHexId(random: Pick<Random, 'bytes'>, length: number): string {
  const id = toHex(random.bytes(length))
  // All zero means "no id" on the wire; chance may not produce it.
  return id === ZERO_TRACE_ID || id === ZERO_SPAN_ID ? '1'.padStart(length * 2, '0') : id
}

/** Strips what HTTP calls optional white space: blanks and tabs, and nothing else. */
function trimOws(value: string): string {
  let start = 0
  let end = value.length
  while (start < end && isOws(value.charCodeAt(start))) start += 1
  while (end > start && isOws(value.charCodeAt(end - 1))) end -= 1
  return value.slice(start, end)
}

const isOws = (code: number): boolean => code === 0x20 || code === 0x09
