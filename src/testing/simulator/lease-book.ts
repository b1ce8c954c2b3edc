import { readSlots, slotOfLane } from '../../consumer/index.ts'
import type { SlotRange } from '../../store/index.ts'

/** A lease as the shared store of a world has it. */
export interface LeaseRecord {
  readonly epoch: number
  /** The process that took it last. */
  readonly node: number
  readonly expiresAtMs: number
  readonly url: string | undefined
  /** Whether that process gave it back itself. */
  readonly isGivenBack: boolean
}

/** Where a message is handled. */
export interface LanePlace {
  readonly consumer: string
  /** Without it, any. */
  readonly lane?: string | undefined
}

/** What the name of a lease says. */
interface NameParts {
  readonly kind: string | undefined
  readonly leased: string | undefined
  readonly slots: SlotRange | undefined
}

/** Names of processes, and what one does once, are nobody's to take over. */
const isOfWork = (name: string): boolean => !/^(worker|relay|progress)\//.test(name)

/** Leases by the time of the store, whatever the clocks of the processes say. */
export class LeaseBook {
  readonly #leases = new Map<string, LeaseRecord>()
  readonly #parts = new Map<string, NameParts>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** The epoch, when nobody else has it. */
  take(
    name: string,
    { node, leaseMs }: { readonly node: number; readonly leaseMs: number },
  ): number | undefined {
    const known = this.#leases.get(name)
    if (known && known.expiresAtMs > this.#nowMs()) return undefined
    const epoch = (known?.epoch ?? 0) + 1
    const expiresAtMs = this.#nowMs() + leaseMs
    this.#leases.set(name, { epoch, node, expiresAtMs, url: undefined, isGivenBack: false })
    return epoch
  }

  /** False when another process has taken it since. */
  renew(name: string, epoch: number, leaseMs: number): boolean {
    return this.#change(name, epoch, { expiresAtMs: this.#nowMs() + leaseMs })
  }

  announce(name: string, epoch: number, url: string): void {
    this.#change(name, epoch, { url })
  }

  release(name: string, epoch: number): void {
    this.#change(name, epoch, { expiresAtMs: this.#nowMs(), isGivenBack: true })
  }

  isCurrent(name: string, epoch: number): boolean {
    return this.#leases.get(name)?.epoch === epoch
  }

  holder(name: string): LeaseRecord | undefined {
    const known = this.#leases.get(name)
    return known && known.expiresAtMs > this.#nowMs() ? known : undefined
  }

  record(name: string): LeaseRecord | undefined {
    return this.#leases.get(name)
  }

  /** Whether that process was the last to take the lease of the consumer, for that lane of it. */
  isLast(node: number, { consumer, lane }: LanePlace): boolean {
    for (const [name, lease] of this.#leases) {
      if (lease.node !== node) continue
      const { kind, leased, slots } = this.#partsOf(name)
      if (leased !== consumer || kind === 'publish') continue
      // Held for a moment, to lay out the rows of progress; it gives no right to handle anything.
      if (kind === 'progress' && (lane !== undefined || lease.isGivenBack)) continue
      if (slots === undefined || lane === undefined) return true
      const slot = slotOfLane(lane)
      if (slots.first <= slot && slot <= slots.last) return true
    }
    return false
  }

  /** All that are held now. */
  *held(): Iterable<readonly [string, LeaseRecord]> {
    for (const [name, lease] of this.#leases) {
      if (lease.expiresAtMs > this.#nowMs()) yield [name, lease]
    }
  }

  /** Leases of work that nobody has now, and since when. */
  *free(): Iterable<{ readonly name: string; readonly sinceMs: number }> {
    for (const [name, { expiresAtMs }] of this.#leases) {
      if (isOfWork(name) && expiresAtMs <= this.#nowMs()) yield { name, sinceMs: expiresAtMs }
    }
  }

  #partsOf(name: string): NameParts {
    let parts = this.#parts.get(name)
    if (!parts) {
      const [kind, leased, slots] = name.split('/')
      // Of a lease to publish, the third part is a channel.
      const hasSlots = slots !== undefined && kind !== 'publish'
      parts = { kind, leased, slots: hasSlots ? readSlots(slots) : undefined }
      this.#parts.set(name, parts)
    }
    return parts
  }

  #change(name: string, epoch: number, change: Partial<LeaseRecord>): boolean {
    const known = this.#leases.get(name)
    if (known?.epoch !== epoch) return false
    this.#leases.set(name, { ...known, ...change })
    return true
  }
}
