/** States of a fetched position. */
export const WAITING = 0
/** The commit under way finishes it. */
export const STAGED = 1
export const FINISHED = 2

export interface Fetched {
  readonly position: number
  readonly atMs: number
  readonly bytes: number
  readonly state: number
}

const FIRST_CAPACITY = 64

/**
 * Fetched positions in ascending order, as a ring of numbers: there is one of each consumer and
 * message, and an entry of a map for each costs more than a small handler. A place is counted from
 * the beginning and stays while the ring grows.
 */
export class FetchWindow {
  readonly #stride: number
  #capacity = FIRST_CAPACITY
  #positions = new Float64Array(FIRST_CAPACITY)
  #times = new Float64Array(FIRST_CAPACITY)
  #bytes = new Float64Array(FIRST_CAPACITY)
  #states = new Uint8Array(FIRST_CAPACITY)
  /** Place of the first, and behind the last. */
  head = 0
  tail = 0

  /** How far two messages that follow each other are apart, where there are no gaps. */
  constructor(stride = 1) {
    this.#stride = stride
  }

  get size(): number {
    return this.tail - this.head
  }

  push({ position, atMs, bytes, state }: Fetched): void {
    if (this.size === this.#capacity) this.#grow()
    const index = this.#indexOf(this.tail)
    this.#positions[index] = position
    this.#times[index] = atMs
    this.#bytes[index] = bytes
    this.#states[index] = state
    this.tail += 1
  }

  /** Place of a position; -1 when it is not here. */
  find(position: number): number {
    if (this.size === 0) return -1
    // Most often there are no gaps.
    const guess = this.head + (position - this.position(this.head)) / this.#stride
    if (guess >= this.head && guess < this.tail && this.position(guess) === position) return guess
    let low = this.head
    let high = this.tail - 1
    while (low <= high) {
      const middle = Math.floor((low + high) / 2)
      const found = this.position(middle)
      if (found === position) return middle
      if (found < position) low = middle + 1
      else high = middle - 1
    }
    return -1
  }

  position(place: number): number {
    return this.#positions[this.#indexOf(place)] ?? 0
  }

  atMs(place: number): number {
    return this.#times[this.#indexOf(place)] ?? 0
  }

  bytes(place: number): number {
    return this.#bytes[this.#indexOf(place)] ?? 0
  }

  state(place: number): number {
    return this.#states[this.#indexOf(place)] ?? WAITING
  }

  setState(place: number, state: number): void {
    this.#states[this.#indexOf(place)] = state
  }

  /** Lets go of what is finished at the front. */
  dropFinished(): void {
    while (this.head < this.tail && this.state(this.head) === FINISHED) this.head += 1
  }

  /** The capacity is a power of two, so its low bits are the remainder, of any whole number. */
  #indexOf(place: number): number {
    return place & (this.#capacity - 1)
  }

  #grow(): void {
    const { head, tail } = this
    const kept: Fetched[] = []
    for (let place = head; place < tail; place++) {
      kept.push({
        position: this.position(place),
        atMs: this.atMs(place),
        bytes: this.bytes(place),
        state: this.state(place),
      })
    }
    this.#capacity *= 2
    this.#positions = new Float64Array(this.#capacity)
    this.#times = new Float64Array(this.#capacity)
    this.#bytes = new Float64Array(this.#capacity)
    this.#states = new Uint8Array(this.#capacity)
    this.tail = head
    for (const entry of kept) this.push(entry)
  }
}
