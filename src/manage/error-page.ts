import { describeError } from '../ingress/index.ts'
import { ERROR_CODES, type ErrorCode, JuncturaError } from '../kernel/index.ts'
import { jsonAnswer, textAnswer } from './http-answer.ts'
import type { ManageResponse } from './manage-request.ts'
import type { RequestFields } from './request-fields.ts'

const PREFIX = '/errors/'

export const isErrorPath = (path: string): boolean => path.startsWith(PREFIX)

/**
 * What the `type` of a problem document leads to: every code, as a page for a browser and as JSON
 * for everyone else. It is the same text for each occurrence, so it needs no token.
 *
 * @throws JUNCTURA_RESOURCE_UNKNOWN for what is no code.
 */
export const answerErrorPage = (fields: RequestFields): ManageResponse => {
  const code = fields.path.slice(PREFIX.length)
  if (!isErrorCode(code)) {
    throw new JuncturaError('JUNCTURA_RESOURCE_UNKNOWN', { details: { kind: 'error code' } })
  }
  const description = { ...describeError(code), message: ERROR_CODES[code].message }
  if (!(fields.header('accept') ?? '').includes('text/html')) return jsonAnswer(description)
  const { title, status, retryable, advice, message } = description
  const lines = [
    '<!doctype html><html lang="en"><meta charset="utf-8">',
    `<title>${code}</title><h1>${title}</h1><p><code>${code}</code></p>`,
    `<p>${escapeHtml(message)}</p><p>${escapeHtml(advice)}</p>`,
    `<p>HTTP status ${status}. The same thing again ${retryable ? 'may' : 'will not'} succeed later.</p>`,
    `<p>More: <code>junctura explain ${code}</code></p></html>`,
  ]
  return textAnswer(`${lines.join('\n')}\n`, 'text/html; charset=utf-8')
}

const isErrorCode = (text: string): text is ErrorCode => Object.hasOwn(ERROR_CODES, text)

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
