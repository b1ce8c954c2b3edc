import { ERROR_CODES, type ErrorCode } from './error-codes.ts'

const MARK: unique symbol = Symbol.for('junctura.error')

export type ErrorDetails = Readonly<Record<string, unknown>>

export interface JuncturaErrorOptions {
  /** Values for the message template and for programs; never a secret or personal data. */
  readonly details?: ErrorDetails
  readonly cause?: unknown
}

/**
 * The one error class. Match on `code`, which is permanent; the message may change.
 *
 * @see docs/reference/errors.md for every code.
 */
export class JuncturaError extends Error {
  override readonly name: string = 'JuncturaError'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, options: JuncturaErrorOptions = {}) {
    const details = options.details ?? {}
    super(fillTemplate(ERROR_CODES[code].message, details), { cause: options.cause })
    this.code = code
    this.details = details
    Object.defineProperty(this, MARK, { value: true })
  }

  /** HTTP status that this error is answered with. */
  get status(): number {
    return ERROR_CODES[this.code].status
  }

  /** Whether the same request may succeed later without a change. */
  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable
  }

  /** One line: what to do about it. */
  get advice(): string {
    return ERROR_CODES[this.code].advice
  }
}

/** True for our errors, also those of another copy of this package in the same process. */
export const isJuncturaError = (value: unknown, code?: ErrorCode): value is JuncturaError =>
  typeof value === 'object' &&
  value !== null &&
  Reflect.get(value, MARK) === true &&
  (code === undefined || (value as JuncturaError).code === code)

/** The message of whatever was thrown. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown)

function fillTemplate(template: string, details: ErrorDetails): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = details[name]
    if (value === undefined) return '(not given)'
    return typeof value === 'string' ? value : JSON.stringify(value)
  })
}
