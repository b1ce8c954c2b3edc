import {
  type AnyContract,
  type CloudEventAttributes,
  eventVersion,
  type KeySource,
  type Webhook,
} from '../contract/index.ts'
import type { FieldError, JsonFault } from '../schema/index.ts'
import type { ContractBook } from './contract-book.ts'
import { contractKey, readKey, readMessageKey } from './message-keys.ts'
import { parseBody } from './parse-body.ts'
import type { ReadHeader } from './verified-request.ts'

/** What is in a body, or why it cannot be taken. */
export type BodyCheck =
  | {
      readonly ok: true
      readonly data: unknown
      readonly text: string
      readonly version: number
      /** The idempotency key that was sent; without one it is derived from the bytes. */
      readonly key: string | undefined
      /** Whether the sender's signature covers the key. */
      readonly keyCovered: boolean
    }
  | {
      readonly ok: false
      /** All but `key` are kept as invalid. */
      readonly reason: 'syntax' | 'version' | 'schema' | 'key'
      /** Which rule of JSON was broken, for reason `syntax`. */
      readonly fault?: JsonFault
      readonly version: number | null
      readonly detail: string
      readonly errors: readonly BodyError[]
    }

export type BodyError = Pick<FieldError, 'pointer' | 'message'>

/** Parses strictly, finds the version, validates against it, reads the idempotency key. */
export const checkBody = (
  webhook: Webhook,
  request: {
    readonly raw: Uint8Array
    readonly header: ReadHeader
    /** @default 'application/json' */
    readonly mediaType?: string
  },
  book: ContractBook,
): BodyCheck => {
  const parsed = parseBody(request.raw, request.mediaType)
  if (!parsed.ok) {
    const errors = [{ pointer: '', message: parsed.detail }]
    const { reason: fault, detail } = parsed
    return { ok: false, reason: 'syntax', fault, version: null, detail, errors }
  }
  const contract = webhook.accepts
  const version = readVersion(webhook, request.header, parsed.text)
  if (version === undefined || !contract.versions.has(version)) {
    return unknownVersion(webhook, version)
  }
  const validation = book.validate(contract, version, parsed.value)
  if (!validation.ok) {
    const detail = `The body is not valid as ${contract.name} version ${version}.`
    return { ok: false, reason: 'schema', version, detail, errors: validation.errors }
  }
  const keyless = webhook.endpoint && keyProblem(contract, version, parsed.value)
  if (keyless !== undefined) {
    const errors = [{ pointer: '', message: keyless }]
    return { ok: false, reason: 'schema', version, detail: keyless, errors }
  }
  const read = readMessageKey(webhook, request.header, parsed.text)
  if (read.kind === 'unusable') {
    const errors = [{ pointer: sourcePointer(webhook.idempotency.key), message: read.problem }]
    return { ok: false, reason: 'key', version, detail: read.problem, errors }
  }
  const { value: data, text } = parsed
  if (read.kind === 'missing') {
    return { ok: true, data, text, version, key: undefined, keyCovered: true }
  }
  return { ok: true, data, text, version, key: read.key, keyCovered: read.covered }
}

/** Who publishes our own event can mend it; a partner could not know what our event is made of. */
function keyProblem(contract: AnyContract, version: number, data: unknown): string | undefined {
  if (version !== contract.latest) return undefined
  const keys = [contract.key, contract.fact?.paths ?? []].map((paths) => contractKey(paths, data))
  return keys.flatMap((key) => (key.ok ? [] : key.problem))[0]
}

/** A version is a plain whole number, also where it is written as text. */
const VERSION = /^[1-9]\d{0,8}$/

function readVersion(webhook: Webhook, header: ReadHeader, text: string): number | undefined {
  const contract = webhook.accepts
  if (!webhook.version) return contract.versions.size === 1 ? contract.latest : undefined
  if (webhook.version.from === 'event') return eventVersion(eventAttributes(header), contract)
  const found = readKey(webhook.version, header, text)
  if (found.kind !== 'found' || !VERSION.test(found.key)) return undefined
  return Number(found.key)
}

/** What of an event's attributes says its version. */
function eventAttributes(header: ReadHeader): CloudEventAttributes {
  const said = ['contractversion', 'dataschema', 'type'].map((name) => [name, header(`ce-${name}`)])
  return Object.fromEntries(said.filter(([, value]) => typeof value === 'string'))
}

function unknownVersion(webhook: Webhook, version: number | undefined): BodyCheck {
  const known = knownVersions(webhook.accepts)
  const detail =
    version === undefined
      ? `The body does not say its version; known are ${known}.`
      : `Version ${version} of ${webhook.accepts.name} is not known; known are ${known}.`
  const errors = [{ pointer: sourcePointer(webhook.version), message: detail }]
  return { ok: false, reason: 'version', version: version ?? null, detail, errors }
}

const knownVersions = (contract: AnyContract): string => [...contract.versions.keys()].join(', ')

/** A header has no pointer into the body; the document as a whole is at fault then. */
const sourcePointer = (source: KeySource | undefined): string =>
  source?.from === 'body' ? `/${(source.paths[0] ?? '').replaceAll('.', '/')}` : ''
