import { type Fingerprint, FINGERPRINT_WORDS } from '../key-entry.ts'

/** Two words of position and two of expiry follow the fingerprint, each low first. */
const WORDS = FINGERPRINT_WORDS + 4
const PLACES = 16_384

/**
 * The sealed keys that were asked for last, 448 KiB of them. Whoever repeats a request does so
 * again and again, and each time would cost the read of a page. A key stays where it was found for
 * as long as it is held, so nothing here can become wrong; of two with one place the later stays.
 */
export class FoundKeys {
  /** Made with the first key that is found: most stores never seal one. */
  #words: Uint32Array | undefined

  /** Position of a key that was found before and is still held at `nowMs`. */
  find(fingerprint: Fingerprint, nowMs: number): number | undefined {
    const words = this.#words
    if (words === undefined) return undefined
    const at = placeOf(fingerprint)
    for (let word = 0; word < FINGERPRINT_WORDS; word++) {
      if (words[at + word] !== fingerprint[word]) return undefined
    }
    const isHeld = wideAt(words, at + FINGERPRINT_WORDS + 2) > nowMs
    return isHeld ? wideAt(words, at + FINGERPRINT_WORDS) : undefined
  }

  add(fingerprint: Fingerprint, position: number, expiresAtMs: number): void {
    this.#words ??= new Uint32Array(PLACES * WORDS)
    const at = placeOf(fingerprint)
    this.#words.set(fingerprint, at)
    setWide(this.#words, at + FINGERPRINT_WORDS, position)
    setWide(this.#words, at + FINGERPRINT_WORDS + 2, expiresAtMs)
  }
}

const placeOf = (fingerprint: Fingerprint): number => ((fingerprint[1] ?? 0) % PLACES) * WORDS

const wideAt = (words: Uint32Array, at: number): number =>
  (words[at] ?? 0) + (words[at + 1] ?? 0) * 2 ** 32

function setWide(words: Uint32Array, at: number, value: number): void {
  words[at] = value >>> 0
  words[at + 1] = Math.floor(value / 2 ** 32)
}
