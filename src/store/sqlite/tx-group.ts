import { JuncturaError } from '../../kernel/index.ts'
import type { Connection } from './connection.ts'
import { LostCommit } from './lost-commit.ts'
import type { SyncTx, Written } from './sync-tx.ts'
import type { UserStatements } from './user-statements.ts'

/** A callback that fails has at most about so many statements of its neighbours repeated. */
const STATEMENTS_MAX = 64

/**
 * One savepoint for several callbacks in a row. A savepoint for each costs more than the statement
 * that most of them run: the engine copies every page that is written for the first time after one.
 *
 * The callback that fails is undone alone all the same: the group is rolled back, and what the
 * callbacks before it wrote is written again, statement by statement, as nothing else has happened
 * in between. Nobody has read what they wrote, or it might come out otherwise (`random()`): a
 * callback that reads is the last of its group.
 *
 * Modes: no group, until the next callback begins; open, until `end`.
 */
export class TxGroup {
  readonly #writer: Connection
  readonly #user: UserStatements
  #isOpen = false
  #written: Written[] = []

  constructor(writer: Connection, user: UserStatements) {
    this.#writer = writer
    this.#user = user
  }

  /** A callback is about to run. */
  begin(): void {
    if (this.#isOpen) return
    this.#writer.run('SAVEPOINT junctura_group')
    this.#isOpen = true
  }

  /** The callback is done and stays. */
  keep({ written }: SyncTx): void {
    if (!written) return this.end()
    for (const one of written) this.#written.push(one)
    if (this.#written.length >= STATEMENTS_MAX) this.end()
  }

  /**
   * Undoes the callback that has just run, and nothing else.
   *
   * @throws LostCommit when its neighbours cannot be done again.
   */
  undo(): void {
    this.#writer.run('ROLLBACK TO junctura_group')
    for (const one of this.#written) this.#writeAgain(one)
  }

  end(): void {
    if (!this.#isOpen) return
    this.#writer.run('RELEASE junctura_group')
    this.#isOpen = false
    this.#written = []
  }

  #writeAgain({ sql, parameters, changes }: Written): void {
    let again: { readonly changes: number }
    try {
      again = this.#user.run(sql, parameters)
    } catch (error) {
      this.#user.takeEngineFailure()
      throw new LostCommit(error)
    }
    if (again.changes === changes) return
    const problem = 'a statement of ctx.tx changed other rows when it was repeated'
    throw new LostCommit(new JuncturaError('JUNCTURA_STORE_FAILED', { details: { problem } }))
  }
}
