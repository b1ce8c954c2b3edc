import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createPublicSigningKey, fitsAlgorithm } from './signing-key.ts'

const forms = {
  name: 'test',
  secretForms: [],
  secretBytesMin: 16,
  versions: [{ algorithm: 'rsa-pss-sha512' }],
} as const

const pssKey = (hashAlgorithm?: 'sha256' | 'sha512') =>
  generateKeyPairSync('rsa-pss', {
    modulusLength: 2_048,
    ...(hashAlgorithm && { hashAlgorithm, mgf1HashAlgorithm: hashAlgorithm }),
  }).publicKey

const read = (publicKey: ReturnType<typeof pssKey>) =>
  createPublicSigningKey({ scheme: forms, source: 'KEY' }, publicKey)

describe('a key that is for PSS alone', () => {
  it('is refused at start where its own rules forbid the algorithm, not with each request', () => {
    expect(() => read(pssKey('sha256'))).toThrow('does not fit the scheme')
  })

  it('is taken where it allows the algorithm', () => {
    for (const key of [pssKey(), pssKey('sha512')]) {
      expect(fitsAlgorithm(read(key), 'rsa-pss-sha512')).toBe(true)
      expect(fitsAlgorithm(read(key), 'rsa-sha256')).toBe(false)
    }
  })
})
