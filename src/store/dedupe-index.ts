import { hash } from 'node:crypto'
import { assert, must } from '../kernel/index.ts'

/**
 * Which idempotency keys are taken, in memory: fingerprint -> position. A hit is answered from
 * here, and a unique index on disk over random keys, which costs several times the append, is not
 * needed.
 *
 * Keys are grouped by the time they expire, so that forgetting them is dropping a bucket; some six
 * buckets live at once. A bucket is split by the fingerprint into 256 small open-addressing tables,
 * each of which grows by a quarter when full. The largest step is the growth of one of them, about
 * a millisecond at ten million keys, where one table would stop everything for a second; and a
 * search looks once into each bucket. (Chains of tables that never grow were tried: no step at all,
 * but five times the search.)
 *
 * Twelve bytes of fingerprint: among ten million keys, one new key in 10^21 is taken for another.
 */
export interface DedupeIndex {
  /** Position of a key that has not expired at `nowMs`. */
  find(fingerprint: Fingerprint, nowMs: number): number | undefined
  /** The caller has looked before: a key added twice is found at one of its positions. */
  add(fingerprint: Fingerprint, claim: IndexedClaim): void
  /** Drops the buckets in which everything has expired, however many keys they hold. */
  expire(nowMs: number): readonly number[]
  /** Visits every claim that is still in a bucket, also expired ones. */
  forEach(visit: (fingerprint: Fingerprint, claim: IndexedClaim) => void): void
  readonly size: number
  readonly sizeBytes: number
}

/** Three words of a keyed hash. */
export type Fingerprint = Uint32Array

export interface IndexedClaim {
  readonly position: number
  readonly expiresAtMs: number
  /** From `claimBucketOf`. */
  readonly bucket: number
}

/** Keyed by a secret of the store, so that no sender can make two keys collide. */
export const createFingerprinter = (
  secret: Uint8Array,
): ((scope: string, key: string) => Fingerprint) => {
  assert(secret.length >= 16, 'the secret of the fingerprints has at least 16 bytes')
  const prefix = Buffer.from(secret).toString('hex')
  return (scope, key) => {
    // The length keeps scope and key apart. `binary` is the cheapest form to get the bytes in.
    const digest = hash('sha256', `${prefix}${scope.length}:${scope}${key}`, 'binary')
    const words = new Uint32Array(FINGERPRINT_WORDS)
    for (let word = 0; word < FINGERPRINT_WORDS; word++) {
      const at = word * 4
      words[word] =
        digest.charCodeAt(at) |
        (digest.charCodeAt(at + 1) << 8) |
        (digest.charCodeAt(at + 2) << 16) |
        (digest.charCodeAt(at + 3) << 24)
    }
    return words
  }
}

const FINGERPRINT_WORDS = 3
const BUCKET_UNIT_MS = 60_000
const BUCKET_LEVELS = 32
/** 2^16 minutes are 45 days: an offset in milliseconds within a bucket still fits in 32 bits. */
const BUCKET_LEVEL_MAX = 16
/** A retention is spread over about this many buckets: more waste less memory and cost a search. */
const BUCKETS_PER_RETENTION = 6

/**
 * The bucket of a key claimed at `nowMs`: a span of expiry times, longer for keys that live longer.
 * The number also names the table the claim is kept in on disk.
 */
export const claimBucketOf = (expiresAtMs: number, nowMs: number): number => {
  const spanUnits = Math.max(0, expiresAtMs - nowMs) / BUCKETS_PER_RETENTION / BUCKET_UNIT_MS
  const level = Math.min(BUCKET_LEVEL_MAX, Math.max(0, Math.ceil(Math.log2(spanUnits || 1))))
  const slice = Math.floor(expiresAtMs / (BUCKET_UNIT_MS * 2 ** level))
  return slice * BUCKET_LEVELS + level
}

/** Everything in the bucket has expired at this time. */
export const claimBucketEndsAtMs = (bucket: number): number =>
  (Math.floor(bucket / BUCKET_LEVELS) + 1) * bucketSpanMs(bucket)

const bucketSpanMs = (bucket: number): number => BUCKET_UNIT_MS * 2 ** (bucket % BUCKET_LEVELS)

const PARTITIONS = 256
const SLOTS_MIN = 16
const LOAD_MAX = 0.85
const GROWTH = 1.25
/** Of a slot, beside its tag: two words of fingerprint, two of position, one of expiry. */
const BODY_WORDS = 5

/**
 * One array: the first word of every fingerprint, 0 in an empty slot, which is all that a search
 * runs over; then the bodies.
 */
interface Table {
  words: Uint32Array
  slots: number
  count: number
}

interface Bucket {
  readonly startMs: number
  readonly endMs: number
  readonly tables: Table[]
}

export const createDedupeIndex = (): DedupeIndex => new BucketIndex()

class BucketIndex implements DedupeIndex {
  readonly #buckets = new Map<number, Bucket>()
  #size = 0
  #sizeBytes = 0

  get size(): number {
    return this.#size
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  find(fingerprint: Fingerprint, nowMs: number): number | undefined {
    for (const bucket of this.#buckets.values()) {
      if (bucket.endMs <= nowMs) continue
      const table = bucket.tables[partitionOf(fingerprint)]
      const position = table && findIn(table, fingerprint, nowMs - bucket.startMs)
      if (position !== undefined) return position
    }
    return undefined
  }

  add(fingerprint: Fingerprint, claim: IndexedClaim): void {
    const bucket = this.#buckets.get(claim.bucket) ?? this.#openBucket(claim.bucket)
    const table = must(bucket.tables[partitionOf(fingerprint)], 'a bucket has all its tables')
    if (table.count >= table.slots * LOAD_MAX) {
      this.#sizeBytes -= table.words.byteLength
      grow(table)
      this.#sizeBytes += table.words.byteLength
    }
    const at = emptyBody(table, fingerprint[0] || 1, fingerprint[1] ?? 0)
    const { words } = table
    words[at] = fingerprint[1] ?? 0
    words[at + 1] = fingerprint[2] ?? 0
    words[at + 2] = claim.position >>> 0
    words[at + 3] = Math.floor(claim.position / 2 ** 32)
    words[at + 4] = claim.expiresAtMs - bucket.startMs
    table.count += 1
    this.#size += 1
  }

  expire(nowMs: number): readonly number[] {
    const expired: number[] = []
    for (const [id, bucket] of this.#buckets) {
      if (bucket.endMs > nowMs) continue
      this.#buckets.delete(id)
      expired.push(id)
      for (const table of bucket.tables) {
        this.#size -= table.count
        this.#sizeBytes -= table.words.byteLength
      }
    }
    return expired
  }

  forEach(visit: (fingerprint: Fingerprint, claim: IndexedClaim) => void): void {
    for (const [id, bucket] of this.#buckets) {
      for (const table of bucket.tables) {
        for (let slot = 0; slot < table.slots; slot++) {
          const tag = table.words[slot] ?? 0
          if (tag === 0) continue
          const at = table.slots + slot * BODY_WORDS
          const [second = 0, third = 0] = table.words.subarray(at, at + 2)
          visit(Uint32Array.of(tag, second, third), {
            position: positionAt(table, at),
            expiresAtMs: bucket.startMs + (table.words[at + 4] ?? 0),
            bucket: id,
          })
        }
      }
    }
  }

  #openBucket(id: number): Bucket {
    const endMs = claimBucketEndsAtMs(id)
    // Sizes spread over four growths: the tables fill alike and must not all grow at once.
    const tables = Array.from({ length: PARTITIONS }, (_, partition) =>
      createTable(Math.round(SLOTS_MIN * GROWTH ** (4 * (partition / PARTITIONS)))),
    )
    const bucket = { startMs: endMs - bucketSpanMs(id), endMs, tables }
    this.#buckets.set(id, bucket)
    for (const table of tables) this.#sizeBytes += table.words.byteLength
    return bucket
  }
}

function findIn(table: Table, fingerprint: Fingerprint, nowOffsetMs: number): number | undefined {
  const { words, slots } = table
  const tag = fingerprint[0] || 1
  const second = fingerprint[1] ?? 0
  let slot = second % slots
  for (let found = words[slot]; found !== 0; found = words[slot]) {
    if (found === tag) {
      const at = slots + slot * BODY_WORDS
      const same = words[at] === second && words[at + 1] === fingerprint[2]
      if (same && (words[at + 4] ?? 0) > nowOffsetMs) return positionAt(table, at)
    }
    slot = slot + 1 === slots ? 0 : slot + 1
  }
  return undefined
}

/** Takes the next empty slot for a tag and says where its body is. */
function emptyBody(table: Table, tag: number, second: number): number {
  const { words, slots } = table
  let slot = second % slots
  while (words[slot] !== 0) slot = slot + 1 === slots ? 0 : slot + 1
  words[slot] = tag
  return slots + slot * BODY_WORDS
}

function grow(table: Table): void {
  const { words: oldWords, slots: oldSlots } = table
  table.slots = Math.ceil(oldSlots * GROWTH)
  table.words = new Uint32Array(table.slots * (1 + BODY_WORDS))
  for (let slot = 0; slot < oldSlots; slot++) {
    const tag = oldWords[slot] ?? 0
    if (tag === 0) continue
    const from = oldSlots + slot * BODY_WORDS
    const at = emptyBody(table, tag, oldWords[from] ?? 0)
    for (let word = 0; word < BODY_WORDS; word++)
      table.words[at + word] = oldWords[from + word] ?? 0
  }
}

const createTable = (slots: number): Table => ({
  words: new Uint32Array(slots * (1 + BODY_WORDS)),
  slots,
  count: 0,
})

/** By other bits than those that choose the slot. */
const partitionOf = (fingerprint: Fingerprint): number => (fingerprint[2] ?? 0) % PARTITIONS

const positionAt = (table: Table, at: number): number =>
  (table.words[at + 2] ?? 0) + (table.words[at + 3] ?? 0) * 2 ** 32
