/**
 * A claimed key as it is kept and sorted: six words. Three of fingerprint, the position in two, low
 * first, and the time of expiry in milliseconds from the start of its bucket.
 */
export const ENTRY_WORDS = 6

/** Words of a keyed hash, `FINGERPRINT_WORDS` of them. */
export type Fingerprint = Uint32Array
export const FINGERPRINT_WORDS = 3

/** A fingerprint's first word as it is kept: 0 marks an empty slot. */
export const tagOf = (fingerprint: Fingerprint): number => fingerprint[0] || 1

export const entryPosition = (words: Uint32Array, at: number): number =>
  (words[at + 3] ?? 0) + (words[at + 4] ?? 0) * 2 ** 32

export const entryExpiryOffsetMs = (words: Uint32Array, at: number): number => words[at + 5] ?? 0

export const isEntryOf = (words: Uint32Array, at: number, fingerprint: Fingerprint): boolean =>
  words[at + 1] === fingerprint[1] &&
  words[at + 2] === fingerprint[2] &&
  words[at] === tagOf(fingerprint)

/** Below 0 when the left one comes first, 0 when both are of one fingerprint. */
export const compareEntries = (left: EntryPlace, right: EntryPlace): number => {
  for (let word = 0; word < FINGERPRINT_WORDS; word++) {
    const order = (left.words[left.at + word] ?? 0) - (right.words[right.at + word] ?? 0)
    if (order !== 0) return order
  }
  return 0
}

/** An entry within an array of them: the index of its first word. */
export interface EntryPlace {
  words: Uint32Array
  at: number
}
