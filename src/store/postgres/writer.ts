import type { Client } from 'pg'
import { assert, type Clock, JuncturaError, type Timer } from '../../kernel/index.ts'
import { isConflict, storeErrorOf, unknownCommit } from './postgres-errors.ts'
import { createSession, integerAt, type PgModule, type Session, textAt } from './session.ts'

/**
 * The one connection that writes, and the lease that lets this process be the one that does.
 *
 * The lease is a row: whoever takes it adds one to its epoch, and every transaction begins by
 * locking that row and comparing. A process that was taken over while it slept is refused by its
 * next commit, whatever the clocks say; the time of expiry, by the clock of the database, only
 * tells others when they may take over. There is no session lock, so a pooler may stand between.
 *
 * Modes: `open`; `lost` after a commit whose outcome is unknown, or once another process has the
 * lease, which ends only with this object; `closed`. A connection that breaks outside of a commit
 * changes nothing: the next transaction makes a new one.
 */
export class Writer {
  readonly #options: WriterOptions
  #client: Client | undefined
  #epoch = 0
  #lost: JuncturaError | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #renewal: Timer | undefined
  #renewing: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** Nothing is written any more: what this process believes and what is stored may differ. */
  distrust(problem: string): JuncturaError {
    this.#lost ??= unknownCommit(problem)
    return this.#lost
  }

  /** Runs after everything before it, alone. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing) return Promise.reject(closedError())
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  /**
   * Runs `prepare` in a transaction of its own, then waits for the lease: as long as a dead
   * process may hold it, and no longer once its holder shows that it lives.
   *
   * @throws JUNCTURA_STORE_LOCKED when another process holds it.
   */
  async open(prepare: (session: Session) => Promise<void>): Promise<void> {
    const client = await this.#connected()
    await this.#inTransaction(client, async (session) => prepare(session))
    const session = createSession(client)
    let seen: string | undefined
    for (;;) {
      if (await this.#take(session)) break
      const { schema } = this.#options
      const [row] = await session.rows(`select owner, expires_at::text from ${schema}.writer`)
      const holder = `${textAt(row, 0)} until ${textAt(row, 1)}`
      if (seen !== undefined && seen !== holder) {
        throw new JuncturaError('JUNCTURA_STORE_LOCKED', {
          details: { directory: `schema ${schema}`, pid: textAt(row, 0) },
        })
      }
      seen = holder
      await session.rows(`select pg_sleep(${LEASE_POLL_S})`)
    }
    this.#armRenewal()
  }

  /**
   * One transaction of the holder of the lease. The caller has it `exclusively`.
   *
   * @throws JUNCTURA_STORE_UNKNOWN when the answer to the commit did not come.
   * @throws JUNCTURA_STORE_FENCED when another process has taken the lease.
   */
  async transaction<T>(work: (transaction: WriterTransaction) => Promise<T>): Promise<T> {
    if (this.#lost) throw this.#lost
    const client = await this.#connected()
    return await this.#inTransaction(client, async (session) => {
      const head = await this.#hold(session)
      return await work({ client, session, head, advance: (to) => this.#advance(session, to) })
    })
  }

  /** Waits for what runs, lets the lease go, and closes the connection. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#turn.then(async () => {
      this.#renewal?.cancel()
      await this.#renewing
      const client = this.#client
      if (client === undefined) return
      if (this.#lost === undefined && this.#epoch > 0) {
        const { schema } = this.#options
        await createSession(client)
          .run(`update ${schema}.writer set expires_at = '-infinity' where epoch = $1`, this.#epoch)
          // Without it the next process waits for the lease to expire: slower, and as safe.
          .catch(() => undefined)
      }
      this.#drop(client)
    })
    return this.#closing
  }

  async #connected(): Promise<Client> {
    if (this.#client) return this.#client
    const { pg, url } = this.#options
    const client = new pg.Client({
      connectionString: url,
      keepAlive: true,
      application_name: `junctura writer ${this.#options.schema}`,
    })
    // A connection that breaks while idle has nobody else to tell.
    client.on('error', () => this.#drop(client))
    client.on('end', () => this.#drop(client))
    try {
      await client.connect()
    } catch (error) {
      throw storeErrorOf(error, this.#options.schema)
    }
    this.#client = client
    return client
  }

  #drop(client: Client): void {
    if (this.#client === client) this.#client = undefined
    client.end().catch(() => undefined)
  }

  async #inTransaction<T>(client: Client, work: (session: Session) => Promise<T>): Promise<T> {
    const session = createSession(client)
    let result: T
    try {
      await session.exec(beginOf(this.#options.leaseMs))
      result = await work(session)
    } catch (error) {
      await this.#rollback(client)
      if (isConflict(error)) throw error
      throw storeErrorOf(error, this.#options.schema)
    }
    await this.#commit(client)
    return result
  }

  async #commit(client: Client): Promise<void> {
    const session = createSession(client)
    try {
      const command = await session.exec('commit')
      assert(command === 'COMMIT', 'a transaction that is committed was not aborted before')
    } catch (error) {
      // A server that answers has ended the transaction; one that is gone may have committed it.
      if (await this.#rollback(client)) {
        throw isConflict(error) ? error : storeErrorOf(error, this.#options.schema)
      }
      this.#lost = unknownCommit(error)
      throw this.#lost
    }
  }

  /** False when the connection is of no use any more. */
  async #rollback(client: Client): Promise<boolean> {
    if (this.#client !== client) return false
    try {
      await createSession(client).exec('rollback')
      return true
    } catch {
      // Its transaction ends with the connection.
      this.#drop(client)
      return false
    }
  }

  async #take(session: Session): Promise<boolean> {
    const { schema, owner, leaseMs } = this.#options
    const [row] = await session.rows(
      `update ${schema}.writer
          set epoch = epoch + 1, owner = $1, expires_at = ${expiryOf('$2')}
        where expires_at <= clock_timestamp() returning epoch`,
      owner,
      leaseMs,
    )
    if (row === undefined) return false
    this.#epoch = integerAt(row, 0)
    return true
  }

  /** Locks the lease for this transaction; gives the last position. */
  async #hold(session: Session): Promise<number> {
    const { schema } = this.#options
    const sql = `select head from ${schema}.writer where epoch = $1 for update`
    const [row] = await session.rows(sql, this.#epoch)
    if (row === undefined) {
      this.#lost = new JuncturaError('JUNCTURA_STORE_FENCED', { details: { store: schema } })
      throw this.#lost
    }
    return integerAt(row, 0)
  }

  async #advance(session: Session, head: number): Promise<void> {
    const { schema, leaseMs } = this.#options
    const written = await session.run(
      `update ${schema}.writer set head = $1, expires_at = ${expiryOf('$2')} where epoch = $3`,
      head,
      leaseMs,
      this.#epoch,
    )
    assert(written === 1, 'the lease is held to the end of the transaction')
  }

  #armRenewal(): void {
    const { clock, leaseMs } = this.#options
    this.#renewal = clock.setTimer(leaseMs / RENEWALS_PER_LEASE, () => {
      this.#renewing = this.#renew().finally(() => {
        if (!this.#closing && !this.#lost) this.#armRenewal()
      })
    })
  }

  async #renew(): Promise<void> {
    const { schema, leaseMs } = this.#options
    const sql = `update ${schema}.writer set expires_at = ${expiryOf('$1')} where epoch = $2`
    await this.exclusively(async () => {
      if (this.#lost) return
      const session = createSession(await this.#connected())
      await session.run(sql, leaseMs, this.#epoch)
    }).catch(() => {
      // The next commit meets the same trouble and says so; the lease is not what keeps it safe.
    })
  }
}

export interface WriterOptions {
  readonly pg: PgModule
  readonly url: string
  readonly schema: string
  readonly clock: Clock
  /** Shown to whoever finds the store taken. */
  readonly owner: string
  readonly leaseMs: number
}

export interface WriterTransaction {
  readonly client: Client
  readonly session: Session
  /** Last position given, as the database has it. */
  readonly head: number
  advance(head: number): Promise<void>
}

const RENEWALS_PER_LEASE = 3
const LEASE_POLL_S = 0.1

const expiryOf = (parameter: string): string =>
  `clock_timestamp() + ${parameter} * interval '1 millisecond'`

/**
 * Set for each transaction and not for the session, so that a pooler may hand out another session
 * each time. A process that hangs must not keep its locks longer than its lease.
 */
const beginOf = (leaseMs: number): string => `
  begin isolation level read committed read write;
  set local search_path = public;
  set local bytea_output = 'hex';
  set local idle_in_transaction_session_timeout = ${Math.ceil(leaseMs)};
  select set_config('synchronous_commit', 'on', true)
   where current_setting('synchronous_commit') in ('off', 'local')`

export const closedError = (): JuncturaError =>
  new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The store' } })
