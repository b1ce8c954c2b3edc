import { type Clock, type ErrorCode, JuncturaError, must } from '../../kernel/index.ts'
import type { TxOutcome } from '../run-tx.ts'
import type { Unit, UnitOutcome } from '../store.ts'
import { type CheckedWork, checkWork } from '../unit-check.ts'
import type { Connection } from './connection.ts'
import { LostCommit } from './lost-commit.ts'
import { SyncTx } from './sync-tx.ts'
import { TxGroup } from './tx-group.ts'
import type { UnitWriter } from './unit-writer.ts'
import type { UserStatements } from './user-statements.ts'

export interface UnitChainOptions {
  readonly clock: Clock
  readonly writer: Connection
  readonly unitWriter: UnitWriter
  readonly user: UserStatements
}

/**
 * Writes the units of one transaction, in order. What has statements of the user waits for their
 * callback; one chain waits for all of them, one after the other, with nothing made for each but
 * the promise that its callback gives. Callbacks come first, so that several share a savepoint
 * which holds the user's statements and nothing else; a unit that is looked at before its callback
 * runs first has everything before it written.
 *
 * A callback that is pending when a turn of the event loop has passed, in which it ran no
 * statement, awaits something else, and everything behind it would wait with it: it is cut off with
 * JUNCTURA_TX_LEFT.
 *
 * @throws LostCommit when the engine fails.
 */
export const writeUnits = (
  options: UnitChainOptions,
  units: readonly Unit[],
): Promise<readonly UnitOutcome[]> =>
  new Promise((resolve, reject) => new UnitChain(options, units, { resolve, reject }).next())

interface Told {
  readonly resolve: (outcomes: readonly UnitOutcome[]) => void
  readonly reject: (error: unknown) => void
}

/** The unit whose callback runs. */
interface Running {
  readonly unit: Unit
  readonly work: CheckedWork
  readonly tx: SyncTx
}

type Returned = Awaited<ReturnType<NonNullable<Unit['tx']>>>

/** Made once for many callbacks, as one runs at a time; anew after one was cut off. */
interface Listeners {
  isOff: boolean
  done(value: Returned): void
  failed(error: unknown): void
}

class UnitChain {
  readonly #options: UnitChainOptions
  readonly #units: readonly Unit[]
  readonly #told: Told
  readonly #outcomes: UnitOutcome[] = []
  readonly #group: TxGroup
  /** What the callbacks of units came to; a unit without one has no place here. */
  readonly #called: (CheckedWork | UnitOutcome | undefined)[] = []
  #listeners: Listeners
  #running: Running | undefined
  #isWatched = false

  constructor(options: UnitChainOptions, units: readonly Unit[], told: Told) {
    this.#options = options
    this.#units = units
    this.#told = told
    this.#group = new TxGroup(options.writer, options.user)
    this.#listeners = this.#listen()
  }

  /** Goes on until a callback has to be waited for. */
  next(): void {
    try {
      for (;;) {
        const unit = this.#units[this.#called.length]
        if (!unit) break
        if (unit.tx) {
          if (!this.#call(unit, unit.tx)) return
          continue
        }
        const isNext = this.#outcomes.length === this.#called.length
        this.#called.push(undefined)
        // Nothing waits to be written before it.
        if (isNext) this.#outcomes.push(this.#options.unitWriter.write(unit))
      }
      this.#write()
      this.#told.resolve(this.#outcomes)
    } catch (error) {
      this.#told.reject(error)
    }
  }

  /** Writes the units whose callback is over, or that have none. */
  #write(): void {
    const { unitWriter } = this.#options
    this.#group.end()
    for (let place = this.#outcomes.length; place < this.#called.length; place++) {
      const unit = must(this.#units[place], 'it was called')
      const called = this.#called[place]
      if (!called) this.#outcomes.push(unitWriter.write(unit))
      else this.#outcomes.push('status' in called ? called : unitWriter.apply(unit, called))
    }
  }

  /** False when its callback has to be waited for. */
  #call(unit: Unit, callback: NonNullable<Unit['tx']>): boolean {
    const work = this.#workOf(unit)
    if ('status' in work) return this.#called.push(work) > 0
    this.#group.begin()
    const tx = new SyncTx(this.#options.user)
    this.#running = { unit, work, tx }
    let called: Promise<Returned>
    try {
      called = callback(tx.database)
    } catch (error) {
      this.#end({ status: 'failed', error })
      return true
    }
    const { done, failed } = this.#listeners
    Promise.resolve(called).then(done, failed)
    this.#watch()
    return false
  }

  /** What it writes besides, or why its callback is not run. */
  #workOf(unit: Unit): CheckedWork | UnitOutcome {
    if (unit.claims || unit.guards) {
      this.#write()
      const refused = this.#options.unitWriter.refusal(unit)
      if (refused) return refused
    }
    try {
      return checkWork(unit)
    } catch (error) {
      return { status: 'failed', error }
    }
  }

  #listen(): Listeners {
    const listeners: Listeners = {
      isOff: false,
      done: (value) => {
        if (!listeners.isOff) this.#settled({ status: 'done', value })
      },
      failed: (error) => {
        if (!listeners.isOff) this.#settled({ status: 'failed', error })
      },
    }
    return listeners
  }

  #settled(outcome: TxOutcome<Returned>): void {
    try {
      this.#end(outcome)
    } catch (error) {
      return this.#told.reject(error)
    }
    this.next()
  }

  #end(outcome: TxOutcome<Returned>, over: ErrorCode = 'JUNCTURA_TX_OVER'): void {
    const { unit, work, tx } = must(this.#running, 'a callback is running')
    this.#running = undefined
    tx.close(over)
    const ran = tx.failure ? { status: 'failed' as const, error: tx.failure.error } : outcome
    try {
      this.#called.push(this.#options.unitWriter.judge(unit, work, ran))
    } catch (error) {
      if (error instanceof LostCommit) throw error
      this.#group.undo()
      this.#called.push({ status: 'failed', error })
      return
    }
    this.#group.keep(tx)
  }

  #watch(): void {
    const watched = this.#running?.tx
    if (this.#isWatched || !watched) return
    this.#isWatched = true
    const before = watched.statements
    void this.#options.clock.yield().then(() => {
      this.#isWatched = false
      if (this.#running?.tx === watched && watched.statements === before) this.#cutOff()
      else this.#watch()
    })
  }

  /** It awaits something else; what it still does is refused. */
  #cutOff(): void {
    this.#listeners.isOff = true
    this.#listeners = this.#listen()
    const code = 'JUNCTURA_TX_LEFT'
    try {
      this.#end({ status: 'failed', error: new JuncturaError(code) }, code)
    } catch (error) {
      return this.#told.reject(error)
    }
    this.next()
  }
}
