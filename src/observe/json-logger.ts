import { styleText } from 'node:util'
import {
  type Clock,
  isJuncturaError,
  LIMITS,
  type LogFields,
  type Logger,
} from '../kernel/index.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LoggerOptions {
  /** Takes one line without its line end. Never called with a control character in it. */
  readonly write: (line: string) => void
  readonly clock: Pick<Clock, 'now'>
  /** What is less than this is not written. @default 'info' */
  readonly level?: LogLevel
}

export interface PrettyLoggerOptions extends LoggerOptions {
  /** @default false; the caller knows whether it writes to a terminal */
  readonly color?: boolean
}

/**
 * One JSON object per entry and line: `at`, `level`, `message`, then the fields. A field of one of
 * these names is written as `field.at` and so on. Whatever is logged, an entry is one line of at
 * most 16 384 characters: long values are cut, deep, wide and circular ones abridged, bytes shown
 * as their number, and control characters escaped, also those that turn text around in a terminal.
 * Masking personal data is done before.
 */
export const createJsonLogger = (options: LoggerOptions): Logger =>
  createLogger(options, ({ at, level, message, fields }) =>
    escapeControls(JSON.stringify({ at, level, message, ...fields })),
  )

/** The same for people: time, level, message and `name=value` pairs, in colour when asked. */
export const createPrettyLogger = (options: PrettyLoggerOptions): Logger => {
  const style = options.color === true ? coloured : plain
  return createLogger(options, ({ at, level, message, fields }) => {
    const pairs = Object.entries(fields).map(
      ([name, value]) => `${style('gray', `${escapeControls(name)}=`)}${valueText(value)}`,
    )
    const time = style('gray', at.slice(11, 23))
    const head = `${time} ${style(COLOURS[level], level.padEnd(5))} ${escapeControls(message)}`
    return [head, ...pairs].join(' ')
  })
}

/** A logger that adds `fields` to every entry; an entry's own field of the same name wins. */
export const withLogFields = (log: Logger, fields: LogFields): Logger => ({
  debug: (own, message) => log.debug({ ...fields, ...own }, message),
  info: (own, message) => log.info({ ...fields, ...own }, message),
  warn: (own, message) => log.warn({ ...fields, ...own }, message),
  error: (own, message) => log.error({ ...fields, ...own }, message),
})

const LEVELS: Readonly<Record<LogLevel, number>> = { debug: 10, info: 20, warn: 30, error: 40 }
const COLOURS = { debug: 'gray', info: 'green', warn: 'yellow', error: 'red' } as const
const RESERVED: ReadonlySet<string> = new Set(['at', 'level', 'message'])
/** Even when each character is escaped to six, two of these fit into a line. */
const SHORT_CHARS = 1_000

type Colour = (typeof COLOURS)[LogLevel]
// The caller has decided; node:util would otherwise look at this process's own stdout.
const coloured = (colour: Colour, text: string): string =>
  styleText(colour, text, { validateStream: false })
const plain = (_colour: Colour, text: string): string => text

interface Entry {
  readonly at: string
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

function createLogger(options: LoggerOptions, render: (entry: Entry) => string): Logger {
  const { write, clock, level = 'info' } = options
  const at = (entryLevel: LogLevel) => {
    if (LEVELS[entryLevel] < LEVELS[level]) return () => undefined
    return (fields: LogFields, message: string): void => {
      const stamp = { at: new Date(clock.now()).toISOString(), level: entryLevel }
      const kept = boundedFields(fields)
      const line = render({
        ...stamp,
        message: cutTo(message, LIMITS.logValueCharsMax),
        fields: kept,
      })
      if (line.length <= LIMITS.logLineCharsMax) return write(line)
      // Too long even with short values: say what is missing, never write half a line.
      const leftOut = cutTo(Object.keys(kept).join(', '), SHORT_CHARS)
      write(render({ ...stamp, message: cutTo(message, SHORT_CHARS), fields: { leftOut } }))
    }
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function boundedFields(fields: LogFields): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const name of Object.keys(fields).slice(0, LIMITS.logFieldsMax)) {
    const value = bounded(read(fields, name), 1)
    if (value !== undefined) kept[RESERVED.has(name) ? `field.${name}` : name] = value
  }
  return kept
}

/** A copy of `value` that JSON can hold and that is small; undefined for what is not data. */
function bounded(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return cutTo(value, LIMITS.logValueCharsMax)
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'boolean':
      return value
    case 'bigint':
      return value.toString()
    case 'object':
      return value === null ? null : boundedObject(value, depth)
    case 'symbol':
    case 'function':
    case 'undefined':
    default:
      return undefined
  }
}

function boundedObject(value: object, depth: number): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`
  if (depth >= LIMITS.logDepthMax) return Array.isArray(value) ? '<list>' : '<object>'
  if (value instanceof Error) return boundedError(value, depth)
  if (Array.isArray(value)) {
    const items: unknown[] = value
    const kept = items.slice(0, LIMITS.logItemsMax).map((item) => bounded(item, depth + 1) ?? null)
    return items.length > kept.length ? [...kept, `<${items.length - kept.length} more>`] : kept
  }
  const kept: Record<string, unknown> = {}
  for (const name of Object.keys(value).slice(0, LIMITS.logItemsMax)) {
    kept[cutTo(name, LIMITS.keyBytesMax)] = bounded(read(value, name), depth + 1)
  }
  return kept
}

function boundedError(error: Error, depth: number): Record<string, unknown> {
  return {
    name: error.name,
    message: cutTo(error.message, LIMITS.errorMessageCharsMax),
    ...(isJuncturaError(error) ? { code: error.code } : {}),
    ...(error.stack === undefined ? {} : { stack: cutTo(error.stack, LIMITS.logValueCharsMax) }),
    ...(error.cause === undefined ? {} : { cause: bounded(error.cause, depth + 1) }),
  }
}

/** A getter that throws may cost its own value and nothing else. */
function read(value: object, name: string): unknown {
  try {
    return Reflect.get(value, name)
  } catch {
    return '<unreadable>'
  }
}

function valueText(value: unknown): string {
  const isPlain = typeof value === 'string' && /^[\p{L}\p{N}_./:@+-]+$/u.test(value)
  return isPlain ? value : escapeControls(JSON.stringify(value))
}

function cutTo(text: string, charsMax: number): string {
  // Half a character at the cut would not be valid text.
  return text.length <= charsMax
    ? text
    : `${text.slice(0, charsMax - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
}

/**
 * As JSON escapes: control characters (JSON itself escapes only the first 32), line and paragraph
 * separators, and the marks that reverse or hide text (Unicode "Trojan source").
 */
function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (character) => {
      const code = character.charCodeAt(0)
      return `\\u${code.toString(16).padStart(4, '0')}`
    },
  )
}
