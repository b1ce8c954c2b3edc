import type { Duration } from '../kernel/index.ts'
import type { TokenDefinition } from './bearer-scheme.ts'
import type { SchemeDefinition, SecretForm, SignatureVersion } from './scheme-types.ts'

/** One sender: its scheme as data, and what else its documentation says of its requests. */
export interface VendorScheme {
  readonly title: string
  /** Where it is documented. */
  readonly source: string
  readonly definition: SchemeDefinition | TokenDefinition
  /** Where the message's id is, as `header(…)` or `body(…)` name it; empty where there is none. */
  readonly key: string
  /** How long it tries again, where its documentation says so. */
  readonly retriesFor?: Duration
  /** What whoever declares it must know. */
  readonly note?: string
}

export type Vendors = Readonly<Record<string, VendorScheme>>

export const VERBATIM_LINES: Pick<SchemeDefinition, 'secretForms' | 'secretSeparator'> = {
  secretForms: [{ prefix: '', encoding: 'verbatim', use: 'hmac' }],
  secretSeparator: 'line',
}

export const HEX: SignatureVersion = { label: '', algorithm: 'hmac-sha256', encoding: 'hex' }
export const BASE64: SignatureVersion = { label: '', algorithm: 'hmac-sha256', encoding: 'base64' }
export const SHA1_HEX: SignatureVersion = { label: '', algorithm: 'hmac-sha1', encoding: 'hex' }
export const SHA1_BASE64: SignatureVersion = {
  label: '',
  algorithm: 'hmac-sha1',
  encoding: 'base64',
}
export const ED25519_HEX: SignatureVersion = { label: '', algorithm: 'ed25519', encoding: 'hex' }
export const ED25519_BASE64: SignatureVersion = {
  label: '',
  algorithm: 'ed25519',
  encoding: 'base64',
}

/** A public key or a certificate as PEM, or its SPKI bytes as base64. */
export const PUBLIC_KEYS: readonly SecretForm[] = [
  { prefix: '-----BEGIN PRIVATE KEY', encoding: 'pem', use: 'private-key' },
  { prefix: '-----BEGIN', encoding: 'pem', use: 'public-key' },
  { prefix: '', encoding: 'base64', use: 'public-key' },
]

/** A keyed hash of the body in one header: what most senders do. */
export const overBody = (
  name: string,
  signature: string,
  more: Partial<SchemeDefinition> & { readonly id?: string; readonly prefix?: string } = {},
): SchemeDefinition => {
  const { id, prefix = '', ...rest } = more
  return {
    name,
    headers: [{ signature, ...(id !== undefined && { id }) }],
    format: { kind: 'single', prefix },
    versions: [HEX],
    signed: '{body}',
    ...VERBATIM_LINES,
    ...rest,
  }
}
