import type { PublicUrl, SignedScheme, ValueSource } from '../contract/index.ts'
import { valueAt } from '../contract/index.ts'
import { decodeUtf8, LIMITS } from '../kernel/index.ts'
import { readForm } from './form-fields.ts'
import type { HeaderLookup } from './signature-claim.ts'

/** The request line, as far as a sender may sign it. */
export interface RequestLine {
  readonly method: string
  /** As it stood in the request line. */
  readonly target: string
  /** The path of the webhook; what follows it in the target is kept behind the public URL. */
  readonly path: string
}

/** What a signature may be made over, each read only when a scheme asks for it. */
export interface RequestFacts {
  readonly method: string
  readonly body: Uint8Array
  /** Without its question mark, as it came. */
  query(): string
  /** The value of a header that came exactly once. */
  header(name: string): string | undefined
  /** The value of a query parameter that came exactly once, decoded. */
  queryValue(name: string): string | undefined
  /** The JSON value at a dotted path of the body. */
  field(path: string): unknown
  /** The URL by which the sender knows us; undefined when the host is none of ours. */
  url(scheme: Pick<SignedScheme, 'publicUrl' | 'urlDecodes'>): string | undefined
}

const LINE: RequestLine = { method: 'POST', target: '', path: '' }

/** Reads nothing yet. */
export const requestFacts = (input: {
  readonly headers: HeaderLookup
  readonly body: Uint8Array
  readonly request?: RequestLine | undefined
}): RequestFacts => {
  const { headers, body, request = LINE } = input
  let split: ReturnType<typeof splitTarget> | undefined
  const target = () => (split ??= splitTarget(request.target))
  let json: { readonly value: unknown } | undefined
  const header = (name: string): string | undefined => {
    const value = headers(name)
    if (typeof value === 'string') return value
    return value?.length === 1 ? value[0] : undefined
  }
  return {
    method: request.method,
    body,
    query: () => target().query,
    header,
    queryValue: (name) => queryValue(target().query, name),
    field: (at) => {
      json ??= { value: readJson(body) }
      return valueAt(json.value, at)
    },
    url: ({ publicUrl, urlDecodes }) => {
      const { path, query } = target()
      const rest = path.startsWith(request.path) ? path.slice(request.path.length) : ''
      const base = publicUrl && baseUrl(publicUrl, { path, rest, host: header('host') })
      if (base === undefined) return undefined
      return decodeListed(query === '' ? base : `${base}?${query}`, urlDecodes ?? '')
    },
  }
}

/** The text of a place in a request; undefined where it is not there once or is no scalar. */
export const textAt = (facts: RequestFacts, { from, name }: ValueSource): string | undefined => {
  if (from === 'header') return facts.header(name)
  if (from === 'query') return facts.queryValue(name)
  const value = facts.field(name)
  return value === undefined || value === null ? undefined : scalarText(value)
}

/** A value as a signer writes it; a number that is not exact has no certain text. */
export const scalarText = (value: unknown): string | undefined => {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || Number.isSafeInteger(value)) return String(value)
  return undefined
}

/** The absolute form is taken as well, as RFC 9112 section 3.2.2 asks. */
function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const absolute = /^https?:\/\/[^/?#]*/i.exec(target)
  const rest = absolute ? target.slice(absolute[0].length) : target
  const at = rest.indexOf('?')
  return at < 0 ? { path: rest, query: '' } : { path: rest.slice(0, at), query: rest.slice(at + 1) }
}

function queryValue(query: string, name: string): string | undefined {
  const values = readForm(query, LIMITS.formFieldsMax)?.filter(([each]) => each === name) ?? []
  return values.length === 1 ? values[0]?.[1] : undefined
}

/** What a host header says is believed only where it is one of ours (F102). */
function baseUrl(
  publicUrl: PublicUrl,
  seen: { readonly path: string; readonly rest: string; readonly host: string | undefined },
): string | undefined {
  if (publicUrl.from === 'declared') return publicUrl.url + seen.rest
  const host = seen.host?.toLowerCase()
  if (host === undefined || !publicUrl.hosts.includes(host)) return undefined
  return `https://${host}${seen.path}`
}

function decodeListed(url: string, listed: string): string {
  if (listed === '' || !url.includes('%')) return url
  return url.replace(/%[0-9A-Fa-f]{2}/g, (code) => {
    const character = String.fromCharCode(Number.parseInt(code.slice(1), 16))
    return listed.includes(character) ? character : code
  })
}

function readJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(decodeUtf8(body) ?? '')
  } catch {
    // No JSON, or no UTF-8: it has no fields. The border says so to whoever proves itself.
    return undefined
  }
}
