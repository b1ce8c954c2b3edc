import type { Database, SqlValue } from '../../contract/index.ts'
import { type ErrorCode, JuncturaError } from '../../kernel/index.ts'
import { databaseOf, type UserStatements } from './user-statements.ts'

/** A statement that has run, so that it can be run again. */
export interface Written {
  readonly sql: string
  readonly parameters: readonly SqlValue[]
  readonly changes: number
}

/** Of a callback with more, none is kept. */
const WRITTEN_MAX = 64

/** Of any other statement the engine tells the count of the one before it, so nothing is known. */
const COUNTED = /^\s*(?:insert|replace|update|delete)\b/i

/**
 * The `db` of one callback, on an engine whose statements are done when they return. It holds what
 * `runTx` promises: a statement that fails fails the transaction, also when the callback catches
 * the error or never awaited it; after `close` a call is refused and runs nothing.
 */
export class SyncTx {
  readonly database: Database
  readonly #user: UserStatements
  #over: ErrorCode | undefined
  #failure: { readonly error: unknown } | undefined
  #statements = 0
  /** In order; undefined when it has read, or has done more than is kept or can be compared. */
  written: Written[] | undefined = []

  constructor(user: UserStatements) {
    this.#user = user
    this.database = databaseOf(this)
  }

  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }

  /** How many it has run. */
  get statements(): number {
    return this.#statements
  }

  close(over: ErrorCode): void {
    this.#over = over
  }

  run(sql: string, parameters: readonly SqlValue[]): { readonly changes: number } {
    this.#begin()
    try {
      const ran = this.#user.run(sql, parameters)
      this.#note(sql, parameters, ran.changes)
      return ran
    } catch (error) {
      throw this.#failed(error)
    }
  }

  all(sql: string, parameters: readonly SqlValue[]): unknown[] {
    this.#begin()
    this.written = undefined
    try {
      return this.#user.all(sql, parameters)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  get(sql: string, parameters: readonly SqlValue[]): unknown {
    this.#begin()
    this.written = undefined
    try {
      return this.#user.get(sql, parameters)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  #begin(): void {
    if (this.#over) throw new JuncturaError(this.#over)
    if (this.#failure) throw this.#failure.error
    this.#statements += 1
  }

  #note(sql: string, parameters: readonly SqlValue[], changes: number): void {
    const { written } = this
    if (!written) return
    // Bytes may be changed by whoever gave them.
    const isKept = written.length < WRITTEN_MAX && COUNTED.test(sql) && !parameters.some(isBytes)
    if (isKept) written.push({ sql, parameters, changes })
    else this.written = undefined
  }

  #failed(error: unknown): unknown {
    this.#failure ??= { error }
    return error
  }
}

const isBytes = (value: SqlValue): boolean => value instanceof Uint8Array
