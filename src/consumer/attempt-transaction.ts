import type { Database } from '../contract/index.ts'
import type { Append, CommitUnit, Submission, UnitOutcome } from '../store/index.ts'

/** The attempt whose `ctx.tx` it is. */
export interface TransactionHost {
  readonly marks: CommitUnit['marks']
  /** Read when the commit is over. */
  readonly volatile: readonly Append[]
  /**
   * The callback is about to run.
   *
   * @throws JUNCTURA_ATTEMPT_OVER
   */
  entered(): void
  /** What commits with the callback's statements. */
  written(): Pick<CommitUnit, 'appends' | 'rows'>
  /** It is durable; `ctx.tx` resolves when what is given back has. */
  committed(outcome: UnitOutcome): Promise<void> | undefined
  /** Nothing of it is; gives what `ctx.tx` rejects with. */
  takenBack(outcome: UnitOutcome): unknown
  /** The store did not take its commit, or does not know whether it has. */
  storeFailed(error: unknown): void
}

/** One call of `ctx.tx`, from its callback to its commit. */
export class Transaction implements Submission {
  readonly unit: CommitUnit
  readonly promise: Promise<unknown>
  returned: readonly Append[] | undefined
  /** Whether its promise has settled, or is about to. */
  isOver = false
  readonly #host: TransactionHost
  readonly #callback: (db: Database) => Promise<unknown>
  #resolve: (value: unknown) => void = ignore
  #reject: (error: unknown) => void = ignore
  #hasValue = false
  #value: unknown

  /** Without a callback it only writes what the attempt has. */
  constructor(host: TransactionHost, callback?: (db: Database) => Promise<unknown>) {
    this.#host = host
    this.#callback = callback ?? nothing
    const { marks, volatile } = host
    if (!callback) {
      host.entered()
      this.#hasValue = true
    }
    const tx: NonNullable<CommitUnit['tx']> = (db) => this.#call(db)
    const work = callback ? { tx } : host.written()
    this.unit = { ...work, ...(marks && { marks }), volatile, isInternal: true }
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  settled(outcome: UnitOutcome): void {
    if (outcome.status !== 'committed' || !this.#hasValue) {
      return this.#fail(this.#host.takenBack(outcome))
    }
    const settling = this.#host.committed(outcome)
    if (settling) void settling.then(() => this.#succeed())
    else this.#succeed()
  }

  refused(error: unknown): void {
    this.#host.storeFailed(error)
    this.#fail(error)
  }

  #call(db: Database): Promise<Pick<CommitUnit, 'appends' | 'rows'>> {
    this.#host.entered()
    // A store may run the callback again, for example after a conflict.
    this.#hasValue = false
    return Promise.resolve(this.#callback(db)).then((value) => {
      this.#hasValue = true
      this.#value = value
      const written = this.#host.written()
      this.returned = written.appends
      return written
    })
  }

  #succeed(): void {
    this.isOver = true
    this.#resolve(this.#value)
  }

  #fail(error: unknown): void {
    this.isOver = true
    // A promise that the handler drops must not end the process.
    this.promise.catch(ignore)
    this.#reject(error)
  }
}

const nothing = (): Promise<undefined> => Promise.resolve(undefined)

const ignore = (): void => undefined
