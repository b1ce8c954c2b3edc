import { randomBytes } from 'node:crypto'

/** Chance as an input; the simulator gives each component a stream of its own. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  bytes(length: number): Uint8Array
}

/** Random bytes are asked for by the page: a call to the system costs more than a hundred ids. */
const POOL_BYTES = 8_192

export const createSystemRandom = (): Random => {
  let pool = randomBytes(POOL_BYTES)
  let used = 0
  const take = (length: number): Uint8Array => {
    if (length > POOL_BYTES) return randomBytes(length)
    if (used + length > POOL_BYTES) {
      pool = randomBytes(POOL_BYTES)
      used = 0
    }
    used += length
    return pool.subarray(used - length, used)
  }
  return {
    next: () => {
      if (used + 6 > POOL_BYTES) {
        pool = randomBytes(POOL_BYTES)
        used = 0
      }
      used += 6
      return pool.readUIntBE(used - 6, 6) / 2 ** 48
    },
    bytes: take,
  }
}

/**
 * A reproducible stream: the same seed gives the same numbers. Not for secrets.
 *
 * @see "sfc32" in Practically Random, a small chaotic generator that passes PractRand.
 */
export const createSeededRandom = (seed: number): Random => {
  let a = 0x9e3779b9 | 0
  let b = 0x243f6a88 | 0
  let c = seed | 0
  let counter = Math.floor(seed / 2 ** 32) | 1
  const nextUint32 = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  for (let round = 0; round < 15; round++) nextUint32()
  return {
    next: () => nextUint32() / 2 ** 32,
    bytes: (length) => Uint8Array.from({ length }, () => nextUint32() & 0xff),
  }
}

/** An integer in [minimum, maximum], both included. */
export const randomInteger = (random: Random, minimum: number, maximum: number): number =>
  minimum + Math.floor(random.next() * (maximum - minimum + 1))
