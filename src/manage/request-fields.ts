import { JuncturaError, LIMITS } from '../kernel/index.ts'
import type { ManageRequest } from './manage-request.ts'

/** Headers that decide something. Two of them mean that two readers may see two requests (F104). */
const SINGLE: ReadonlySet<string> = new Set([
  'host',
  'authorization',
  'origin',
  'content-type',
  'sec-fetch-site',
  'sec-fetch-mode',
  'last-event-id',
])

/** What of a request line and its headers the API decides by. */
export interface RequestFields {
  readonly path: string
  /** Without the question mark. */
  readonly query: string
  header(name: string): string | undefined
}

/**
 * @throws JUNCTURA_URL_TOO_LONG, JUNCTURA_HEADERS_TOO_LARGE past their limits;
 * JUNCTURA_REQUEST_MALFORMED when a deciding header came twice or the target is no path.
 */
export const readRequestFields = (request: ManageRequest): RequestFields => {
  const { target, rawHeaders } = request
  if (target.length > LIMITS.urlBytesMax) {
    throw new JuncturaError('JUNCTURA_URL_TOO_LONG', { details: { maximum: LIMITS.urlBytesMax } })
  }
  if (rawHeaders.length / 2 > LIMITS.headersMax) {
    throw new JuncturaError('JUNCTURA_HEADERS_TOO_LARGE')
  }
  if (!target.startsWith('/')) throw new JuncturaError('JUNCTURA_REQUEST_MALFORMED')
  const headers = new Map<string, string>()
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    if (headers.has(name) && SINGLE.has(name)) {
      throw new JuncturaError('JUNCTURA_REQUEST_MALFORMED')
    }
    headers.set(name, rawHeaders[index + 1] ?? '')
  }
  const mark = target.indexOf('?')
  return {
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? '' : target.slice(mark + 1),
    header: (name) => headers.get(name),
  }
}
