import { type SecretForm, type ExpectedAnswer } from './signature-scheme.ts'
import { type SecretInput, type SecretReference, secretReferences } from './secret.ts'

/** A sender that shows a token. Plain data, as every scheme. */
export interface BearerScheme {
  readonly kind: 'bearer'
  readonly name: 'bearer'
  readonly secrets: readonly SecretReference[]
  readonly secretForms: readonly SecretForm[]
  readonly secretSeparator: 'whitespace'
  readonly secretBytesMin: number
  readonly answer: ExpectedAnswer
}

/** 256 bits as base64 have 43 characters; this is the least that nobody guesses. */
const TOKEN_CHARS_MIN = 24

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
  Object.freeze<BearerScheme>({
    kind: 'bearer',
    name: 'bearer',
    secrets: secretReferences(options.secret, 'verify bearer.secret'),
    secretForms: [{ prefix: '', encoding: 'token', use: 'hmac' }],
    secretSeparator: 'whitespace',
    secretBytesMin: TOKEN_CHARS_MIN,
    answer: { accepted: 202, duplicate: 200 },
  })
