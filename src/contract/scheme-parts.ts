import { LIMITS } from '../kernel/index.ts'
import { declarationError } from './declaration-error.ts'
import type { Handshake, SchemeDefinition, SignedPart } from './scheme-types.ts'

const PART =
  /(\{(?:id|timestamp|body|method|url|form|crc32|header:[^{}]*|field:[^{}]*|lines:[^{}]*)\})/

/**
 * The parts of a template such as `{timestamp}.{body}`.
 *
 * @throws JUNCTURA_DECLARATION when a part has no name where it needs one.
 */
export const parseSigned = (template: string, field: string): readonly SignedPart[] =>
  template
    .split(PART)
    .filter((text) => text !== '')
    .map((text) => parsePart(text, field))

function parsePart(text: string, field: string): SignedPart {
  if (!PART.test(text)) return { part: 'literal', text }
  const inner = text.slice(1, -1)
  const at = inner.indexOf(':')
  const [kind, name] = at < 0 ? [inner, ''] : [inner.slice(0, at), inner.slice(at + 1)]
  switch (kind) {
    case 'id':
    case 'timestamp':
    case 'body':
    case 'method':
    case 'url':
    case 'form':
    case 'crc32':
      return { part: kind }
    default:
      break
  }
  if (name.trim() === '') {
    throw declarationError(field, `${text} names nothing`, 'write {field:some.path} and the like')
  }
  if (kind === 'header') return { part: 'header', name: name.toLowerCase() }
  if (kind === 'lines') return { part: 'lines', names: name.split(',') }
  return { part: 'field', path: name }
}

/** @throws JUNCTURA_DECLARATION naming the first thing about a definition that cannot hold. */
export const checkSchemeParts = (
  definition: SchemeDefinition,
  signed: readonly SignedPart[],
  field: string,
): void => {
  if (definition.versions.length === 0) {
    refuse(field, 'no signature is allowed', 'give one version')
  }
  for (const handshake of definition.handshakes ?? []) checkHandshake(handshake, field)
  checkPlaces(definition, signed, field)
  if (definition.format.kind === 'http-message') {
    checkMessageSignature(definition, signed, field)
    return
  }
  checkCoverage(definition, signed, field)
  checkTimestamp(definition, signed, field)
  checkId(definition, signed, field)
}

function refuse(field: string, problem: string, fix: string): never {
  throw declarationError(`${field}.signed`, problem, fix)
}

const count = (signed: readonly SignedPart[], part: SignedPart['part']): number =>
  signed.filter((each) => each.part === part).length

/** What must be signed, by what the scheme says that it covers. */
const COVERED = { body: ['body'], form: ['form'], fields: ['field', 'lines', 'crc32'] } as const

function checkCoverage(
  definition: SchemeDefinition,
  signed: readonly SignedPart[],
  field: string,
): void {
  const covers = definition.covers ?? 'body'
  if (covers === 'body' && count(signed, 'body') !== 1) {
    refuse(field, 'the body must be signed once', 'write {body} in the template')
  }
  if (!COVERED[covers].some((part) => count(signed, part) > 0) || count(signed, 'body') > 1) {
    refuse(
      field,
      `covers is ${JSON.stringify(covers)}, and nothing of that is signed once`,
      `write ${COVERED[covers].map((part) => `{${part}}`).join(' or ')} in the template`,
    )
  }
}

function checkTimestamp(
  definition: SchemeDefinition,
  signed: readonly SignedPart[],
  field: string,
): void {
  const { format, headers, timestampPath, timestampUnit } = definition
  if (count(signed, 'id') > 1) refuse(field, 'the id is signed twice', 'write {id} once')
  if (count(signed, 'timestamp') > 1) {
    refuse(field, 'the timestamp is signed twice', 'write {timestamp} once')
  }
  const inSignature = format.kind === 'comma-list' && format.timestampField !== undefined
  const inHeaders = headers.length > 0 && headers.every((each) => each.timestamp !== undefined)
  const hasTimestamp = inSignature || inHeaders || timestampPath !== undefined
  if (
    hasTimestamp === (timestampUnit !== undefined) &&
    hasTimestamp === isTimeSigned(definition, signed)
  ) {
    return
  }
  refuse(
    field,
    'a timestamp must be sent and signed, or neither',
    'give timestamp: { header } and write {timestamp} in the template, or leave out both',
  )
}

/** A time in the body is signed with the body, too. */
const isTimeSigned = (
  { timestampPath }: SchemeDefinition,
  signed: readonly SignedPart[],
): boolean =>
  count(signed, 'timestamp') > 0 ||
  (timestampPath !== undefined &&
    signed.some(
      (each) =>
        each.part === 'body' || (each.part === 'lines' && each.names.includes(timestampPath)),
    ))

function checkId(definition: SchemeDefinition, signed: readonly SignedPart[], field: string): void {
  const idAt = signed.findIndex((each) => each.part === 'id')
  if (idAt < 0) return
  const { headers, timestampUnit } = definition
  if (headers.length === 0 || !headers.every((each) => each.id !== undefined)) {
    refuse(field, 'the id is signed but no header carries it', 'give id: { header }')
  }
  // A time of RFC 3339 has one place to begin and one to end, so nothing can move into it.
  const isCertain = ({ part }: SignedPart): boolean =>
    part === 'literal' || (part === 'timestamp' && timestampUnit === 'iso')
  const neighbours = [signed[idAt - 1], signed[idAt + 1]]
  if (neighbours.every((each) => each === undefined || isCertain(each))) return
  refuse(
    field,
    'the id runs into its neighbour, so bytes could move from one to the other',
    'leave the id out of the scheme or separate it as the partner does',
  )
}

function checkPlaces(
  { headers, inBody, format }: SchemeDefinition,
  signed: readonly SignedPart[],
  field: string,
): void {
  const id = inBody?.id
  const isSigned = (each: SignedPart): boolean =>
    each.part === 'body' ||
    (each.part === 'field' && each.path === id) ||
    (each.part === 'lines' && each.names.includes(id ?? ''))
  if (id !== undefined && !signed.some(isSigned)) {
    refuse(field, `the id at ${JSON.stringify(id)} is not signed`, 'write {field:PATH} of it')
  }
  if (headers.length > 0 !== (inBody === undefined)) {
    refuse(field, 'the signature is nowhere, or in two places', 'give headers, or inBody')
  }
  if (inBody && format.kind !== 'single') {
    refuse(
      field,
      'a signature in the body stands alone',
      "write format: { kind: 'single', prefix }",
    )
  }
  const headersCount = headers.flatMap(({ more = [] }) => more).length + headers.length
  if (headersCount > LIMITS.signaturesMax) {
    refuse(field, `more than ${LIMITS.signaturesMax} headers are read`, 'name fewer headers')
  }
}

const MESSAGE_ALGORITHMS: ReadonlySet<string> = new Set([
  'hmac-sha256',
  'ed25519',
  'ecdsa-p256-sha256',
  'rsa-pss-sha512',
])

function checkMessageSignature(
  definition: SchemeDefinition,
  signed: readonly SignedPart[],
  field: string,
): void {
  const { format, versions, timestampUnit } = definition
  if (format.kind !== 'http-message') return
  if (signed.length > 0) refuse(field, 'the request says what is signed', 'leave signed out')
  if (!format.components.includes('content-digest')) {
    refuse(
      field,
      'content-digest is not among the components, so no signature would cover the body',
      "write components: ['@method', '@target-uri', 'content-digest']",
    )
  }
  if (timestampUnit !== 's') {
    refuse(field, 'the parameter created is in seconds', "write timestampUnit: 's'")
  }
  const wrong = versions.find(({ label, algorithm, encoding }) => {
    const known = MESSAGE_ALGORITHMS.has(algorithm) && label === algorithm
    return !known || encoding !== 'base64'
  })
  if (!wrong) return
  refuse(
    field,
    `${JSON.stringify(wrong.label)} is none of the algorithms ${[...MESSAGE_ALGORITHMS].join(', ')}`,
    "write the algorithm as label too, and encoding: 'base64'",
  )
}

function checkHandshake(handshake: Handshake, field: string): void {
  const { method, signed, when, answer } = handshake
  if (when.length === 0) refuse(field, 'a handshake fits every request', 'say when it applies')
  if (method === 'POST' && !signed) {
    refuse(
      field,
      'a POST that proves nothing would be answered as a handshake',
      'write signed: true',
    )
  }
  const members = answer.as === 'json' ? Object.keys(answer.members) : ['one']
  if (members.length === 0) refuse(field, 'a handshake answers nothing', 'give a member')
}
