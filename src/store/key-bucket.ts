import { compareEntries, ENTRY_WORDS, type Fingerprint, tagOf } from './key-entry.ts'

/**
 * The keys of one bucket in memory: 256 small open-addressing tables, each of which grows by a
 * quarter when full. The largest step is the growth of one of them, about a millisecond at ten
 * million keys, where one table would stop everything for a second. (Chains of tables that never
 * grow were tried: no step at all, but five times the search.)
 *
 * A table holds the fingerprints that begin with one byte, so that what is sorted table by table is
 * sorted as a whole.
 */
export interface KeyBucket {
  readonly id: number
  /** The span of expiry times. */
  readonly startMs: number
  readonly endMs: number
  readonly count: number
  readonly sizeBytes: number
  /** Position of a key that has not expired at `nowMs`. */
  find(fingerprint: Fingerprint, nowMs: number): number | undefined
  add(fingerprint: Fingerprint, position: number, expiresAtMs: number): void
  /** The entries of one of the `BUCKET_PARTS` in the order of their fingerprints. */
  sortedPart(part: number): Uint32Array
}

export interface BucketSpan {
  readonly id: number
  readonly startMs: number
  readonly endMs: number
}

export const BUCKET_PARTS = 256

export const createKeyBucket = (span: BucketSpan): KeyBucket => new TableBucket(span)

/** Of fewer, a load of 0.85 could leave no slot empty, where a search ends. */
const SLOTS_MIN = 8
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

class TableBucket implements KeyBucket {
  readonly id: number
  readonly startMs: number
  readonly endMs: number
  readonly #tables: (Table | undefined)[] = Array.from({ length: BUCKET_PARTS })
  #count = 0
  #sizeBytes = 0

  constructor({ id, startMs, endMs }: BucketSpan) {
    this.id = id
    this.startMs = startMs
    this.endMs = endMs
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  find(fingerprint: Fingerprint, nowMs: number): number | undefined {
    const table = this.#tables[partOf(fingerprint)]
    return table && findIn(table, fingerprint, nowMs - this.startMs)
  }

  add(fingerprint: Fingerprint, position: number, expiresAtMs: number): void {
    const table = this.#tableFor(partOf(fingerprint))
    const at = emptyBody(table, tagOf(fingerprint), fingerprint[1] ?? 0)
    const { words } = table
    words[at] = fingerprint[1] ?? 0
    words[at + 1] = fingerprint[2] ?? 0
    words[at + 2] = position >>> 0
    words[at + 3] = Math.floor(position / 2 ** 32)
    words[at + 4] = expiresAtMs - this.startMs
    table.count += 1
    this.#count += 1
  }

  sortedPart(part: number): Uint32Array {
    const table = this.#tables[part]
    return table ? sortedEntries(table) : new Uint32Array()
  }

  /** One with room for another entry. */
  #tableFor(part: number): Table {
    let table = this.#tables[part]
    if (table === undefined) {
      // Sizes spread over four growths: the tables fill alike and must not all grow at once.
      table = createTable(Math.round(SLOTS_MIN * GROWTH ** (4 * (part / BUCKET_PARTS))))
      this.#tables[part] = table
      this.#sizeBytes += table.words.byteLength
    } else if (table.count >= table.slots * LOAD_MAX) {
      this.#sizeBytes -= table.words.byteLength
      grow(table)
      this.#sizeBytes += table.words.byteLength
    }
    return table
  }
}

const partOf = (fingerprint: Fingerprint): number => tagOf(fingerprint) >>> 24

function findIn(table: Table, fingerprint: Fingerprint, nowOffsetMs: number): number | undefined {
  const { words, slots } = table
  const tag = tagOf(fingerprint)
  const second = fingerprint[1] ?? 0
  let slot = second % slots
  for (let found = words[slot]; found !== 0; found = words[slot]) {
    if (found === tag) {
      const at = slots + slot * BODY_WORDS
      const same = words[at] === second && words[at + 1] === fingerprint[2]
      if (same && (words[at + 4] ?? 0) > nowOffsetMs) {
        return (words[at + 2] ?? 0) + (words[at + 3] ?? 0) * 2 ** 32
      }
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

/** Numbers are sorted without a call for each comparison: tag and slot fit in one. */
const SLOT_BITS = 2 ** 21

function sortedEntries({ words, slots, count }: Table): Uint32Array {
  const order = new Float64Array(count)
  let next = 0
  for (let slot = 0; slot < slots; slot++) {
    const tag = words[slot] ?? 0
    if (tag !== 0) order[next++] = tag * SLOT_BITS + slot
  }
  order.sort()
  const sorted = new Uint32Array(count * ENTRY_WORDS)
  for (let index = 0; index < count; index++) {
    const key = order[index] ?? 0
    const tag = Math.floor(key / SLOT_BITS)
    const from = slots + (key % SLOT_BITS) * BODY_WORDS
    const to = index * ENTRY_WORDS
    sorted[to] = tag
    for (let word = 0; word < BODY_WORDS; word++) sorted[to + 1 + word] = words[from + word] ?? 0
    sink(sorted, to)
  }
  return sorted
}

/** Two of one tag are rare: the later goes down to its place. */
function sink(words: Uint32Array, from: number): void {
  const above = { words, at: from }
  const below = { words, at: from - ENTRY_WORDS }
  while (below.at >= 0 && words[below.at] === words[above.at]) {
    if (compareEntries(below, above) <= 0) return
    const kept = words.slice(below.at, above.at)
    words.copyWithin(below.at, above.at, above.at + ENTRY_WORDS)
    words.set(kept, above.at)
    above.at -= ENTRY_WORDS
    below.at -= ENTRY_WORDS
  }
}
