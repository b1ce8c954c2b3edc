import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSeededRandom, must } from '../kernel/index.ts'
import {
  claimBucketEndsAtMs,
  claimBucketOf,
  createDedupeIndex,
  createFingerprinter,
  type DedupeIndex,
} from './dedupe-index.ts'
import { BUCKET_PARTS } from './key-bucket.ts'
import { ENTRY_WORDS, entryExpiryOffsetMs, entryPosition } from './key-entry.ts'

const START_MS = Date.UTC(2026, 0, 1)
const DAY_MS = 86_400_000
const fingerprintOf = createFingerprinter(createSeededRandom(1).bytes(32))

const addKey = (
  index: DedupeIndex,
  key: string,
  claim: { position: number; nowMs: number; ttlMs: number },
): void => {
  const expiresAtMs = claim.nowMs + claim.ttlMs
  const bucket = claimBucketOf(expiresAtMs, claim.nowMs)
  index.add(fingerprintOf('scope', key), { position: claim.position, expiresAtMs, bucket })
}

describe('the dedupe index', () => {
  it('finds what a map of all keys would find, while keys come, repeat and expire', () => {
    const step = fc.record({
      key: fc.integer({ min: 0, max: 200 }),
      ttlMs: fc.oneof(fc.constantFrom(1, 60_000, DAY_MS), fc.integer({ min: 1, max: 30 * DAY_MS })),
      passMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 * DAY_MS })),
      expire: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const index = createDedupeIndex()
        const map = new Map<number, { position: number; expiresAtMs: number }>()
        let nowMs = START_MS
        steps.forEach(({ key, ttlMs, passMs, expire }, at) => {
          nowMs += passMs
          if (expire) index.expire(nowMs)
          const known = map.get(key)
          const wanted = known && known.expiresAtMs > nowMs ? known.position : undefined
          expect(index.find(fingerprintOf('scope', `${key}`), nowMs)).toBe(wanted)
          if (wanted !== undefined) return
          const position = at % 2 === 0 ? at + 1 : 2 ** 40 + at
          addKey(index, `${key}`, { position, nowMs, ttlMs })
          map.set(key, { position, expiresAtMs: nowMs + ttlMs })
        })
      }),
    )
  })

  it('keeps a hundred thousand keys of one bucket apart, and few bytes for each', () => {
    const index = createDedupeIndex()
    const count = 100_000
    for (let key = 0; key < count; key++) {
      addKey(index, `${key}`, { position: key + 1, nowMs: START_MS, ttlMs: 7 * DAY_MS })
    }

    for (let key = 0; key < count; key += 7) {
      expect(index.find(fingerprintOf('scope', `${key}`), START_MS)).toBe(key + 1)
    }
    expect(index.find(fingerprintOf('scope', 'another'), START_MS)).toBeUndefined()
    expect(index.size).toBe(count)
    expect(index.sizeBytes / count).toBeLessThan(40)
  })

  it('forgets whole buckets, and only those in which everything has expired', () => {
    const index = createDedupeIndex()
    for (let hour = 0; hour < 100; hour++) {
      const nowMs = START_MS + hour * 3_600_000
      addKey(index, `${hour}`, { position: hour + 1, nowMs, ttlMs: DAY_MS })
    }
    const nowMs = START_MS + 50 * 3_600_000 + DAY_MS

    const dropped = index.expire(nowMs)

    expect(dropped.length).toBeGreaterThan(5)
    expect(dropped.every((bucket) => claimBucketEndsAtMs(bucket) <= nowMs)).toBe(true)
    expect(index.find(fingerprintOf('scope', '50'), nowMs)).toBeUndefined()
    expect(index.find(fingerprintOf('scope', '51'), nowMs)).toBe(52)
    index.expire(nowMs + 100 * DAY_MS)
    expect({ size: index.size, sizeBytes: index.sizeBytes }).toEqual({ size: 0, sizeBytes: 0 })
  })

  it('gives up its fullest bucket in the order of the fingerprints, to be written elsewhere', () => {
    const index = createDedupeIndex()
    const keys = Array.from({ length: 3_000 }, (_, key) => `${key}`)
    for (const key of keys) {
      addKey(index, key, { position: 2 ** 33 + Number(key), nowMs: START_MS, ttlMs: 7 * DAY_MS })
    }
    addKey(index, 'other', { position: 1, nowMs: START_MS, ttlMs: 60_000 })

    const bucket = must(index.takeLargest(), 'there is one')

    const entries: string[] = []
    for (let part = 0; part < BUCKET_PARTS; part++) {
      const words = bucket.sortedPart(part)
      for (let at = 0; at < words.length; at += ENTRY_WORDS) {
        const expiresAtMs = bucket.startMs + entryExpiryOffsetMs(words, at)
        expect(expiresAtMs).toBe(START_MS + 7 * DAY_MS)
        entries.push(`${hex(words.subarray(at, at + 3))} ${entryPosition(words, at)}`)
      }
    }
    const wanted = keys.map((key) => `${hex(fingerprintOf('scope', key))} ${2 ** 33 + Number(key)}`)
    expect(entries).toEqual(wanted.sort())
    expect(index.size).toBe(1)
    expect(index.find(fingerprintOf('scope', '7'), START_MS)).toBeUndefined()
    expect(bucket.find(fingerprintOf('scope', '7'), START_MS)).toBe(2 ** 33 + 7)
  })

  it('sorts fingerprints that begin alike by what follows', () => {
    const index = createDedupeIndex()
    const bucket = claimBucketOf(START_MS + DAY_MS, START_MS)
    const alike = [5, 1, 9, 3, 7, 2].map((word) => Uint32Array.of(77, 2 ** 31 + word, word % 3))
    alike.forEach((fingerprint, at) => {
      index.add(fingerprint, { position: at + 1, expiresAtMs: START_MS + DAY_MS, bucket })
    })

    const words = must(index.takeLargest(), 'there is one').sortedPart(0)

    const seconds = Array.from(
      { length: 6 },
      (_, at) => (words[at * ENTRY_WORDS + 1] ?? 0) - 2 ** 31,
    )
    expect(seconds).toEqual([1, 2, 3, 5, 7, 9])
  })
})

const hex = (words: Uint32Array): string =>
  Array.from(words, (word) => word.toString(16).padStart(8, '0')).join('')

describe('a fingerprint', () => {
  it('differs by scope, by key, by where one ends, and by the secret of the store', () => {
    const other = createFingerprinter(createSeededRandom(2).bytes(32))
    const all = [
      fingerprintOf('ab', 'c'),
      fingerprintOf('a', 'bc'),
      fingerprintOf('', 'abc'),
      fingerprintOf('ab', 'd'),
      other('ab', 'c'),
    ].map(String)

    expect(new Set(all).size).toBe(all.length)
    expect(String(fingerprintOf('ab', 'c'))).toBe(all[0])
  })

  it('is not made with a secret that could be guessed', () => {
    expect(() => createFingerprinter(new Uint8Array(8))).toThrow('secret')
  })
})
