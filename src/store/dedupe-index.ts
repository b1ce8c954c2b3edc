import { hash } from 'node:crypto'
import { assert } from '../kernel/index.ts'
import { type BucketSpan, createKeyBucket, type KeyBucket } from './key-bucket.ts'
import { type Fingerprint, FINGERPRINT_WORDS } from './key-entry.ts'

/**
 * Which idempotency keys are taken, in memory: fingerprint -> position. A hit is answered from
 * here, and a unique index on disk over random keys, which costs several times the append, is not
 * needed.
 *
 * Keys are grouped by the time they expire, so that forgetting them is dropping a bucket; some six
 * buckets live at once, and a search looks once into each.
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
  /** Takes out the bucket with the most keys, to be written elsewhere; a new one may follow it. */
  takeLargest(): KeyBucket | undefined
  readonly size: number
  readonly sizeBytes: number
}

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

export const claimBucketSpan = (bucket: number): BucketSpan => {
  const endMs = claimBucketEndsAtMs(bucket)
  return { id: bucket, startMs: endMs - bucketSpanMs(bucket), endMs }
}

const bucketSpanMs = (bucket: number): number => BUCKET_UNIT_MS * 2 ** (bucket % BUCKET_LEVELS)

export const createDedupeIndex = (): DedupeIndex => new BucketIndex()

class BucketIndex implements DedupeIndex {
  readonly #buckets = new Map<number, KeyBucket>()

  get size(): number {
    let size = 0
    for (const bucket of this.#buckets.values()) size += bucket.count
    return size
  }

  get sizeBytes(): number {
    let sizeBytes = 0
    for (const bucket of this.#buckets.values()) sizeBytes += bucket.sizeBytes
    return sizeBytes
  }

  find(fingerprint: Fingerprint, nowMs: number): number | undefined {
    for (const bucket of this.#buckets.values()) {
      if (bucket.endMs <= nowMs) continue
      const position = bucket.find(fingerprint, nowMs)
      if (position !== undefined) return position
    }
    return undefined
  }

  add(fingerprint: Fingerprint, claim: IndexedClaim): void {
    let bucket = this.#buckets.get(claim.bucket)
    if (bucket === undefined) {
      bucket = createKeyBucket(claimBucketSpan(claim.bucket))
      this.#buckets.set(claim.bucket, bucket)
    }
    bucket.add(fingerprint, claim.position, claim.expiresAtMs)
  }

  takeLargest(): KeyBucket | undefined {
    let largest: KeyBucket | undefined
    for (const bucket of this.#buckets.values()) {
      if (largest === undefined || bucket.count > largest.count) largest = bucket
    }
    if (largest !== undefined) this.#buckets.delete(largest.id)
    return largest
  }

  expire(nowMs: number): readonly number[] {
    const expired: number[] = []
    for (const { id, endMs } of this.#buckets.values()) {
      if (endMs > nowMs) continue
      this.#buckets.delete(id)
      expired.push(id)
    }
    return expired
  }
}
