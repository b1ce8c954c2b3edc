import type { Clock } from './clock.ts'
import type { Random } from './random.ts'

/** The short word in front of every id, so that an id read in a log says what it names. */
export type IdPrefix =
  | 'msg'
  | 'dead'
  | 'inv'
  | 'alert'
  | 'op'
  | 'replay'
  | 'trace'
  | 'token'
  | 'run'

export interface Ids {
  /** For example `msg_01933d2e7c0a7b6c9f0e6b1f7d3a5c21`; sorts by time of creation. */
  next(prefix: IdPrefix): string
}

/**
 * UUID version 7 on the injected clock, written as 32 hex digits after the prefix. Ids made by one
 * process grow strictly, also within a millisecond and when the wall clock steps back.
 *
 * @see RFC 9562 section 5.7 and section 6.2 (method 1, a counter in rand_a).
 */
export const createIds = (clock: Clock, random: Random): Ids => {
  let lastMs = 0
  let timeHex = hexOfTime(0)
  let counter = 0
  return {
    next(prefix) {
      const nowMs = clock.now()
      if (nowMs > lastMs) {
        lastMs = nowMs
        timeHex = hexOfTime(lastMs)
        counter = Math.floor(random.next() * 0x400)
      } else if (++counter > 0xfff) {
        lastMs += 1
        timeHex = hexOfTime(lastMs)
        counter = 0
      }
      return `${prefix}_${uuidV7Hex(timeHex, counter, random)}`
    },
  }
}

const hexOfTime = (timeMs: number): string => timeMs.toString(16).padStart(12, '0')

function uuidV7Hex(time: string, counter: number, random: Random): string {
  const sequence = (0x7000 | counter).toString(16)
  const variant = (0x8000 | Math.floor(random.next() * 0x4000)).toString(16)
  const high = Math.floor(random.next() * 2 ** 24)
  const low = Math.floor(random.next() * 2 ** 24)
  return time + sequence + variant + hex24(high) + hex24(low)
}

const hex24 = (value: number): string => value.toString(16).padStart(6, '0')
