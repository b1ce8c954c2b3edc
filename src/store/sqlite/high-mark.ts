import { createHash } from 'node:crypto'
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type Clock, LIMITS, type Logger, messageOf, type Timer } from '../../kernel/index.ts'

/** How far a store has come. */
export interface Height {
  /** Which store: the same for as long as it lives, and for every copy of it. */
  readonly store: string
  /** How often it was opened; grows also when nothing is appended. */
  readonly opens: number
  readonly position: number
}

export interface MarkedHeight extends Height {
  /** When it was there, by the wall clock. */
  readonly atMs: number
}

/**
 * Remembers in `<directory>/junctura.mark` how far the store has come, outside the database: a
 * database that is put back from a copy does not take the mark back with it (F29).
 *
 * The mark never runs ahead of what is durable, since it is written after a commit; it may stay
 * behind by LIMITS.highMarkMs. It is a help and no promise: when it cannot be written, that is said
 * once and the store goes on.
 */
export class HighMark {
  readonly #file: string
  readonly #clock: Clock
  readonly #log: Logger
  #descriptor: number | undefined
  #height: Height | undefined
  #written = -1
  #timer: Timer | undefined
  #isBroken = false

  constructor(options: {
    readonly directory: string
    readonly clock: Clock
    readonly log: Logger
  }) {
    this.#file = join(options.directory, 'junctura.mark')
    this.#clock = options.clock
    this.#log = options.log
  }

  /** What was written last; undefined when nothing was, or it cannot be read. */
  read(): MarkedHeight | undefined {
    let text: string
    try {
      text = readFileSync(this.#file, 'utf8')
    } catch {
      // There is none before the first start.
      return undefined
    }
    const height = decode(text)
    if (height === undefined && text !== '') {
      const fields = { file: this.#file }
      this.#log.warn(fields, 'it is unreadable, so an older store would not be noticed this time')
    }
    return height
  }

  write(height: Height): void {
    this.#height = height
    this.#put()
  }

  /** Costs nothing but for once in a while: called after every commit. */
  reached(position: number): void {
    if (this.#height === undefined || position <= this.#height.position) return
    this.#height = { ...this.#height, position }
    if (this.#timer !== undefined) return
    this.#put()
    this.#timer = this.#clock.setTimer(LIMITS.highMarkMs, () => {
      this.#timer = undefined
      this.#put()
    })
  }

  close(): void {
    this.#timer?.cancel()
    this.#put()
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
    this.#height = undefined
  }

  /** One write of one length at the start of the file: there is never half of it. */
  #put(): void {
    const height = this.#height
    if (height === undefined || this.#isBroken || height.position === this.#written) return
    try {
      this.#descriptor ??= openSync(this.#file, constants.O_WRONLY | constants.O_CREAT, 0o644)
      writeSync(this.#descriptor, encode({ ...height, atMs: this.#clock.now() }), 0)
      this.#written = height.position
    } catch (error) {
      this.#isBroken = true
      const fields = { file: this.#file, problem: messageOf(error) }
      this.#log.warn(fields, 'it cannot be written, so a restored older store may go unnoticed')
    }
  }
}

/** What a store is known by; says nothing about its secret. */
export const storeIdOf = (secret: Uint8Array): string =>
  createHash('sha256').update('junctura store\n').update(secret).digest('hex').slice(0, 32)

const LENGTH = 256

const encode = ({ store, opens, position, atMs }: MarkedHeight): string => {
  const content = JSON.stringify({ version: 1, store, opens, position, atMs })
  return `${content} ${crc32(content)}`.padEnd(LENGTH - 1).concat('\n')
}

function decode(text: string): MarkedHeight | undefined {
  const end = text.lastIndexOf('} ') + 1
  const content = text.slice(0, end)
  if (end === 0 || Number(text.slice(end)) !== crc32(content)) return undefined
  const { store, opens, position, atMs }: MarkedHeight = JSON.parse(content)
  return { store, opens, position, atMs }
}
