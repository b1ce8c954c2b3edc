import type { JournalFile } from '../../store/index.ts'
import type { FaultDice } from './fault-dice.ts'
import type { NodeClock } from './node-clock.ts'
import { SimulatedFault } from './simulated-fault.ts'
import type { SituationBook } from './situations.ts'

/** The process that has the file open: its time, and how it dies. */
export interface FileHolder {
  readonly clock: NodeClock
  /** Whether a partner waits for an answer of it. */
  readonly isServing: () => boolean
  readonly die: () => void
  readonly freeze: () => void
}

const SYNC_MS_MAX = 1
const SLOW_MS_MAX = 4_000

/**
 * A file on a simulated disk: what is appended is in the page cache, and on the disk once it is
 * synced. A process that dies leaves its page cache; a loss of power leaves what was synced and a
 * random part of the rest.
 */
export class SimulatedFile implements JournalFile {
  readonly #dice: FaultDice
  readonly #situations: SituationBook
  #bytes = Buffer.alloc(262_144)
  #length = 0
  #synced = 0
  /** Up to here somebody was told that it is on the disk. */
  #told = 0
  /** An fsync failed: what it should have written is not in the page cache for sure any more. */
  #isDirtyLost = false
  #holder: FileHolder | undefined
  #syncing = 0
  #flipped: { readonly index: number; readonly mask: number } | undefined

  constructor(dice: FaultDice, situations: SituationBook) {
    this.#dice = dice
    this.#situations = situations
  }

  /** From now on this process calls it. */
  hold(holder: FileHolder): void {
    this.#holder = holder
  }

  append(bytes: Uint8Array): void {
    if (this.#dice.happens('diskFull')) {
      const room = Math.floor(this.#dice.random('diskFull').next() * bytes.length)
      this.#write(bytes.subarray(0, room))
      this.#situations.hit('disk-full')
      throw new SimulatedFault('ENOSPC: no space left on device, write')
    }
    this.#write(bytes)
  }

  async sync(): Promise<void> {
    const holder = this.#holder
    if (!holder) return
    const upTo = this.#length
    this.#syncing += 1
    try {
      await this.#syncAs(holder, upTo)
    } finally {
      this.#syncing -= 1
    }
  }

  async #syncAs(holder: FileHolder, upTo: number): Promise<void> {
    const isSlow = this.#dice.happens('slowDisk')
    const waitMs = this.#dice.random('slowDisk').next() * (isSlow ? SLOW_MS_MAX : SYNC_MS_MAX)
    if (this.#dice.happens('crashBeforeCommit')) {
      // Part of the way to the disk, which a loss of power decides.
      if (holder.isServing()) this.#situations.hit('crash-before-commit')
      holder.clock.wake(waitMs, holder.die)
      return NEVER
    }
    if (this.#dice.happens('pausesInSync')) holder.freeze()
    await new Promise<void>((resolve) => holder.clock.wake(waitMs, resolve))
    // Whoever took the file over meanwhile has settled what was not synced.
    if (this.#holder !== holder) return
    if (this.#dice.happens('syncFails')) {
      this.#isDirtyLost = true
      throw new SimulatedFault('EIO: i/o error, fsync')
    }
    this.#synced = Math.max(this.#synced, Math.min(upTo, this.#length))
    if (this.#dice.happens('commitLies')) throw new SimulatedFault('EIO: i/o error, fsync')
    this.#told = this.#synced
  }

  read(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  truncate(length: number): void {
    this.#length = Math.min(this.#length, length)
    this.#synced = Math.min(this.#synced, length)
  }

  /** What is left of it when its process dies. */
  afterDeath(): void {
    this.#syncing = 0
    const unsynced = this.#length - this.#synced
    const random = this.#dice.random('powerLoss')
    const isPowerLost = this.#dice.happens('powerLoss') || this.#isDirtyLost
    this.#isDirtyLost = false
    if (isPowerLost && unsynced > 0) {
      const kept = Math.min(unsynced, Math.floor(random.next() * (unsynced + 2)))
      if (kept > 0 && kept < unsynced) this.#situations.hit('torn-tail')
      this.#length = this.#synced + kept
    }
    // Whatever is there now, the next process reads: it is on the disk.
    this.#synced = this.#length
    if (!this.#flipped && this.#told > 0 && this.#dice.happens('bitFlips')) this.#flip()
  }

  get isSyncing(): boolean {
    return this.#syncing > 0
  }

  /** Another process has read it, and made it its own. */
  takenOver(): void {
    this.#synced = this.#length
    this.#told = this.#length
    this.#syncing = 0
  }

  /** Somebody brings the right bytes back, from a backup for example. */
  repair(): void {
    if (!this.#flipped) return
    const { index, mask } = this.#flipped
    this.#bytes[index] = (this.#bytes[index] ?? 0) ^ mask
    this.#flipped = undefined
  }

  #flip(): void {
    const random = this.#dice.random('bitFlips')
    const index = Math.floor(random.next() * this.#told)
    const mask = 1 << Math.floor(random.next() * 8)
    this.#bytes[index] = (this.#bytes[index] ?? 0) ^ mask
    this.#flipped = { index, mask }
  }

  #write(bytes: Uint8Array): void {
    const length = this.#length + bytes.length
    if (length > this.#bytes.length) {
      const larger = Buffer.alloc(2 * length)
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    this.#bytes.set(bytes, this.#length)
    this.#length = length
  }
}

const NEVER = new Promise<never>(() => undefined)
