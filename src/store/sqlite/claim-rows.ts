import { claimBucketSpan, type IndexedClaim } from '../dedupe-index.ts'
import {
  ENTRY_WORDS,
  entryExpiryOffsetMs,
  entryPosition,
  type Fingerprint,
  FINGERPRINT_WORDS,
} from '../key-entry.ts'
import type { ClaimPage } from './claim-pages.ts'
import { type Connection, textAt } from './connection.ts'

const CLAIM_TABLE = 'junctura_claims_'

export const claimTableName = (bucket: number): string => `${CLAIM_TABLE}${bucket}`

/** The number in the name says when everything in the table has expired. */
export const createClaimTable = (bucket: number): string => `
  CREATE TABLE IF NOT EXISTS ${claimTableName(bucket)} (
    id INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    entries BLOB NOT NULL
  )
`

export const claimBuckets = (connection: Connection): readonly number[] =>
  connection
    .rows(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '${CLAIM_TABLE}*'`)
    .map((row) => Number(textAt(row, 0).slice(CLAIM_TABLE.length)))

/** A claim on disk: three words of fingerprint, position, time of expiry; little endian. */
const ENTRY_BYTES = 28

export interface ClaimEntry extends IndexedClaim {
  readonly fingerprint: Fingerprint
}

export const encodeClaims = (claims: readonly ClaimEntry[]): Uint8Array => {
  const bytes = Buffer.allocUnsafe(claims.length * ENTRY_BYTES)
  claims.forEach(({ fingerprint, position, expiresAtMs }, index) => {
    const at = index * ENTRY_BYTES
    bytes.writeUInt32LE(fingerprint[0] ?? 0, at)
    bytes.writeUInt32LE(fingerprint[1] ?? 0, at + 4)
    bytes.writeUInt32LE(fingerprint[2] ?? 0, at + 8)
    bytes.writeDoubleLE(position, at + 12)
    bytes.writeDoubleLE(expiresAtMs, at + 20)
  })
  return bytes
}

export const decodeClaims = (
  entries: Uint8Array,
  bucket: number,
  visit: (fingerprint: Fingerprint, claim: IndexedClaim) => void,
): void => {
  const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength)
  for (let at = 0; at + ENTRY_BYTES <= entries.length; at += ENTRY_BYTES) {
    const fingerprint = Uint32Array.of(
      view.getUint32(at, true),
      view.getUint32(at + 4, true),
      view.getUint32(at + 8, true),
    )
    const position = view.getFloat64(at + 12, true)
    visit(fingerprint, { position, expiresAtMs: view.getFloat64(at + 20, true), bucket })
  }
}

/** Sealed keys as they were claimed. */
export const claimsOfPage = ({ bucket, words }: ClaimPage): readonly ClaimEntry[] => {
  const { startMs } = claimBucketSpan(bucket)
  return Array.from({ length: words.length / ENTRY_WORDS }, (_, index) => {
    const at = index * ENTRY_WORDS
    return {
      fingerprint: words.slice(at, at + FINGERPRINT_WORDS),
      position: entryPosition(words, at),
      expiresAtMs: startMs + entryExpiryOffsetMs(words, at),
      bucket,
    }
  })
}
