import { crc32 } from 'node:zlib'
import { assert, type Clock, JuncturaError, LIMITS, must } from '../../kernel/index.ts'
import {
  claimBucketEndsAtMs,
  claimBucketOf,
  createDedupeIndex,
  createFingerprinter,
  type DedupeIndex,
  type Fingerprint,
  type IndexedClaim,
} from '../dedupe-index.ts'
import type { Claim, ClaimedKey } from '../store.ts'
import { bytesAt, type Connection, integerAt, textAt } from './connection.ts'
import { transaction } from './log-writer.ts'

/**
 * The keys that are claimed: looked up in memory, kept on disk as one row per commit and bucket,
 * appended to the table of the time they expire, which is dropped as a whole.
 *
 * What a transaction claims stays in `#pending` until it has committed, so that a rolled back unit
 * or commit leaves nothing to undo; equal keys in one commit meet there.
 */
export class ClaimTables {
  readonly #writer: Connection
  readonly #index: DedupeIndex = createDedupeIndex()
  readonly #fingerprintOf: (scope: string, key: string) => Fingerprint
  readonly #buckets = new Set<number>()
  readonly #pending = new Map<string, PendingClaim>()
  #newBuckets: number[] = []
  /** Fingerprints of the claims that `conflict` looked at last, for `hold` right after. */
  #looked: { readonly claims: readonly Claim[]; readonly fingerprints: Fingerprint[] } | undefined

  constructor(writer: Connection, secret: Uint8Array) {
    this.#writer = writer
    this.#fingerprintOf = createFingerprinter(secret)
  }

  /** Position of a key that is committed. */
  committed(scope: string, key: string, nowMs: number): number | undefined {
    return this.#index.find(this.#fingerprintOf(scope, key), nowMs)
  }

  /** First claim of a unit that is taken, also by a unit before it in the same transaction. */
  conflict(claims: readonly Claim[], nowMs: number): ClaimConflict | undefined {
    const fingerprints: Fingerprint[] = []
    this.#looked = { claims, fingerprints }
    for (const claim of claims) {
      const fingerprint = this.#fingerprintOf(claim.scope, claim.key)
      const position =
        this.#pending.get(pendingKey(claim))?.position ?? this.#index.find(fingerprint, nowMs)
      if (position !== undefined) return { claim: fingerprints.length, position }
      fingerprints.push(fingerprint)
    }
    return undefined
  }

  /** Whether one key is taken, also earlier in the same transaction. */
  look(claim: ClaimedKey, nowMs: number): KeyLook {
    const fingerprint = this.#fingerprintOf(claim.scope, claim.key)
    const pending = this.#pending.get(pendingKey(claim))
    return {
      claim,
      fingerprint,
      position: pending?.position ?? this.#index.find(fingerprint, nowMs),
    }
  }

  /** Claims a key that was free when it was looked at, for the record at `position`. */
  take({ claim, fingerprint }: KeyLook, position: number, nowMs: number): void {
    const { expiresAtMs } = claim
    const bucket = claimBucketOf(expiresAtMs, nowMs)
    this.#pending.set(pendingKey(claim), { fingerprint, position, expiresAtMs, bucket })
  }

  /** Claims for a unit that had no conflict and whose records stand at `positions`. */
  hold(claims: readonly Claim[], positions: readonly number[], nowMs: number): void {
    assert(this.#looked?.claims === claims, 'claims are looked at before they are held')
    const { fingerprints } = this.#looked
    for (let index = 0; index < claims.length; index++) {
      const claim = must(claims[index], 'a list of claims has no holes')
      const fingerprint = must(fingerprints[index], 'each claim was looked at')
      const position = must(positions[claim.append], 'a claim names a record of its unit')
      const key = pendingKey(claim)
      const { expiresAtMs } = claim
      if (this.#pending.has(key)) continue
      const bucket = claimBucketOf(expiresAtMs, nowMs)
      this.#pending.set(key, { fingerprint, position, expiresAtMs, bucket })
    }
  }

  /** Writes what the transaction claimed, as its last statements but the commit. */
  write(): void {
    if (this.#pending.size === 0) return
    const byBucket = new Map<number, PendingClaim[]>()
    for (const claim of this.#pending.values()) {
      const claims = byBucket.get(claim.bucket)
      if (claims === undefined) byBucket.set(claim.bucket, [claim])
      else claims.push(claim)
    }
    for (const [bucket, claims] of byBucket) {
      if (!this.#buckets.has(bucket)) {
        this.#writer.db.exec(createClaimTable(bucket))
        this.#newBuckets.push(bucket)
      }
      const entries = encodeClaims(claims)
      const sql = `INSERT INTO ${claimTableName(bucket)} (checksum, entries) VALUES (?, ?)`
      this.#writer.run(sql, crc32(entries), entries)
    }
  }

  settle(): void {
    if (this.#pending.size === 0) return
    for (const bucket of this.#newBuckets) this.#buckets.add(bucket)
    for (const claim of this.#pending.values()) this.#index.add(claim.fingerprint, claim)
    this.discard()
  }

  discard(): void {
    this.#pending.clear()
    this.#newBuckets = []
  }

  /** Reads every table. Refuses when one row is damaged: a lost key is an effect twice (F30). */
  async load(clock: Clock, file: string): Promise<void> {
    const nowMs = clock.now()
    for (const bucket of claimBuckets(this.#writer)) {
      this.#buckets.add(bucket)
      if (claimBucketEndsAtMs(bucket) <= nowMs) continue
      const table = claimTableName(bucket)
      for (let after = 0; ;) {
        const rows = this.#writer.rows(
          `SELECT id, checksum, entries FROM ${table} WHERE id > ? ORDER BY id LIMIT ${LOAD_ROWS}`,
          after,
        )
        for (const row of rows) {
          const entries = bytesAt(row, 2)
          after = integerAt(row, 0)
          if (crc32(entries) !== integerAt(row, 1)) throw damagedClaims(file, table, after)
          decodeClaims(entries, bucket, (fingerprint, claim) => this.#index.add(fingerprint, claim))
        }
        if (rows.length < LOAD_ROWS) break
        await clock.yield()
      }
      this.#writer.forget(table)
    }
  }

  /** Rows whose checksum does not hold, of every table. */
  damagedRows(): readonly string[] {
    return [...this.#buckets].flatMap((bucket) => {
      const table = claimTableName(bucket)
      const bad: string[] = []
      for (const row of this.#writer.rows(`SELECT id, checksum, entries FROM ${table}`)) {
        if (crc32(bytesAt(row, 2)) !== integerAt(row, 1)) bad.push(`${table} ${integerAt(row, 0)}`)
      }
      return bad
    })
  }

  /** Drops the tables in which everything has expired, a few at a time. */
  expire(nowMs: number): void {
    this.#index.expire(nowMs)
    const ended = [...this.#buckets].filter((bucket) => claimBucketEndsAtMs(bucket) <= nowMs)
    for (const bucket of ended.slice(0, LIMITS.claimTablesDroppedMax)) {
      const table = claimTableName(bucket)
      transaction(this.#writer, () => {
        this.#writer.forget(table)
        this.#writer.db.exec(`DROP TABLE ${table}`)
      })
      this.#buckets.delete(bucket)
    }
  }
}

export interface KeyLook {
  readonly claim: ClaimedKey
  readonly fingerprint: Fingerprint
  /** Of the record that has the key. */
  readonly position: number | undefined
}

export interface ClaimConflict {
  readonly claim: number
  readonly position: number
}

interface PendingClaim extends IndexedClaim {
  readonly fingerprint: Fingerprint
}

const LOAD_ROWS = 1_000

const CLAIM_TABLE = 'junctura_claims_'

export const claimTableName = (bucket: number): string => `${CLAIM_TABLE}${bucket}`

/** The number in the name says when everything in the table has expired. */
export const createClaimTable = (bucket: number): string => `
  CREATE TABLE ${claimTableName(bucket)} (
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

const encodeClaims = (claims: readonly PendingClaim[]): Uint8Array => {
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

const pendingKey = ({ scope, key }: ClaimedKey): string => `${scope.length}:${scope}${key}`

const damagedClaims = (file: string, table: string, row: number): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_DAMAGED', {
    details: { file, problem: `the idempotency keys in row ${row} of ${table} are not readable` },
  })
