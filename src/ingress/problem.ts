import { ERROR_CODES, type ErrorCode, JuncturaError } from '../kernel/index.ts'
import type { IngressResponse } from './ingress-request.ts'

export interface ProblemOptions {
  readonly details?: Readonly<Record<string, unknown>>
  /** Every field at fault, each with its JSON Pointer. */
  readonly errors?: readonly { readonly pointer: string; readonly message: string }[]
  readonly headers?: Readonly<Record<string, string>>
  /** Members of this problem type; never a value of the sender's body. */
  readonly members?: Readonly<Record<string, unknown>>
  /** @default false */
  readonly close?: boolean
  readonly retryAfterS?: number
}

/**
 * An answer that says what is wrong, for programs by `type` and `code`, for people by `detail`.
 *
 * @see RFC 9457 section 3
 */
export const problem = (code: ErrorCode, options: ProblemOptions = {}): IngressResponse => {
  const error = new JuncturaError(code, { details: options.details ?? {} })
  const { status } = error
  const document = {
    type: problemType(code),
    title: titleOf(code),
    status,
    detail: error.message,
    code,
    ...options.members,
    ...(options.errors && { errors: options.errors.map(toProblemError) }),
  }
  const retryAfter = options.retryAfterS
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
      ...options.headers,
    },
    body: JSON.stringify(document),
    close: options.close ?? false,
  }
}

/** Stable, and relative: both listeners describe the code there (`answerDescription`). */
export const problemType = (code: ErrorCode): string => `/errors/${code}`

/** `JUNCTURA_BODY_TOO_LARGE` → `Body too large`: the same for every occurrence of a type. */
export const titleOf = (code: ErrorCode): string => {
  const words = code.slice('JUNCTURA_'.length).toLowerCase().replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

const toProblemError = ({ pointer, message }: { pointer: string; message: string }) => ({
  pointer,
  message,
})

/**
 * An answer to whatever was thrown. What the store says about itself is for the operator, so the
 * sender gets the code and the advice only.
 */
export const problemOfError = (code: ErrorCode, retryAfterS: number): IngressResponse => {
  const { status, advice } = ERROR_CODES[code]
  const body = { type: problemType(code), title: titleOf(code), status, detail: advice, code }
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      ...(status === 503 && { 'retry-after': String(retryAfterS) }),
    },
    body: JSON.stringify(body),
    close: false,
  }
}
