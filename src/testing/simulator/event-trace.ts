import { createHash } from 'node:crypto'

const EVENTS_KEPT = 60
/** Lines that go into the hash together: one call for each line would cost more than the hash. */
const LINES_HASHED = 64

/** Everything that happens in a world, in order: a hash of all of it, and the latest lines. */
export class EventTrace {
  readonly #hash = createHash('sha256')
  readonly #onEvent: ((line: string) => void) | undefined
  readonly #lines: string[] = []
  #unhashed = ''
  #unhashedLines = 0

  constructor(onEvent: ((line: string) => void) | undefined) {
    this.#onEvent = onEvent
  }

  add(nowMs: number, what: string): void {
    const line = `${Math.round(nowMs * 1_000) / 1_000} ${what}`
    this.#unhashed += `${line}\n`
    this.#unhashedLines += 1
    if (this.#unhashedLines >= LINES_HASHED) this.#digestLines()
    this.#onEvent?.(line)
    this.#lines.push(line)
    if (this.#lines.length > 2 * EVENTS_KEPT) this.#lines.splice(0, EVENTS_KEPT)
  }

  get latest(): readonly string[] {
    return this.#lines.slice(-EVENTS_KEPT)
  }

  /** Of everything; nothing is added afterwards. */
  digest(): string {
    this.#digestLines()
    return this.#hash.digest('hex')
  }

  #digestLines(): void {
    this.#hash.update(this.#unhashed)
    this.#unhashed = ''
    this.#unhashedLines = 0
  }
}
