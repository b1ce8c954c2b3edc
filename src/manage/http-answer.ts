import { problemType, titleOf } from '../ingress/index.ts'
import { ERROR_CODES, type ErrorCode, isJuncturaError, JuncturaError } from '../kernel/index.ts'
import type { ManageResponse } from './manage-request.ts'

/** Version of the bodies; a change that breaks a reader makes it 2. */
const API_SCHEMA_VERSION = 1

const COMMON: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
}

/** For answers that a browser should never run or frame, whatever is in them. */
const INERT: Readonly<Record<string, string>> = {
  ...COMMON,
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
}

export const jsonAnswer = (content: object, status = 200): ManageResponse => ({
  status,
  headers: { ...INERT, 'content-type': 'application/json' },
  body: `${JSON.stringify({ schemaVersion: API_SCHEMA_VERSION, ...content })}\n`,
})

export const textAnswer = (body: string, contentType: string): ManageResponse => ({
  status: 200,
  headers: { ...INERT, 'content-type': contentType },
  body,
})

export const streamAnswer = (body: ManageResponse['body']): ManageResponse => ({
  status: 200,
  // A proxy in between must not collect events before it hands them on.
  headers: { ...INERT, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' },
  body,
})

/**
 * Only what the page itself brings may run: no inline script or style, nothing from elsewhere, no
 * frame around it, and no text turned into markup even by mistake.
 */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

export const assetAnswer = (body: Uint8Array, contentType: string): ManageResponse => ({
  status: 200,
  headers: {
    ...COMMON,
    'content-type': contentType,
    'content-security-policy': PAGE_POLICY,
    'cross-origin-opener-policy': 'same-origin',
    'x-frame-options': 'DENY',
  },
  body,
})

/** Answers that mean something else here than where the error is thrown. */
const STATUS_HERE: Readonly<Partial<Record<ErrorCode, number>>> = {
  // Inside the runtime a defect of the code; here the caller's own data.
  JUNCTURA_EMIT_INVALID: 422,
}

/**
 * An answer that says what is wrong, for programs by `code`, for people by `detail` and `fix`.
 *
 * @see RFC 9457 section 3
 */
export const problemAnswer = (
  thrown: unknown,
  headers: Readonly<Record<string, string>> = {},
): ManageResponse => {
  const error = isJuncturaError(thrown) ? thrown : new JuncturaError('JUNCTURA_INTERNAL')
  const { message, advice } = ERROR_CODES[error.code]
  const status = STATUS_HERE[error.code] ?? error.status
  const { parameter, allowed, fix } = error.details
  const document = {
    schemaVersion: API_SCHEMA_VERSION,
    type: problemType(error.code),
    title: titleOf(error.code),
    status,
    detail: error.message === '' ? message : error.message,
    code: error.code,
    fix: typeof fix === 'string' ? fix : advice,
    ...(typeof parameter === 'string' && { parameter }),
    ...(allowed !== undefined && { allowed }),
  }
  return {
    status,
    headers: {
      ...INERT,
      'content-type': 'application/problem+json',
      ...(status === 503 && { 'retry-after': '2' }),
      ...(status === 401 && { 'www-authenticate': 'Bearer realm="junctura"' }),
      ...headers,
    },
    body: `${JSON.stringify(document)}\n`,
  }
}
