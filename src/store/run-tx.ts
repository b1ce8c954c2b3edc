import type { Database } from '../contract/index.ts'
import { type Clock, type ErrorCode, JuncturaError } from '../kernel/index.ts'

export interface TxRun<T> {
  readonly clock: Clock
  /** The driver's own: statements run in the transaction that is open now. */
  readonly database: Database
  readonly callback: (db: Database) => Promise<T>
}

/** What became of a callback. After `failed` the driver rolls its savepoint back. */
export type TxOutcome<T> =
  | { readonly status: 'done'; readonly value: T }
  | { readonly status: 'failed'; readonly error: unknown }

/**
 * Runs the user's callback inside the transaction that is open, the same way on every driver.
 *
 * - A statement that fails fails the transaction, also when the callback catches the error or never
 *   awaited it: PostgreSQL cannot go on, so SQLite does not either.
 * - A callback that is pending after a turn of the event loop with no statement under way awaits
 *   something else, and everything behind it in the group commit would wait with it:
 *   JUNCTURA_TX_LEFT.
 * - `db` is dead afterwards: a late call is refused with JUNCTURA_TX_OVER and runs nothing.
 *
 * Never rejects.
 */
export const runTx = async <T>(run: TxRun<T>): Promise<TxOutcome<T>> => {
  const scope = new TxScope(run.database)
  const settled: { outcome?: TxOutcome<T> } = {}
  const running = started(run.callback, scope).then(
    (value) => void (settled.outcome = { status: 'done', value }),
    (error: unknown) => void (settled.outcome = { status: 'failed', error }),
  )
  // A turn of the loop costs more than the statements: first only let promises settle.
  for (let tick = 0; tick < SETTLE_TICKS && !settled.outcome; tick++) await SETTLED
  while (!settled.outcome) {
    const turn = scope.idle().then(() => run.clock.yield())
    await Promise.race([running, turn])
    if (settled.outcome || scope.busy) continue
    scope.close('JUNCTURA_TX_LEFT')
    return { status: 'failed', error: new JuncturaError('JUNCTURA_TX_LEFT') }
  }
  // A statement that nobody awaited still belongs to the transaction.
  await scope.idle()
  scope.close('JUNCTURA_TX_OVER')
  return scope.failure ? { status: 'failed', error: scope.failure.error } : settled.outcome
}

const SETTLED = Promise.resolve()
const SETTLE_TICKS = 24

/** A callback that throws at once is one that rejects. */
const started = async <T>(callback: TxRun<T>['callback'], scope: TxScope): Promise<T> =>
  callback(scope.database)

class TxScope {
  readonly database: Database
  #underWay = 0
  #over: ErrorCode | undefined
  #failure: { readonly error: unknown } | undefined
  #idleWaiters: (() => void)[] = []

  constructor(raw: Database) {
    this.database = {
      run: (sql, ...parameters) => this.#statement(sql, () => raw.run(sql, ...parameters)),
      all: (sql, ...parameters) => this.#statement(sql, () => raw.all(sql, ...parameters)),
      get: (sql, ...parameters) => this.#statement(sql, () => raw.get(sql, ...parameters)),
    }
  }

  get busy(): boolean {
    return this.#underWay > 0
  }

  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }

  async idle(): Promise<void> {
    while (this.#underWay > 0) await new Promise<void>((wake) => this.#idleWaiters.push(wake))
  }

  close(over: ErrorCode): void {
    this.#over = over
  }

  #statement<T>(sql: string, run: () => Promise<T>): Promise<T> {
    const result = this.#run(sql, run)
    // Kept in #failure: a promise that the callback drops must not end the process.
    result.catch(() => undefined)
    return result
  }

  async #run<T>(sql: string, run: () => Promise<T>): Promise<T> {
    if (this.#over) throw new JuncturaError(this.#over)
    if (this.#failure) throw this.#failure.error
    this.#underWay += 1
    try {
      refuseTransactionControl(sql)
      return await run()
    } catch (error) {
      this.#failure ??= { error }
      throw error
    } finally {
      this.#underWay -= 1
      if (this.#underWay === 0) for (const wake of this.#idleWaiters.splice(0)) wake()
    }
  }
}

const CONTROL =
  /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[^]*?\*\/)*(begin|start|commit|end|rollback|abort|savepoint|release|attach|detach|pragma|vacuum)\b/i

/** The transaction belongs to the group commit: a statement must not end it for the others. */
export function refuseTransactionControl(sql: string): void {
  const word = CONTROL.exec(sql)?.[1]
  if (word === undefined) return
  throw new JuncturaError('JUNCTURA_TX_STATEMENT', {
    details: { problem: `${word.toUpperCase()} is not allowed inside ctx.tx` },
  })
}
