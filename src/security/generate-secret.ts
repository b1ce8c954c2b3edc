import { type Random, toBase64 } from '../kernel/index.ts'
import { ed25519PrivateKey, ed25519PublicBytes } from './signing-key.ts'

/** 256 bits; Standard Webhooks allows 24 to 64 bytes. */
const SECRET_BYTES = 32

/**
 * A fresh `whsec_…` secret for Standard Webhooks. Use it with the system's chance only: a seeded
 * one gives the same secret to everyone.
 */
export const generateSecret = (random: Random): string =>
  `whsec_${toBase64(random.bytes(SECRET_BYTES))}`

export interface Ed25519Secrets {
  /** `whsk_…`, 64 bytes: seed and public key. Stays with the sender. */
  readonly privateKey: string
  /** `whpk_…`, 32 bytes. Goes to the receivers. */
  readonly publicKey: string
}

/** A fresh pair of keys for the `v1a` signatures of Standard Webhooks. */
export const generateKeyPair = (random: Random): Ed25519Secrets => {
  const seed = random.bytes(SECRET_BYTES)
  const publicBytes = ed25519PublicBytes(ed25519PrivateKey(seed))
  return {
    privateKey: `whsk_${toBase64(Buffer.concat([seed, publicBytes]))}`,
    publicKey: `whpk_${toBase64(publicBytes)}`,
  }
}
