import { crc32 } from 'node:zlib'
import { assert, type Clock, JuncturaError, LIMITS, must } from '../../kernel/index.ts'
import {
  claimBucketEndsAtMs,
  claimBucketOf,
  createDedupeIndex,
  createFingerprinter,
  type DedupeIndex,
} from '../dedupe-index.ts'
import type { Fingerprint } from '../key-entry.ts'
import type { Claim, ClaimedKey } from '../store.ts'
import {
  type ClaimEntry,
  claimBuckets,
  claimTableName,
  createClaimTable,
  decodeClaims,
  encodeClaims,
} from './claim-rows.ts'
import { ClaimRuns } from './claim-runs.ts'
import { ClaimSealer } from './claim-sealer.ts'
import { bytesAt, type Connection, integerAt } from './connection.ts'
import { transaction } from './log-writer.ts'

export interface ClaimTablesOptions {
  readonly writer: Connection
  readonly secret: Uint8Array
  readonly file: string
  /** Memory for the keys; what does not fit is found on disk. */
  readonly bytesMax: number
}

/**
 * The keys that are claimed. The newest are looked up in memory and kept on disk as one row per
 * commit and bucket, appended to the table of the time they expire, which is dropped as a whole;
 * the older ones of a bucket are sealed in sorted runs (`ClaimSealer`).
 *
 * What a transaction claims stays in `#pending` until it has committed, so that a rolled back unit
 * or commit leaves nothing to undo; equal keys in one commit meet there.
 */
export class ClaimTables {
  readonly #writer: Connection
  readonly #file: string
  readonly #index: DedupeIndex = createDedupeIndex()
  readonly #runs: ClaimRuns
  readonly #sealer: ClaimSealer
  readonly #fingerprintOf: (scope: string, key: string) => Fingerprint
  /** The newest committed row of the table of each bucket. */
  readonly #lastRows = new Map<number, number>()
  readonly #pending = new Map<string, ClaimEntry>()
  #pendingRows = new Map<number, number>()
  #nowMs = 0
  /** Fingerprints of the claims that `conflict` looked at last, for `hold` right after. */
  #looked: { readonly claims: readonly Claim[]; readonly fingerprints: Fingerprint[] } | undefined

  constructor({ writer, secret, file, bytesMax }: ClaimTablesOptions) {
    this.#writer = writer
    this.#file = file
    this.#fingerprintOf = createFingerprinter(secret)
    this.#runs = new ClaimRuns(writer, file)
    this.#sealer = new ClaimSealer({
      writer,
      bytesMax,
      index: this.#index,
      runs: this.#runs,
      lastRowOf: (bucket) => this.#lastRows.get(bucket) ?? 0,
    })
  }

  /** Memory that the keys take. */
  get sizeBytes(): number {
    return this.#sealer.sizeBytes
  }

  /** Whether expired keys are still on disk. */
  get hasGarbage(): boolean {
    return this.#sealer.hasGarbage
  }

  /** Position of a key that is committed. */
  committed(scope: string, key: string, nowMs: number): number | undefined {
    return this.#find(this.#fingerprintOf(scope, key), nowMs)
  }

  /** First claim of a unit that is taken, also by a unit before it in the same transaction. */
  conflict(claims: readonly Claim[], nowMs: number): ClaimConflict | undefined {
    const fingerprints: Fingerprint[] = []
    this.#looked = { claims, fingerprints }
    for (const claim of claims) {
      const fingerprint = this.#fingerprintOf(claim.scope, claim.key)
      const position =
        this.#pending.get(pendingKey(claim))?.position ?? this.#find(fingerprint, nowMs)
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
      position: pending?.position ?? this.#find(fingerprint, nowMs),
    }
  }

  /** Claims a key that was free when it was looked at, for the record at `position`. */
  take({ claim, fingerprint }: KeyLook, position: number, nowMs: number): void {
    const { expiresAtMs } = claim
    this.#nowMs = nowMs
    const bucket = claimBucketOf(expiresAtMs, nowMs)
    this.#pending.set(pendingKey(claim), { fingerprint, position, expiresAtMs, bucket })
  }

  /** Claims for a unit that had no conflict and whose records stand at `positions`. */
  hold(claims: readonly Claim[], positions: readonly number[], nowMs: number): void {
    assert(this.#looked?.claims === claims, 'claims are looked at before they are held')
    const { fingerprints } = this.#looked
    this.#nowMs = nowMs
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
    for (const [bucket, claims] of Map.groupBy(this.#pending.values(), (one) => one.bucket)) {
      const row = (this.#lastRows.get(bucket) ?? this.#openTable(bucket)) + 1
      const entries = encodeClaims(claims)
      const sql = `INSERT INTO ${claimTableName(bucket)} (id, checksum, entries) VALUES (?, ?, ?)`
      this.#writer.run(sql, row, crc32(entries), entries)
      this.#pendingRows.set(bucket, row)
    }
    this.#sealer.work(this.#pending.size, this.#nowMs)
  }

  settle(): void {
    if (this.#pending.size === 0) return
    for (const [bucket, row] of this.#pendingRows) {
      this.#lastRows.set(bucket, row)
      this.#sealer.touch(bucket, this.#nowMs)
    }
    for (const claim of this.#pending.values()) this.#index.add(claim.fingerprint, claim)
    this.#sealer.settle()
    this.#forget()
  }

  discard(): void {
    this.#sealer.discard()
    this.#forget()
  }

  /**
   * Reads what is not sealed, and the filters of what is. Refuses when one row is damaged: a lost
   * key is an effect twice (F30).
   */
  async load(clock: Clock): Promise<void> {
    const nowMs = clock.now()
    this.#transaction(() => this.#sealer.load(nowMs))
    for (const bucket of claimBuckets(this.#writer)) {
      if (claimBucketEndsAtMs(bucket) <= nowMs) this.#sealer.drop({ kind: 'table', bucket })
      else await this.#loadBucket(bucket, clock)
    }
  }

  /** Rows and pages whose checksums do not hold, of every table. */
  damagedRows(): readonly string[] {
    const pages = this.#runs.live.flatMap((run) => this.#runs.damagedPages(run))
    const bad = pages.map((page) => `page ${page} of junctura_claim_pages`)
    for (const bucket of claimBuckets(this.#writer)) {
      const table = claimTableName(bucket)
      for (const row of this.#writer.rows(`SELECT id, checksum, entries FROM ${table}`)) {
        const holds = crc32(bytesAt(row, 2)) === integerAt(row, 1)
        if (!holds) bad.push(`row ${integerAt(row, 0)} of ${table}`)
      }
    }
    return bad
  }

  /** Forgets the buckets in which everything has expired; their rows are deleted by `clean`. */
  expire(nowMs: number): void {
    this.#transaction(() => this.#sealer.expire(nowMs))
    for (const bucket of this.#lastRows.keys()) {
      if (claimBucketEndsAtMs(bucket) > nowMs) continue
      this.#lastRows.delete(bucket)
      this.#sealer.drop({ kind: 'table', bucket })
    }
  }

  /** Deletes some of what is no longer looked into. */
  clean(): void {
    this.#transaction(() => this.#sealer.clean(LIMITS.claimPagesDeletedMax))
  }

  #find(fingerprint: Fingerprint, nowMs: number): number | undefined {
    return (
      this.#index.find(fingerprint, nowMs) ??
      this.#sealer.find(fingerprint, nowMs) ??
      this.#runs.find(fingerprint, nowMs)
    )
  }

  /** Its last row. Numbers are not given again, because those of sealed rows tell them. */
  #openTable(bucket: number): number {
    this.#writer.db.exec(createClaimTable(bucket))
    this.#sealer.keepTable(bucket)
    const last = this.#writer.first(`SELECT max(id) FROM ${claimTableName(bucket)}`)?.[0]
    return Math.max(typeof last === 'number' ? last : 0, this.#runs.coversTo(bucket))
  }

  async #loadBucket(bucket: number, clock: Clock): Promise<void> {
    const table = claimTableName(bucket)
    const coversTo = this.#runs.coversTo(bucket)
    this.#lastRows.set(bucket, coversTo)
    if (coversTo > 0) this.#sealer.drop({ kind: 'rows', bucket, to: coversTo })
    const select = `SELECT id, checksum, entries FROM ${table} WHERE id > ? ORDER BY id LIMIT ${LOAD_ROWS}`
    for (let after = coversTo; ;) {
      const rows = this.#writer.rows(select, after)
      for (const row of rows) {
        const entries = bytesAt(row, 2)
        after = integerAt(row, 0)
        if (crc32(entries) !== integerAt(row, 1)) throw damagedClaims(this.#file, table, after)
        decodeClaims(entries, bucket, (fingerprint, claim) => this.#index.add(fingerprint, claim))
        this.#lastRows.set(bucket, after)
        this.#sealer.settle()
        if (this.#sealer.isSealing) await this.#sealNow(clock)
      }
      if (rows.length < LOAD_ROWS) break
      await clock.yield()
    }
    this.#writer.forget(table)
  }

  /** A store of an earlier format, or a lower ceiling: what is over it is sealed at once. */
  async #sealNow(clock: Clock): Promise<void> {
    while (this.#sealer.isSealing) {
      this.#transaction(() => this.#sealer.step(PAGES_AT_ONCE, clock.now()))
      await clock.yield()
    }
  }

  /** Work of the sealer outside of a commit. */
  #transaction(work: () => void): void {
    try {
      transaction(this.#writer, work)
    } catch (error) {
      this.#sealer.discard()
      throw error
    }
    this.#sealer.settle()
  }

  #forget(): void {
    this.#pending.clear()
    this.#pendingRows.clear()
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

const LOAD_ROWS = 200
const PAGES_AT_ONCE = 128

const pendingKey = ({ scope, key }: ClaimedKey): string => `${scope.length}:${scope}${key}`

const damagedClaims = (file: string, table: string, row: number): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_DAMAGED', {
    details: { file, problem: `the idempotency keys in row ${row} of ${table} are not readable` },
  })
