import type { Duration } from '../kernel/index.ts'
import type { BearerScheme } from './bearer-scheme.ts'
import type { SecretInput, SecretReference } from './secret.ts'

/** How a webhook's sender proves itself. Plain data: it is stored and shown with the Model. */
export type SignatureScheme = SignedScheme | BearerScheme | UnsignedScheme

export interface SignedScheme {
  readonly kind: 'signed'
  readonly name: string
  /** Alternatives; the first family whose signature header is present is the one that counts. */
  readonly headers: readonly SignatureHeaders[]
  /** Where the signature is when it is no header; `headers` is empty then. */
  readonly inBody?: BodyPlaces
  /** Dotted path of a time in the JSON body, which is signed with it. */
  readonly timestampPath?: string
  readonly format: SignatureFormat
  /** The allow-list: a signature that carries no label of it is never looked at (F116). */
  readonly versions: readonly SignatureVersion[]
  /** Empty where the request itself says what is signed: HTTP Message Signatures. */
  readonly signed: readonly SignedPart[]
  /**
   * What the signature is made over: the bytes of the body, its form fields, or only some fields;
   * with `fields`, what is not signed may be changed by whoever has one genuine request.
   */
  readonly covers: 'body' | 'form' | 'fields'
  /** Headers that must come once and with this value, or the request is not of the scheme. */
  readonly fixedHeaders?: readonly FixedHeader[]
  /** A query parameter that carries the SHA-256 of the body; then the URL alone is signed. */
  readonly bodyHashInQuery?: string
  /** The URL by which the sender knows the webhook, where it signs that. */
  readonly publicUrl?: PublicUrl
  /** Percent-encoded characters that the sender signs decoded. */
  readonly urlDecodes?: string
  /** Where the certificate of the signer is named, and which hosts may be asked for it. */
  readonly certificate?: CertificateSource
  /** Requests that set up a subscription and are answered, never stored. */
  readonly handshakes?: readonly Handshake[]
  /** What a handshake must show; compared in constant time. */
  readonly handshakeSecrets?: readonly SecretReference[]
  /** Absent when nothing in the request says when it was made. */
  readonly timestampUnit?: TimestampUnit
  /** An unsigned id may be changed by whoever replays the request. */
  readonly messageId: 'signed' | 'unsigned' | 'none'
  /** Characters that an id may not hold, because they separate it from its neighbours (W11). */
  readonly messageIdExcludes: string
  /** What refuses an old request: its signed timestamp, or only the dedupe record of its body. */
  readonly replayProtection: 'timestamp' | 'dedupe'
  readonly tolerance: { readonly pastMs: number; readonly futureMs: number }
  readonly secrets: readonly SecretReference[]
  /** The first form whose prefix fits says what a secret is. */
  readonly secretForms: readonly SecretForm[]
  readonly secretSeparator: SecretSeparator
  readonly secretBytesMin: number
  readonly answer: ExpectedAnswer
}

/** Requests are taken from anyone; the reason is shown wherever the webhook is. */
export interface UnsignedScheme {
  readonly kind: 'unsigned'
  readonly name: 'unsigned'
  readonly reason: string
  readonly answer: ExpectedAnswer
}

/** Names are lower case. */
export interface SignatureHeaders {
  readonly signature: string
  /** Further headers that carry a signature each, by another key. */
  readonly more?: readonly string[]
  readonly timestamp?: string
  readonly id?: string
}

/** Dotted paths into a JSON body; an item of an array by its number. */
export interface BodyPlaces {
  readonly signature: string
  /** A value that is another one for each message, and is signed. */
  readonly id?: string
  /** An array that must have exactly one item: a second one would be signed by nobody. */
  readonly one?: string
}

export interface FixedHeader {
  readonly name: string
  readonly value: string
}

/**
 * Whole seconds, whole milliseconds, or a time of RFC 3339. `iso` is taken with a zone only.
 */
export type TimestampUnit = 's' | 'ms' | 'iso'

/**
 * The URL without its query, which is taken from the request; or the names by which this webhook
 * may be called, of which the `Host` header must be one.
 */
export type PublicUrl =
  | { readonly from: 'declared'; readonly url: string }
  | { readonly from: 'host'; readonly hosts: readonly string[] }

export interface CertificateSource {
  readonly place: ValueSource
  /** Exact names, or `*` for one label: `sns.*.amazonaws.com`. */
  readonly hosts: readonly string[]
  /** What the path starts with. */
  readonly path: string
}

/** Where a value of a request stands. */
export interface ValueSource {
  readonly from: 'header' | 'query' | 'body'
  readonly name: string
}

export interface Handshake {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'OPTIONS'
  /** All must hold. Without `equals` the value has only to be there, with `among` to be one. */
  readonly when: readonly (ValueSource & {
    readonly equals?: string | number
    readonly among?: readonly string[]
  })[]
  /** Proves itself as ever; otherwise anyone may ask, and learns only its own text. */
  readonly signed: boolean
  /** Where it shows a handshake secret. */
  readonly shows?: ValueSource
  readonly answer: HandshakeAnswer
}

/** Status 200, but 204 where there is no body to send. */
export type HandshakeAnswer =
  | { readonly as: 'nothing' }
  | { readonly as: 'text'; readonly text: AnswerValue }
  | { readonly as: 'json'; readonly members: Readonly<Record<string, AnswerValue>> }
  | { readonly as: 'headers'; readonly headers: Readonly<Record<string, AnswerValue>> }

export type AnswerValue =
  | (ValueSource & {
      /** The keyed hash of the value by the first secret, after `prefix`. */
      readonly hmac?: 'hex' | 'base64'
      readonly prefix?: string
    })
  | { readonly from: 'fixed'; readonly value: string | number }

export type SignatureFormat =
  /** `v1,AAAA v1a,BBBB` */
  | { readonly kind: 'space-list' }
  /** `t=1700000000,v1=AAAA,v1=BBBB` */
  | {
      readonly kind: 'comma-list'
      readonly timestampField?: string
      /** @default ',' */
      readonly separator?: ',' | ';'
    }
  /** One signature after a fixed prefix such as `sha256=`, which may be empty. */
  | { readonly kind: 'single'; readonly prefix: string }
  /** `signature-input` and `signature` of RFC 9421; the labels of `versions` are its algorithms. */
  | {
      readonly kind: 'http-message'
      /** What must be covered, at least. */
      readonly components: readonly string[]
      /** What the sender must write as `tag`. */
      readonly tag?: string
    }

export type SignatureAlgorithm =
  | 'hmac-sha256'
  | 'hmac-sha512'
  | 'hmac-sha1'
  | 'ed25519'
  | 'ecdsa-p256-sha256'
  | 'rsa-pss-sha512'
  | 'rsa-sha256'

export interface SignatureVersion {
  /** The label in the header; empty where the format has none. */
  readonly label: string
  readonly algorithm: SignatureAlgorithm
  /** Hexadecimal is read in either case and written in lower case. */
  readonly encoding: 'hex' | 'base64' | 'base64url'
  /** How an ECDSA signature is written. @default 'der' */
  readonly ecdsa?: 'der' | 'ieee-p1363'
}

export type SignedPart =
  | { readonly part: 'id' }
  | { readonly part: 'timestamp' }
  | { readonly part: 'body' }
  | { readonly part: 'method' }
  /** The public URL with the query of the request. */
  | { readonly part: 'url' }
  /** Fields of a form body, sorted by name, each name followed by its value. */
  | { readonly part: 'form' }
  /** The CRC-32 of the body as a decimal number. */
  | { readonly part: 'crc32' }
  | { readonly part: 'header'; readonly name: string }
  /** A scalar of the JSON body; empty where it is not there. */
  | { readonly part: 'field'; readonly path: string }
  /** `name`, a line end, its value and a line end, for each of these members that is there. */
  | { readonly part: 'lines'; readonly names: readonly string[] }
  | { readonly part: 'literal'; readonly text: string }

export interface SecretForm {
  readonly prefix: string
  /**
   * How the text after the prefix becomes bytes; `verbatim` takes the whole text as UTF-8, `token`
   * too, where it can stand in an `Authorization` header; `pem` is a whole PEM block.
   */
  readonly encoding: 'verbatim' | 'token' | 'base64' | 'hex' | 'pem'
  /** `public-key` is one of the kind that the scheme's algorithms take, SPKI or a certificate. */
  readonly use: 'hmac' | 'ed25519-public' | 'ed25519-private' | 'public-key' | 'private-key'
}

/** What separates several secrets in one value; a passphrase may hold spaces. */
export type SecretSeparator = 'whitespace' | 'line' | 'pem'

/** HTTP statuses that the sender takes as "received". */
export interface ExpectedAnswer {
  /** @default 202 */
  readonly accepted: number
  /** @default 200 */
  readonly duplicate: number
}

export interface SchemeOptions {
  readonly secret: SecretInput
  /**
   * How far the signed timestamp may lie from our clock, both edges included.
   *
   * @default 5m into the past, 5m into the future
   * @maximum 24h
   */
  readonly tolerance?: Duration | { readonly past?: Duration; readonly future?: Duration }
  readonly answer?: Partial<ExpectedAnswer>
  /**
   * Shorter secrets are refused at start. Lower it only where a partner hands out short ones.
   *
   * @default 24
   * @minimum 8
   */
  readonly secretBytesMin?: number
}

/** What a scheme needs besides its definition: who is asked, by which name, with which token. */
export interface SchemeSetting {
  /**
   * The URL of the webhook as the sender knows it, without a query: behind a proxy nothing else
   * says it. Or the host names of which the `Host` header must be one.
   */
  readonly publicUrl?: string | { readonly hosts: readonly string[] }
  /** What the sender shows in the handshake of its subscription. */
  readonly handshakeSecret?: SecretInput
}

/** A scheme without its secrets: what a preset consists of, and what you write for your own. */
export interface SchemeDefinition {
  readonly name: string
  readonly headers: readonly SignatureHeaders[]
  readonly inBody?: BodyPlaces
  readonly timestampPath?: string
  readonly format: SignatureFormat
  readonly versions: readonly SignatureVersion[]
  /**
   * What is signed, with `{id}`, `{timestamp}`, `{body}`, `{method}`, `{url}`, `{form}`,
   * `{crc32}`, `{header:NAME}`, `{field:PATH}` and `{lines:NAME,NAME}`; for example
   * `{timestamp}.{body}`. Not for HTTP Message Signatures, where the request says it.
   */
  readonly signed?: string
  /** Write `fields` to accept that the rest of the body is signed by nobody. @default 'body' */
  readonly covers?: 'body' | 'form' | 'fields'
  readonly fixedHeaders?: readonly FixedHeader[]
  readonly bodyHashInQuery?: string
  readonly urlDecodes?: string
  readonly certificate?: CertificateSource
  readonly handshakes?: readonly Handshake[]
  readonly timestampUnit?: TimestampUnit
  readonly secretForms: readonly SecretForm[]
  readonly secretSeparator: SecretSeparator
  /** @default 5m both ways */
  readonly tolerance?: { readonly past?: Duration; readonly future?: Duration }
  /** @default `{ accepted: 202, duplicate: 200 }` */
  readonly answer?: Partial<ExpectedAnswer>
  /** Where the sender hands out shorter secrets. @default 24 @minimum 8 */
  readonly secretBytesMin?: number
}
