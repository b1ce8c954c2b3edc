import { type Duration, durationMs, LIMITS } from '../kernel/index.ts'
import { declarationError } from './declaration-error.ts'
import { checkSchemeParts, parseSigned } from './scheme-parts.ts'
import type {
  ExpectedAnswer,
  PublicUrl,
  SchemeDefinition,
  SchemeOptions,
  SchemeSetting,
  SignatureHeaders,
  SignedPart,
  SignedScheme,
} from './scheme-types.ts'
import { secretReferences } from './secret.ts'

/**
 * Makes a scheme from its definition; every preset is made by it, and so is your own.
 *
 * @throws JUNCTURA_DECLARATION when the definition could be verified without covering the body and
 * does not say so, needs a setting that is not given, or an option is out of its bounds.
 */
export const signatureScheme = (
  definition: SchemeDefinition,
  options: Partial<SchemeOptions> & SchemeSetting,
): SignedScheme => {
  const field = `verify ${definition.name}`
  const signed = parseSigned(definition.signed ?? '', `${field}.signed`)
  const headers = definition.headers.map((family) => checkHeaders(family, field))
  checkSchemeParts(definition, signed, field)
  const { timestampUnit } = definition
  const hasId = headers.some((family) => family.id !== undefined)
  const idSigned = isIdSigned(definition, signed)
  const publicUrl = resolvePublicUrl(definition, signed, { options, field })
  const handshakeSecrets = resolveHandshakeSecrets(definition, options, field)
  const secretBytesMin = options.secretBytesMin ?? definition.secretBytesMin ?? SECRET_BYTES_MIN
  return Object.freeze({
    kind: 'signed',
    name: definition.name,
    headers,
    ...pick(definition, ['inBody', 'timestampPath', 'bodyHashInQuery', 'urlDecodes']),
    ...pick(definition, ['fixedHeaders', 'handshakes']),
    // A certificate that was given is not fetched.
    ...(options.secret === undefined && pick(definition, ['certificate'])),
    format: definition.format,
    versions: definition.versions,
    signed,
    covers: definition.covers ?? 'body',
    ...(publicUrl && { publicUrl }),
    ...(handshakeSecrets && { handshakeSecrets }),
    ...(timestampUnit === undefined ? {} : { timestampUnit }),
    messageId: idSigned ? 'signed' : hasId ? 'unsigned' : 'none',
    messageIdExcludes: neighboursOfId(signed),
    replayProtection: timestampUnit === undefined ? 'dedupe' : 'timestamp',
    tolerance: resolveTolerance(options.tolerance ?? definition.tolerance, field),
    secrets: resolveSecretReferences(definition, options, field),
    secretForms: definition.secretForms,
    secretSeparator: definition.secretSeparator,
    secretBytesMin: checkSecretBytesMin(secretBytesMin, field),
    answer: expectedAnswer({ ...definition.answer, ...options.answer }),
  })
}

/** The least that Standard Webhooks allows, and a fair demand of anyone (F117). */
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_FLOOR = 8
const TOLERANCE: Duration = '5m'

function pick<T extends object, K extends keyof T>(
  from: T,
  names: readonly K[],
): Partial<Pick<T, K>> {
  const picked: Partial<Pick<T, K>> = {}
  for (const name of names) if (from[name] !== undefined) picked[name] = from[name]
  return picked
}

function isIdSigned(definition: SchemeDefinition, signed: readonly SignedPart[]): boolean {
  const { format, headers, inBody } = definition
  if (inBody) return inBody.id !== undefined
  if (format.kind !== 'http-message') return signed.some((part) => part.part === 'id')
  const [family] = headers
  return family?.id !== undefined && format.components.includes(family.id.toLowerCase())
}

/** The characters beside the id; without them in the id, its ends are certain (W11). */
function neighboursOfId(signed: readonly SignedPart[]): string {
  const idAt = signed.findIndex((each) => each.part === 'id')
  if (idAt < 0) return ''
  const before = signed[idAt - 1]
  const after = signed[idAt + 1]
  const last = before?.part === 'literal' ? before.text.slice(-1) : ''
  const first = after?.part === 'literal' ? after.text.slice(0, 1) : ''
  return last === first ? first : last + first
}

const HEADER_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/

function checkHeaders(family: SignatureHeaders, field: string): SignatureHeaders {
  const lower = (name: string, key: string): string => {
    const text = typeof name === 'string' ? name.toLowerCase() : ''
    if (HEADER_NAME.test(text)) return text
    throw declarationError(
      `${field}.${key}`,
      `${JSON.stringify(name)} is not the name of a header`,
      'use letters, digits and "-"',
    )
  }
  const { signature, more, timestamp, id } = family
  return {
    signature: lower(signature, 'signature'),
    ...(more && { more: more.map((name) => lower(name, 'more')) }),
    ...(timestamp !== undefined && { timestamp: lower(timestamp, 'timestamp') }),
    ...(id !== undefined && { id: lower(id, 'id') }),
  }
}

const URL_COMPONENTS = ['@target-uri', '@authority', '@path', '@scheme', '@request-target']

function resolvePublicUrl(
  definition: SchemeDefinition,
  signed: readonly SignedPart[],
  given: { readonly options: SchemeSetting; readonly field: string },
): PublicUrl | undefined {
  const { format } = definition
  const isSigned =
    signed.some(({ part }) => part === 'url') ||
    (format.kind === 'http-message' &&
      format.components.some((name) => URL_COMPONENTS.includes(name)))
  const { publicUrl } = given.options
  const field = `${given.field}.publicUrl`
  if (!isSigned) return undefined
  if (publicUrl === undefined) {
    throw declarationError(
      field,
      'the sender signs the URL, which a server behind a proxy does not know',
      "write the URL as you gave it to the sender: publicUrl: 'https://example.com/webhooks/acme'",
    )
  }
  if (typeof publicUrl !== 'string') return { from: 'host', hosts: checkHosts(publicUrl, field) }
  if (!isPublicUrl(publicUrl)) {
    throw declarationError(
      field,
      `${JSON.stringify(publicUrl)} is not an absolute http(s) URL without query, fragment and user`,
      "write 'https://example.com/webhooks/acme'; the query is taken from each request",
    )
  }
  return { from: 'declared', url: publicUrl }
}

function isPublicUrl(text: string): boolean {
  if (/[?#\s]/.test(text) || !URL.canParse(text)) return false
  const url = new URL(text)
  return /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
}

const HOST = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::\d{1,5})?$/

function checkHosts(given: { readonly hosts: readonly string[] }, field: string): string[] {
  const hosts = Array.isArray(given.hosts) ? given.hosts.map(String) : []
  if (hosts.length > 0 && hosts.every((host) => HOST.test(host))) return hosts
  throw declarationError(
    `${field}.hosts`,
    `${JSON.stringify(given.hosts)} is not a list of host names`,
    "write hosts: ['hooks.example.com'] in lower case, with the port where the sender has one",
  )
}

function resolveHandshakeSecrets(
  definition: SchemeDefinition,
  { handshakeSecret }: SchemeSetting,
  field: string,
): SignedScheme['handshakeSecrets'] {
  const isShown = definition.handshakes?.some(({ shows }) => shows !== undefined) ?? false
  if (!isShown) return undefined
  if (handshakeSecret !== undefined) {
    return secretReferences(handshakeSecret, `${field}.handshakeSecret`)
  }
  throw declarationError(
    `${field}.handshakeSecret`,
    'the sender shows a token when it subscribes, and there is none to compare it with',
    'give the token that you typed in at the sender: secret.env("PARTNER_VERIFY_TOKEN")',
  )
}

function resolveSecretReferences(
  { certificate }: SchemeDefinition,
  { secret }: Partial<SchemeOptions>,
  field: string,
): SignedScheme['secrets'] {
  if (secret === undefined && certificate) return []
  return secretReferences(secret ?? [], `${field}.secret`)
}

function resolveTolerance(
  tolerance: SchemeOptions['tolerance'],
  field: string,
): { readonly pastMs: number; readonly futureMs: number } {
  const both = typeof tolerance === 'object' ? undefined : tolerance
  const apart = typeof tolerance === 'object' ? tolerance : {}
  const read = (value: Duration, name: string): number => {
    const ms = durationMs(value, `${field}.${name}`)
    if (ms <= LIMITS.toleranceMsMax) return ms
    throw declarationError(`${field}.${name}`, 'the tolerance is above 24h', 'give at most 24h')
  }
  return {
    pastMs: read(apart.past ?? both ?? TOLERANCE, 'tolerance.past'),
    futureMs: read(apart.future ?? both ?? TOLERANCE, 'tolerance.future'),
  }
}

function checkSecretBytesMin(bytes: number, field: string): number {
  if (Number.isInteger(bytes) && bytes >= SECRET_BYTES_FLOOR) return bytes
  throw declarationError(
    `${field}.secretBytesMin`,
    `${bytes} is too low to be a lock`,
    `give a whole number of at least ${SECRET_BYTES_FLOOR}`,
  )
}

/** @throws JUNCTURA_DECLARATION when a status would tell the sender to try again. */
export const expectedAnswer = (answer: Partial<ExpectedAnswer> = {}): ExpectedAnswer => {
  const resolved = { accepted: 202, duplicate: 200, ...answer }
  for (const [key, status] of Object.entries(resolved)) {
    if (Number.isInteger(status) && status >= 200 && status <= 299) continue
    throw declarationError(
      `answer.${key}`,
      `${status} does not tell the sender that the message was received`,
      'give a status from 200 to 299',
    )
  }
  return resolved
}
