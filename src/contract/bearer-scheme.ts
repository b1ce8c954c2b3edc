import { declarationError } from './declaration-error.ts'
import { expectedAnswer } from './signature-scheme.ts'
import type { ExpectedAnswer, Handshake, SecretForm } from './scheme-types.ts'
import { type SecretInput, type SecretReference, secretReferences } from './secret.ts'

/** A sender that shows a token. Plain data, as every scheme. */
export interface BearerScheme {
  readonly kind: 'bearer'
  readonly name: string
  /** Where the token stands, in lower case. @default 'authorization' */
  readonly header?: string
  /** Whether `Bearer` stands before it. @default true */
  readonly isBare?: boolean
  readonly handshakes?: readonly Handshake[]
  readonly secrets: readonly SecretReference[]
  readonly secretForms: readonly SecretForm[]
  readonly secretSeparator: 'whitespace'
  readonly secretBytesMin: number
  readonly answer: ExpectedAnswer
}

/** 256 bits as base64 have 43 characters; this is the least that nobody guesses. */
const TOKEN_CHARS_MIN = 24
const TOKEN_CHARS_FLOOR = 8

/**
 * A token in `Authorization: Bearer …`, compared in constant time. It proves who sends, and says
 * nothing of the body: use it over TLS, or inside a network that is trusted, and prefer a signature
 * where the sender can make one. Several tokens, in one variable or in several, are valid at once,
 * so that each program has its own and a rotation needs no pause.
 *
 * A token has at least 24 characters of `A-Z a-z 0-9 . _ ~ + / -`, and may end in `=`.
 *
 * @throws JUNCTURA_DECLARATION when what is given is no reference to a secret.
 * @see RFC 6750 section 2.1
 */
export const bearer = (options: { readonly secret: SecretInput }): BearerScheme =>
  tokenScheme({ name: 'bearer' }, options)

/** A scheme whose sender shows a token, without its secret. */
export interface TokenDefinition {
  readonly name: string
  /** @default 'authorization' */
  readonly header?: string
  /** The token alone, without the word `Bearer`. @default false */
  readonly isBare?: boolean
  readonly handshakes?: readonly Handshake[]
}

export interface TokenOptions {
  readonly secret: SecretInput
  readonly answer?: Partial<ExpectedAnswer>
  /** @default 24 @minimum 8 */
  readonly secretBytesMin?: number
}

/**
 * A sender that shows a token, in any header. What is said of `bearer` holds.
 *
 * @throws JUNCTURA_DECLARATION when the header has no name, or an option is out of its bounds.
 */
export const tokenScheme = (definition: TokenDefinition, options: TokenOptions): BearerScheme => {
  const { name, header, isBare, handshakes } = definition
  const field = `verify ${name}`
  if (header !== undefined && !/^[A-Za-z0-9-]{1,100}$/.test(header)) {
    throw declarationError(
      `${field}.header`,
      `${JSON.stringify(header)} is not the name of a header`,
      'use letters, digits and "-"',
    )
  }
  const secretBytesMin = options.secretBytesMin ?? TOKEN_CHARS_MIN
  if (!Number.isInteger(secretBytesMin) || secretBytesMin < TOKEN_CHARS_FLOOR) {
    throw declarationError(
      `${field}.secretBytesMin`,
      `${secretBytesMin} is too low to be a lock`,
      `give a whole number of at least ${TOKEN_CHARS_FLOOR}`,
    )
  }
  return Object.freeze<BearerScheme>({
    kind: 'bearer',
    name,
    ...(header !== undefined && { header: header.toLowerCase() }),
    ...(isBare && { isBare }),
    ...(handshakes && { handshakes }),
    secrets: secretReferences(options.secret, `${field}.secret`),
    secretForms: [{ prefix: '', encoding: 'token', use: 'hmac' }],
    secretSeparator: 'whitespace',
    secretBytesMin,
    answer: expectedAnswer(options.answer),
  })
}
