import { type Clock, JuncturaError } from '../../kernel/index.ts'
import type { TxOutcome } from '../run-tx.ts'
import type { Unit, UnitOutcome } from '../store.ts'
import {
  type CheckedWork,
  checkClaims,
  checkWork,
  committedOutcome,
  NO_WORK,
} from '../unit-check.ts'
import type { ClaimTables } from './claim-tables.ts'
import type { Connection } from './connection.ts'
import type { LogWriter } from './log-writer.ts'
import { LostCommit } from './lost-commit.ts'
import type { StateWriter } from './state-tables.ts'
import type { UserStatements } from './user-statements.ts'

export interface UnitWriterOptions {
  readonly clock: Clock
  readonly writer: Connection
  readonly logWriter: LogWriter
  readonly stateWriter: StateWriter
  readonly claims: ClaimTables
  readonly user: UserStatements
}

/**
 * Writes one unit into the transaction that is open. Everything that can be refused is checked
 * before the first write, so that only the user's statements need a savepoint, which would cost as
 * much as the append.
 */
export class UnitWriter {
  readonly #options: UnitWriterOptions

  constructor(options: UnitWriterOptions) {
    this.#options = options
  }

  /** @throws LostCommit when the engine fails. */
  write(unit: Unit): UnitOutcome {
    const refused = this.refusal(unit)
    if (refused) return refused
    let work: CheckedWork
    try {
      work = checkWork(unit)
      checkClaims(unit, work.appends.length)
    } catch (error) {
      return { status: 'failed', error }
    }
    return this.apply(unit, work)
  }

  /**
   * The callback of a unit has run: what the unit and its callback write together.
   *
   * @throws what the callback failed with, or what is wrong with its work.
   * @throws LostCommit when the engine fails.
   */
  judge(unit: Unit, own: CheckedWork, ran: TxOutcome<Pick<Unit, 'appends' | 'rows'>>): CheckedWork {
    const { writer, user } = this.#options
    const lost = user.takeEngineFailure()
    if (lost) throw new LostCommit(lost.error)
    if (!writer.db.isTransaction) throw new LostCommit(endedTransaction())
    if (ran.status === 'failed') throw ran.error
    const work = joined(own, checkWork(ran.value ?? {}))
    checkClaims(unit, work.appends.length)
    return work
  }

  /** Why nothing of a unit is written, if so. */
  refusal(unit: Unit): UnitOutcome | undefined {
    const { claims, stateWriter, clock } = this.#options
    const conflict = unit.claims && claims.conflict(unit.claims, clock.now())
    if (conflict) return { status: 'duplicate', ...conflict }
    const guard = unit.guards?.findIndex((candidate) => !stateWriter.holds(candidate)) ?? -1
    return guard < 0 ? undefined : { status: 'guarded', guard }
  }

  /** @throws LostCommit when the engine fails. */
  apply(unit: Unit, work: CheckedWork): UnitOutcome {
    const { logWriter, stateWriter, claims, clock } = this.#options
    if (work === NO_WORK) return NOTHING_APPENDED
    const positions: number[] = []
    const leftOut: number[] = []
    try {
      for (const append of work.appends) {
        const key = append.claim && claims.look(append.claim, clock.now())
        if (key?.position !== undefined) {
          leftOut.push(positions.push(key.position) - 1)
          continue
        }
        const position = logWriter.append(append)
        positions.push(position)
        if (key) claims.take(key, position, clock.now())
      }
      for (const row of work.rows) stateWriter.put(row)
    } catch (error) {
      throw new LostCommit(error)
    }
    if (unit.claims) claims.hold(unit.claims, positions, clock.now())
    return committedOutcome(positions, leftOut)
  }
}

const joined = (own: CheckedWork, returned: CheckedWork): CheckedWork => {
  if (own === NO_WORK) return returned
  return {
    appends: [...own.appends, ...returned.appends],
    rows: [...own.rows, ...returned.rows],
  }
}

const NOTHING_APPENDED: UnitOutcome = { status: 'committed', positions: [] }

const endedTransaction = (): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_FAILED', {
    details: { problem: 'a statement of ctx.tx ended the transaction of the whole group' },
  })
