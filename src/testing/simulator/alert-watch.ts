import type { AlertRow, AppliedCommit, DeadLetterRow } from '../../store/index.ts'

/** Causes that end by themselves once the databases of outboxes are well. */
const OUTBOX_KINDS: ReadonlySet<string> = new Set(['outbox-away', 'outbox-waits'])

/**
 * Alerts as the durable rows say: at most one that is not resolved for each cause, one for every
 * dead letter that is open, and none about dead letters without one.
 */
export class AlertWatch {
  /** Alerts that are not resolved, by cause, and which alerts those are. */
  readonly #open = new Map<string, Map<string, AlertRow>>()
  readonly #letters = new Map<string, Set<string>>()
  readonly #owing = new Set<string>()
  readonly #fail: (sentence: string) => void
  readonly #perCauseMax: number

  /** Each process of a shared store raises what it sees itself, so that many may be open. */
  constructor(fail: (sentence: string) => void, perCauseMax: number) {
    this.#fail = fail
    this.#perCauseMax = perCauseMax
  }

  applied({ rows }: AppliedCommit): void {
    const causes = new Set<string>()
    for (const write of rows) {
      if (write.collection === 'alerts') this.#alert(write.key, write.row, causes)
      if (write.collection === 'deadLetters') this.#letter(write.row, causes)
    }
    for (const cause of causes) this.#check(cause)
  }

  /** Notifications that are still to be sent. */
  get owing(): number {
    return this.#owing.size
  }

  /** Alerts about outboxes that have not ended yet. */
  get outboxAlerts(): readonly string[] {
    const alerts = [...this.#open.values()].flatMap((open) => [...open.values()])
    return alerts.filter(({ kind }) => OUTBOX_KINDS.has(kind)).map(({ cause }) => cause)
  }

  /** At rest no alert is left whose cause is gone. */
  checkAll(): void {
    for (const [cause, alerts] of this.#open) {
      for (const alert of alerts.values()) {
        if (alert.kind === 'dead-letter' && (this.#letters.get(cause)?.size ?? 0) === 0)
          this.#fail(`alert ${alert.id} is open and no dead letter of its cause is`)
      }
    }
  }

  #alert(id: string, row: AlertRow | undefined, causes: Set<string>): void {
    if (!row) {
      this.#owing.delete(id)
      // Folded into the one that another process opened for the same cause.
      for (const [cause, alerts] of this.#open) if (alerts.delete(id)) causes.add(cause)
      return
    }
    if (row.owed.length > 0) this.#owing.add(id)
    else this.#owing.delete(id)
    let alerts = this.#open.get(row.cause)
    if (!alerts) this.#open.set(row.cause, (alerts = new Map()))
    if (row.state === 'resolved') alerts.delete(id)
    else alerts.set(id, row)
    causes.add(row.cause)
  }

  #letter(row: DeadLetterRow | undefined, causes: Set<string>): void {
    if (!row) return
    for (const ids of this.#letters.values()) ids.delete(row.id)
    if (row.state !== 'open') return
    let ids = this.#letters.get(row.cause)
    if (!ids) this.#letters.set(row.cause, (ids = new Set()))
    ids.add(row.id)
    causes.add(row.cause)
  }

  #check(cause: string): void {
    const alerts = this.#open.get(cause)?.size ?? 0
    const letters = this.#letters.get(cause)?.size ?? 0
    if (alerts > this.#perCauseMax) this.#fail(`${alerts} alerts are open for the cause ${cause}`)
    if (letters > 0 && alerts === 0)
      this.#fail(`a dead letter of the cause ${cause} is open and nobody was told`)
  }
}
