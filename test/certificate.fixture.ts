import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** A certificate that signs itself, and its private key. */
export interface TestCertificate {
  readonly pem: Uint8Array
  readonly privateKey: KeyObject
}

const der = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  const head = length < 128 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), content])
}

const SEQUENCE = 0x30
/** sha256WithRSAEncryption, with NULL parameters. */
const ALGORITHM = der(SEQUENCE, Buffer.from('06092a864886f70d01010b0500', 'hex'))

/** X.509 version 1, RSA of 2048 bits; times are two digits for each part, from the year on. */
export const makeCertificate = (
  validFrom = '240101000000Z',
  validTo = '391231235959Z',
): TestCertificate => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const commonName = der(
    SEQUENCE,
    Buffer.from('0603550403', 'hex'),
    der(0x0c, Buffer.from('partner')),
  )
  const name = der(SEQUENCE, der(0x31, commonName))
  const validity = der(SEQUENCE, der(0x17, Buffer.from(validFrom)), der(0x17, Buffer.from(validTo)))
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  const body = der(SEQUENCE, Buffer.from('020101', 'hex'), ALGORITHM, name, validity, name, spki)
  const signature = sign('sha256', body, privateKey)
  const certificate = der(SEQUENCE, body, ALGORITHM, der(0x03, Buffer.from([0]), signature))
  const lines = certificate.toString('base64').replace(/.{64}/g, '$&\n')
  const pem = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
  return { pem: Buffer.from(pem), privateKey }
}
