import { LIMITS } from '../kernel/index.ts'
import { declarationError } from './declaration-error.ts'

/**
 * Where a secret is found, never the secret itself. The value is read at start (see the security
 * room), so a declaration, the Model and every log of them are free of secrets.
 */
export type SecretReference = EnvSecretReference | FileSecretReference

export interface EnvSecretReference {
  readonly kind: 'env'
  readonly name: string
  /** Hidden from enumeration, so that JSON, spreading, logging and inspecting leave it out. */
  readonly development?: string
}

export interface FileSecretReference {
  readonly kind: 'file'
  readonly path: string
}

/** One secret, or several that are valid at once while rotating; the first one signs. */
export type SecretInput = SecretReference | readonly SecretReference[]

export interface EnvSecretOptions {
  /**
   * A value for a developer's machine when the variable is unset. Whoever reads the source knows
   * it: it is printed when used, and refused when `NODE_ENV` is `production`.
   */
  readonly development?: string
}

/** What the Model says of a secret. */
export interface SecretDescription {
  readonly kind: 'env' | 'file'
  readonly source: string
  /** Whether a start without the real value falls back to a development value. */
  readonly hasDevelopmentValue: boolean
}

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/

/**
 * References to secrets. One variable or file may hold several, separated by white space (the new
 * one first), so that a rotation needs no change of code.
 *
 * @throws JUNCTURA_DECLARATION when a secret was written where its name belongs.
 * @example standardWebhooks({ secret: secret.env('ACME_WEBHOOK_SECRET') })
 */
export const secret: {
  readonly env: (name: string, options?: EnvSecretOptions) => EnvSecretReference
  readonly file: (path: string) => FileSecretReference
} = {
  env: (name, options = {}) => {
    // The message must not repeat the argument: it may be the secret itself.
    if (typeof name !== 'string' || !VARIABLE.test(name) || looksLikeSecret(name)) {
      throw declarationError(
        'secret.env',
        'the argument is not the name of an environment variable',
        'write the name of the variable that holds the secret, never the secret',
      )
    }
    const reference: EnvSecretReference = { kind: 'env', name }
    if (options.development !== undefined) {
      Object.defineProperty(reference, 'development', { value: options.development })
    }
    return Object.freeze(reference)
  },
  file: (path) => {
    if (typeof path !== 'string' || path === '' || path.includes('\0') || looksLikeSecret(path)) {
      throw declarationError(
        'secret.file',
        'the argument is not a path',
        'write the path of the file that holds the secret, never the secret',
      )
    }
    return Object.freeze({ kind: 'file', path })
  },
}

/** The reference as the Model and the documents show it. */
export const describeSecret = (reference: SecretReference): SecretDescription => ({
  kind: reference.kind,
  source: reference.kind === 'env' ? reference.name : reference.path,
  hasDevelopmentValue: reference.kind === 'env' && reference.development !== undefined,
})

/**
 * The references as a list.
 *
 * @throws JUNCTURA_DECLARATION when there is none, too many, or something else than a reference.
 */
export const secretReferences = (input: SecretInput, field: string): readonly SecretReference[] => {
  const list: readonly unknown[] = Array.isArray(input) ? input : [input]
  if (list.length === 0 || list.length > LIMITS.secretsMax) {
    throw declarationError(
      field,
      `${list.length} secrets are given`,
      `give one, or at most ${LIMITS.secretsMax} while rotating`,
    )
  }
  const references = list.filter(isSecretReference)
  if (references.length === list.length) return Object.freeze(references)
  throw declarationError(
    field,
    'this is not a reference to a secret',
    "write secret.env('NAME') or secret.file('/path'), so that no secret stands in the source",
  )
}

export const isSecretReference = (value: unknown): value is SecretReference => {
  if (typeof value !== 'object' || value === null) return false
  const kind: unknown = Reflect.get(value, 'kind')
  if (kind === 'env') return typeof Reflect.get(value, 'name') === 'string'
  return kind === 'file' && typeof Reflect.get(value, 'path') === 'string'
}

const looksLikeSecret = (text: string): boolean => /^(?:whsec_|whsk_|whpk_|sk_live_)/.test(text)
