import { ERROR_CODES, type ErrorCode } from '../kernel/index.ts'
import type { IngressRequest, IngressResponse } from './ingress-request.ts'
import { problemType, titleOf } from './problem.ts'

/** What the `type` of a problem document leads to. The same for every occurrence. */
export interface ErrorDescription {
  readonly type: string
  readonly code: ErrorCode
  readonly title: string
  readonly status: number
  /** Whether the same thing may succeed later unchanged. */
  readonly retryable: boolean
  readonly advice: string
}

export const describeError = (code: ErrorCode): ErrorDescription => {
  const { status, retryable, advice } = ERROR_CODES[code]
  return { type: problemType(code), code, title: titleOf(code), status, retryable, advice }
}

/** The codes that the public listener answers with; of the others a stranger learns nothing. */
export const SENDER_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'JUNCTURA_BATCH_REFUSED',
  'JUNCTURA_BATCH_TOO_LARGE',
  'JUNCTURA_BODY_INCOMPLETE',
  'JUNCTURA_BODY_INVALID',
  'JUNCTURA_BODY_SYNTAX',
  'JUNCTURA_BODY_TOO_LARGE',
  'JUNCTURA_BODY_UNREADABLE',
  'JUNCTURA_CLOSED',
  'JUNCTURA_CONTENT_ENCODING',
  'JUNCTURA_CONTENT_TYPE',
  'JUNCTURA_EVENT_INVALID',
  'JUNCTURA_EVENT_TYPE_UNKNOWN',
  'JUNCTURA_EXPECTATION_FAILED',
  'JUNCTURA_HEADERS_TOO_LARGE',
  'JUNCTURA_INTERNAL',
  'JUNCTURA_KEY_CONFLICT',
  'JUNCTURA_KEY_IN_FLIGHT',
  'JUNCTURA_KEY_UNUSABLE',
  'JUNCTURA_MESSAGE_UNKNOWN',
  'JUNCTURA_METHOD_NOT_ALLOWED',
  'JUNCTURA_OVERLOADED',
  'JUNCTURA_RATE_LIMITED',
  'JUNCTURA_RECORD_TOO_LARGE',
  'JUNCTURA_REQUEST_MALFORMED',
  'JUNCTURA_REQUEST_SLOW',
  'JUNCTURA_ROUTE_UNKNOWN',
  'JUNCTURA_SIGNATURE_REFUSED',
  'JUNCTURA_STORE_BUSY',
  'JUNCTURA_STORE_FAILED',
  'JUNCTURA_STORE_FULL',
  'JUNCTURA_STORE_UNKNOWN',
  'JUNCTURA_URL_TOO_LONG',
  'JUNCTURA_VERSION_UNKNOWN',
])

const isSenderCode = (code: string): code is ErrorCode => SENDER_CODES.has(code)

/** The answer to a sender that follows the `type` of a problem; undefined for any other ask. */
export const answerDescription = (
  request: Pick<IngressRequest, 'method' | 'target'>,
): IngressResponse | undefined => {
  const code = /^\/errors\/([A-Z_]+)$/.exec(request.target)?.[1]
  if (request.method !== 'GET' || code === undefined || !isSenderCode(code)) return undefined
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'public, max-age=3600' },
    body: JSON.stringify(describeError(code)),
    // Its body, if it brought one, is unread.
    close: true,
  }
}
