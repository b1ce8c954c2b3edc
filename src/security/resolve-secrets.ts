import {
  describeSecret,
  type SecretReference,
  type SignatureScheme,
  type SignedScheme,
} from '../contract/index.ts'
import { decodeUtf8, JuncturaError, type Kernel, LIMITS } from '../kernel/index.ts'
import { createHandshakeKey, createSigningKey, type SigningKey } from './signing-key.ts'

/** What resolving needs of the kernel. */
export type SecretSources = Pick<Kernel, 'env' | 'files'>

export interface ResolvedSecrets {
  /**
   * In the order of the declaration, within one value as written there; the first one signs. Behind
   * them stands what a sender shows when it subscribes.
   */
  readonly keys: readonly SigningKey[]
  /** The development values in use, to be printed at start; empty in a real installation. */
  readonly developmentValues: readonly DevelopmentValue[]
}

export interface DevelopmentValue {
  /** The variable that is unset. */
  readonly source: string
  /** No secret: it stands in the source of the integration. */
  readonly value: string
}

/**
 * Reads a scheme's secrets and makes keys of them. Call it again to rotate without a restart: the
 * result is whole or an error, so the old keys stay in use when the new ones are wrong.
 *
 * A development value stands in only for an unset variable, and never while `NODE_ENV` is
 * `production`; an empty variable is an error everywhere.
 *
 * @throws JUNCTURA_SECRET_MISSING when a variable or a file is missing or empty.
 * @throws JUNCTURA_SECRET_WEAK when a secret is shorter than the scheme allows.
 * @throws JUNCTURA_SECRET_INVALID when a secret is not of the scheme's form, or there are too many.
 */
export const resolveSecrets = async (
  sources: SecretSources,
  scheme: SignatureScheme,
): Promise<ResolvedSecrets> => {
  if (scheme.kind === 'unsigned') return { keys: [], developmentValues: [] }
  const keys: SigningKey[] = []
  const developmentValues: DevelopmentValue[] = []
  for (const reference of scheme.secrets) {
    const { source } = describeSecret(reference)
    const read = await readSecret(sources, reference)
    if (read.development) developmentValues.push({ source, value: read.text })
    const texts = splitSecrets(scheme, read.text)
    if (texts.length === 0) throw missing(source, 'it is empty')
    if (keys.length + texts.length > LIMITS.secretsMax) {
      const problem = `more than ${LIMITS.secretsMax} are valid at once`
      throw new JuncturaError('JUNCTURA_SECRET_INVALID', {
        details: { source, scheme: scheme.name, problem },
      })
    }
    for (const text of texts) keys.push(createSigningKey({ scheme, text, source }))
  }
  for (const reference of (scheme.kind === 'signed' && scheme.handshakeSecrets) || []) {
    const { source } = describeSecret(reference)
    const { text, development } = await readSecret(sources, reference)
    if (development) developmentValues.push({ source, value: text })
    if (text.trim() === '') throw missing(source, 'it is empty')
    keys.push(createHandshakeKey(text.trim(), source))
  }
  return { keys, developmentValues }
}

/**
 * The text of one secret, for what is not a signature: a token, a key for an alert route.
 *
 * @throws JUNCTURA_SECRET_MISSING when the variable or the file is missing or empty.
 */
export const resolveSecretText = async (
  sources: SecretSources,
  reference: SecretReference,
): Promise<string> => {
  const text = (await readSecret(sources, reference)).text.trim()
  if (text === '') throw missing(describeSecret(reference).source, 'it is empty')
  return text
}

interface ReadSecret {
  readonly text: string
  readonly development: boolean
}

async function readSecret(sources: SecretSources, reference: SecretReference): Promise<ReadSecret> {
  if (reference.kind === 'file') {
    return { text: await readFile(sources, reference.path), development: false }
  }
  const value = sources.env(reference.name)
  if (value !== undefined) {
    if (Buffer.byteLength(value) > LIMITS.secretSourceBytesMax) {
      throw missing(reference.name, 'it is too long to hold secrets')
    }
    return { text: value, development: false }
  }
  if (reference.development === undefined) {
    throw missing(reference.name, 'the environment variable is not set')
  }
  if (sources.env('NODE_ENV') === 'production') {
    throw missing(
      reference.name,
      'the environment variable is not set, and a development value is refused in production',
    )
  }
  return { text: reference.development, development: true }
}

async function readFile(sources: SecretSources, path: string): Promise<string> {
  let bytes: Uint8Array
  try {
    bytes = await sources.files.read(path)
  } catch (cause) {
    throw missing(path, 'the file cannot be read', cause)
  }
  if (bytes.length > LIMITS.secretSourceBytesMax) {
    throw missing(path, 'the file is too large to hold secrets')
  }
  const text = decodeUtf8(bytes)
  if (text === undefined) throw missing(path, 'the file is not UTF-8 text')
  return text
}

function splitSecrets(
  scheme: Pick<SignedScheme, 'secretSeparator'>,
  text: string,
): readonly string[] {
  const isPem = scheme.secretSeparator === 'pem' && text.includes('-----BEGIN')
  const separator = isPem
    ? /(?<=-----END [A-Z0-9 ]{1,40}-----)/
    : scheme.secretSeparator === 'line'
      ? /[\r\n]+/
      : /\s+/
  const texts = text.split(separator).map((each) => each.trim())
  return [...new Set(texts)].filter((each) => each !== '')
}

const missing = (source: string, problem: string, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_SECRET_MISSING', { details: { source, problem }, cause })
