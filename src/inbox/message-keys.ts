import {
  type AnyContract,
  cloudEventKey,
  keyGroup,
  type KeySource,
  valueAt,
  type Webhook,
} from '../contract/index.ts'
import { LIMITS, utf8Length } from '../kernel/index.ts'
import { rawScalarAt } from '../schema/index.ts'
import type { ReadHeader } from './verified-request.ts'

export type KeyReading =
  | { readonly kind: 'found'; readonly key: string }
  | { readonly kind: 'missing' }
  /** Came twice, or is longer than a key may be: which one is meant cannot be known. */
  | { readonly kind: 'unusable'; readonly problem: string }

const MISSING: KeyReading = { kind: 'missing' }

/**
 * The value that a key source names, losslessly: a number in the body is taken as its text, so two
 * ids that differ beyond 2^53 stay two keys (F49). Several paths make one key together.
 */
export const readKey = (source: KeySource, header: ReadHeader, text: string): KeyReading => {
  if (source.from === 'header') return readHeaderKey(header(source.name), source.name)
  if (source.from === 'event') return readEventKey(header)
  const values: string[] = []
  for (const path of source.paths) {
    const raw = rawScalarAt(text, path.split('.'))
    if (raw === undefined || raw === 'null' || raw === '""') return MISSING
    // A string may be written in several ways; what it says is the key.
    values.push(raw.startsWith('"') ? String(JSON.parse(raw)) : raw)
  }
  if (values.length === 0) return MISSING
  return checkLength(values.length === 1 ? (values[0] ?? '') : JSON.stringify(values))
}

function readHeaderKey(value: ReturnType<ReadHeader>, name: string): KeyReading {
  if (value === undefined || value === '') return MISSING
  if (typeof value === 'string') return checkLength(value)
  return { kind: 'unusable', problem: `The header ${name} came more than once.` }
}

function readEventKey(header: ReadHeader): KeyReading {
  const [source, id] = [header('ce-source'), header('ce-id')]
  if (typeof source !== 'string' || typeof id !== 'string') return MISSING
  return checkLength(cloudEventKey({ source, id }))
}

function checkLength(key: string): KeyReading {
  // A character takes at most three bytes here, so most keys need no count.
  if (key.length * 3 <= LIMITS.keyBytesMax || utf8Length(key) <= LIMITS.keyBytesMax) {
    return { kind: 'found', key }
  }
  const problem = `The idempotency key is longer than ${LIMITS.keyBytesMax} bytes.`
  return { kind: 'unusable', problem }
}

export type MessageKeyReading =
  | { readonly kind: 'found'; readonly key: string; readonly covered: boolean }
  | Exclude<KeyReading, { kind: 'found' }>

/**
 * The idempotency key that a request carries. A sender's id is taken from the family of headers
 * that was verified: a request signed under `svix-*` may carry any `webhook-id` it likes.
 */
export const readMessageKey = (
  webhook: Webhook,
  header: ReadHeader,
  text: string,
): MessageKeyReading => {
  const source = webhook.idempotency.key
  if (!source) return { kind: 'missing' }
  const scheme = webhook.verify
  if (source.from !== 'header' || scheme.kind !== 'signed') {
    const read = readKey(source, header, text)
    return read.kind === 'found' ? { ...read, covered: true } : read
  }
  const isSenderId = scheme.headers.some(({ id }) => id === source.name)
  const family = scheme.headers.find(({ signature, more = [] }) =>
    [signature, ...more].some((name) => header(name) !== undefined),
  )
  const name = (isSenderId ? family?.id : undefined) ?? source.name
  const read = readKey({ from: 'header', name }, header, text)
  if (read.kind !== 'found') return read
  return { ...read, covered: isSenderId && scheme.messageId === 'signed' }
}

/** Without a key of its own, a message is what its bytes say; dedupe is never skipped (W9). */
export const keyOfBody = (bodySha256: string): string => `sha256:${bodySha256}`

export type ContractKey =
  | { readonly ok: true; readonly key: string | undefined }
  | { readonly ok: false; readonly problem: string }

const NO_KEY: ContractKey = { ok: true, key: undefined }

/** The key that a contract's paths make of an event's data; undefined where it names no path. */
export const contractKey = (paths: readonly string[], data: unknown): ContractKey => {
  const [only] = paths
  if (only === undefined) return NO_KEY
  if (paths.length === 1) {
    const value = valueAt(data, only)
    if (typeof value === 'string' && value.length * 3 <= LIMITS.keyBytesMax) {
      return { ok: true, key: value }
    }
  }
  const values: string[] = []
  for (const path of paths) {
    const value = valueAt(data, path)
    const problem = unusable(value)
    if (problem !== undefined) return { ok: false, problem: `The key "${path}" ${problem}.` }
    values.push(String(value))
  }
  const key = values.length === 1 ? (values[0] ?? '') : JSON.stringify(values)
  if (key.length * 3 > LIMITS.keyBytesMax && utf8Length(key) > LIMITS.keyBytesMax) {
    return { ok: false, problem: `The key "${paths.join(', ')}" is too long` }
  }
  return { ok: true, key }
}

function unusable(value: unknown): string | undefined {
  if (typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value !== 'number') return 'is missing or not a single value'
  // JSON.parse has rounded it already: two different ids may have become one (F49).
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return 'is a whole number beyond 2^53, which is not exact; declare it as a string'
  }
  return undefined
}

export const webhookScope = (tenant: string, webhook: string): string =>
  `${tenant}/webhook/${keyGroup(webhook)}`

/** Scope of what a request's bytes claim where its id is not covered by the signature. */
export const bodyScope = (tenant: string, webhook: string): string =>
  `${tenant}/webhook-body/${keyGroup(webhook)}`

export const factScope = (tenant: string, contract: AnyContract): string =>
  `${tenant}/fact/${contract.name}`

/** Another key with the same fingerprint took the plain scope; the next one is free of it. */
export const salted = (scope: string, salt: number): string =>
  salt === 0 ? scope : `${scope}#${salt}`

export const webhookChannel = (webhook: string): string => `webhook/${webhook}`
