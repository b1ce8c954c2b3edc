import type { Client } from 'pg'
import { assert, type Clock, JuncturaError, LIMITS, sleep } from '../../kernel/index.ts'
import type { KnownLayout, Layout, LogView } from './known-layout.ts'
import type { HeldLeases } from './lease-table.ts'
import { type OrderGuard, orderKeyOf } from './order-guard.ts'
import {
  isAnswer,
  isConflict,
  isUndefinedTable,
  isUnexpected,
  storeErrorOf,
  unknownCommit,
} from './postgres-errors.ts'
import {
  createSession,
  integerAt,
  type PgModule,
  type Session,
  type SqlRow,
  textAt,
} from './session.ts'

/**
 * A connection that writes. A store has two: a commit that runs statements of the user waits for
 * them, and what a partner waits for does not wait with it.
 *
 * The order of commits, over all processes, is the order in which they take one lock, which a
 * transaction does late, when only our own statements are left, and keeps to its end. So positions
 * have no gaps, a reader that sees one sees all before it, and nobody waits for a horizon. Within
 * the process the same order is kept by a turn, so that what commits first is also heard of first.
 * There is no session lock: a pooler may stand between.
 *
 * A connection that breaks outside of a commit changes nothing: the next transaction makes a new
 * one. When the answer to a commit does not come, the server is asked what became of it, and
 * everybody behind it waits. What stays unknown, another history of the server, or another process
 * that has taken a lease of this one: then nothing is written any more by any of them.
 */
export class Writer {
  readonly #options: WriterOptions
  #client: Client | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** Runs after everything before it on this connection, alone. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing) return Promise.reject(closedError())
    const result = this.#queue.then(work)
    this.#queue = result.catch(() => undefined)
    return result
  }

  /**
   * One transaction. The caller has the connection `exclusively`.
   *
   * @throws JUNCTURA_STORE_UNKNOWN when the answer to the commit did not come, and the server
   *   could not be asked for it in time.
   * @throws JUNCTURA_STORE_FENCED when another process has taken a lease of this one.
   */
  transaction<T>(work: (transaction: WriterTransaction) => Promise<T>): Promise<T> {
    return this.#transaction(async (session, client, order) => {
      await session.exec(beginOf(this.#options.idleMs))
      return await work({ client, session, order: () => order(() => this.#order(session, '')) })
    })
  }

  /** One transaction that takes its place among the commits at once, in the first exchange. */
  orderedTransaction<T>(work: (transaction: OrderedTransaction) => Promise<T>): Promise<T> {
    return this.#transaction(async (session, client, order) => {
      const before = `${beginOf(this.#options.idleMs)};`
      const ordered = await order(() => this.#order(session, before))
      return await work({ client, session, ...ordered })
    })
  }

  /**
   * The same where nothing has to be looked at first: it writes in that exchange too, and the
   * server makes sure that all is as this process knows it. So other processes wait for this thread
   * at the commit alone. Where `prepare` gives nothing, or something has changed, nothing is
   * written so, and `otherwise` is run instead, in the same turn.
   */
  expectingTransaction<T>(
    prepare: Prepare,
    otherwise: (transaction: OrderedTransaction) => Promise<T>,
  ): Promise<Expected | { readonly otherwise: T }> {
    return this.#transaction<Expected | { readonly otherwise: T }>(
      async (session, client, order) => {
        const written = await order(() => this.#writeExpecting(session, prepare))
        if (written) return { written }
        const before = `${beginOf(this.#options.idleMs)};`
        const ordered = await order(() => this.#order(session, before))
        return { otherwise: await otherwise({ client, session, ...ordered }) }
      },
    )
  }

  /** Waits for what runs, and closes the connection. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#queue.then(() => {
      if (this.#client) this.#drop(this.#client)
    })
    return this.#closing
  }

  async #transaction<T>(
    work: (
      session: Session,
      client: Client,
      order: <O extends OrderedCommit | undefined>(take: () => Promise<O>) => Promise<O>,
    ) => Promise<T>,
  ): Promise<T> {
    const { fate, turn, schema } = this.#options
    if (fate.lost) throw fate.lost
    const client = await this.#connected()
    const session = createSession(client, LIMITS.sqlAnswerMs)
    let endTurn: (() => void) | undefined
    let ordered: OrderedCommit | undefined
    try {
      let result: T
      try {
        result = await work(session, client, async (take) => {
          endTurn ??= await turn.take()
          if (fate.lost) throw fate.lost
          const taken = await take()
          ordered = taken
          return taken
        })
      } catch (error) {
        if (isAnswer(error)) await this.#rollback(client)
        // One that does not answer a statement does not answer the next.
        else this.#drop(client)
        if (isConflict(error) || isUndefinedTable(error)) throw error
        throw storeErrorOf(error, schema)
      }
      await this.#commit(client, ordered)
      return result
    } finally {
      endTurn?.()
    }
  }

  /** Takes the lock that orders commits, and looks at what they have left. */
  async #order(session: Session, before: string): Promise<OrderedCommit> {
    const { schema, known, leases, fate, guard } = this.#options
    const check = leases.check()
    const look = known.prepareLook()
    const results = await guard.during(
      session.batch(`${before}${orderOf(schema)};${look.sql};${check.sql};${OWN_ID}`),
    )
    // First: on another history of the server, leases may have gone back too.
    const view = look.seen(results.at(-3)?.[0]) ?? (await known.look(session))
    const [held] = results.at(-2) ?? []
    if (!check.holdsAll(held)) {
      throw fate.lose(new JuncturaError('JUNCTURA_STORE_FENCED', { details: { store: schema } }))
    }
    if (view.head < known.view.head) {
      const there = `the last position there is ${view.head} and was ${known.view.head}`
      throw fate.lose(unknownCommit(there))
    }
    const id = textAt(results.at(-1)?.[0], 0)
    return { view, isHeard: integerAt(held, 1) > 0, id }
  }

  async #writeExpecting(session: Session, prepare: Prepare): Promise<OrderedCommit | undefined> {
    const { schema, known, leases, guard } = this.#options
    const look = known.expected()
    const prepared = look && prepare(look.layout)
    if (!look || !prepared) return undefined
    const { isHeld, listeners } = leases.check()
    const sql = [
      BEGIN,
      orderOf(schema),
      expected({ schema, look: look.sql, head: known.view.head, isHeld, listeners }),
      ...prepared.statements.filter((statement) => statement !== ''),
    ].join(';')
    const { data } = prepared
    let rows: readonly SqlRow[]
    try {
      rows = await guard.during(
        data ? session.copyIn(sql, data) : session.batch(sql).then((results) => results.flat()),
      )
    } catch (error) {
      if (!isUnexpected(error)) throw error
      await session.exec('rollback')
      return undefined
    }
    // What is written gives no rows.
    const seen = rows.at(-1)
    const view = { layout: look.layout, head: Number(textAt(seen, 0)) }
    return { view, isHeard: textAt(seen, 1) !== '0', id: textAt(seen, 2) }
  }

  async #connected(): Promise<Client> {
    if (this.#client) return this.#client
    const { pg, url, schema } = this.#options
    const client = new pg.Client({
      connectionString: url,
      keepAlive: true,
      connectionTimeoutMillis: LIMITS.sqlConnectMs,
      application_name: `junctura writer ${schema}`,
    })
    // A connection that breaks while idle has nobody else to tell.
    client.on('error', () => this.#drop(client))
    client.on('end', () => this.#drop(client))
    try {
      await client.connect()
    } catch (error) {
      throw storeErrorOf(error, schema)
    }
    this.#client = client
    return client
  }

  #drop(client: Client): void {
    if (this.#client === client) this.#client = undefined
    client.end().catch(() => undefined)
  }

  async #commit(client: Client, ordered: OrderedCommit | undefined): Promise<void> {
    const session = createSession(client, LIMITS.sqlAnswerMs)
    const { schema } = this.#options
    try {
      const command = await session.exec('commit')
      assert(command === 'COMMIT', 'a transaction that is committed was not aborted before')
    } catch (error) {
      // A server that answers has ended the transaction; one that is gone may have committed it.
      if (isAnswer(error) && (await this.#rollback(client))) {
        throw isConflict(error) ? error : storeErrorOf(error, schema)
      }
      this.#drop(client)
      if (!(await this.#hasCommitted(ordered, error))) throw storeErrorOf(error, schema)
    }
  }

  /**
   * Asks the server what became of a commit whose answer was lost, until it knows. The transaction
   * ends by itself where the commit has not arrived. One that stands may still wait for a replica:
   * a commit behind it, which waits for the same, says that it waits no more.
   */
  async #hasCommitted(ordered: OrderedCommit | undefined, cause: unknown): Promise<boolean> {
    const { clock, fate, known } = this.#options
    const untilMs = clock.monotonicMs() + LIMITS.commitAskMs
    while (ordered !== undefined && clock.monotonicMs() < untilMs && !fate.lost) {
      try {
        const session = createSession(await this.#connected(), LIMITS.sqlAnswerMs)
        // First, so that nothing is asked of a server with another history.
        await known.look(session)
        const [row] = await session.rows('select pg_xact_status($1::text::xid8)', ordered.id)
        if (row?.[0] === 'aborted') return false
        if (row?.[0] === 'committed') {
          await session.exec(CONFIRM)
          return true
        }
      } catch {
        // Away still, or with another history: then `fate` says so.
        if (this.#client) this.#drop(this.#client)
      }
      await sleep(clock, ASK_AGAIN_MS)
    }
    throw fate.lost ?? fate.lose(unknownCommit(cause))
  }

  /** False when the connection is of no use any more. */
  async #rollback(client: Client): Promise<boolean> {
    if (this.#client !== client) return false
    try {
      await createSession(client, LIMITS.sqlAnswerMs).exec('rollback')
      return true
    } catch {
      // Its transaction ends with the connection.
      this.#drop(client)
      return false
    }
  }
}

/** What a transaction is known by at the server, also after its connection is gone. */
export interface OrderedCommit extends Ordered {
  readonly id: string
}

const OWN_ID = 'select pg_current_xact_id()::text'

/** Gives the text and the data of what is to be written; undefined when it must be looked first. */
export type Prepare = (layout: Layout) => PreparedWrite | undefined

export interface PreparedWrite {
  /** Without values, and without rows as their result. */
  readonly statements: readonly string[]
  /** For the one of them that is `copy … from stdin`. */
  readonly data: Uint8Array | undefined
}

/** What was written as expected. */
export interface Expected {
  readonly written: OrderedCommit
}

/**
 * Fails with a division by zero unless everything is as it is known. It also says which number the
 * first record has: only who has the lock that orders commits numbers any.
 */
const expected = (known: {
  readonly schema: string
  readonly look: string
  readonly head: number
  readonly isHeld: string
  readonly listeners: string
}): string => `
  select head::text, ${known.listeners}::text, pg_current_xact_id()::text,
    setval('${known.schema}.next_position', head + 1, false),
    1 / (is_known and head >= ${known.head} and ${known.isHeld})::integer
  from (${known.look}) as seen`

/** Writes something, or it would not wait for replicas. */
const CONFIRM = `
  begin;
  select set_config('synchronous_commit', 'on', true)
   where current_setting('synchronous_commit') in ('off', 'local');
  select pg_logical_emit_message(true, 'junctura', 'confirm');
  commit`

const ASK_AGAIN_MS = 100

export interface WriterOptions {
  readonly pg: PgModule
  readonly clock: Clock
  readonly url: string
  readonly schema: string
  /** How long a process that hangs keeps what its statements have locked. */
  readonly idleMs: number
  readonly known: KnownLayout
  readonly leases: HeldLeases
  readonly fate: StoreFate
  readonly turn: Turn
  readonly guard: OrderGuard
}

export interface WriterTransaction {
  readonly client: Client
  readonly session: Session
  /** Takes its place among the commits: from here to its end, nothing else commits anywhere. */
  order(): Promise<Ordered>
}

export interface Ordered {
  readonly view: LogView
  /** Whether another process wants to hear of what this one appends. */
  readonly isHeard: boolean
}

export interface OrderedTransaction extends Ordered {
  readonly client: Client
  readonly session: Session
}

/** Why nothing is written any more by this process, once something has happened. */
export interface StoreFate {
  readonly lost: JuncturaError | undefined
  /** The first reason stays; gives it. */
  lose(error: JuncturaError): JuncturaError
}

export const createStoreFate = (): StoreFate => {
  let lost: JuncturaError | undefined
  return {
    get lost() {
      return lost
    },
    lose(error) {
      lost ??= error
      return lost
    },
  }
}

/**
 * Lets one at a time go on, in the order in which they asked; the next one a turn of the event loop
 * after the one before: by then whoever waits for that one has heard of it.
 */
export interface Turn {
  /** Resolves when it is the caller's turn; what it gives ends it. */
  take(): Promise<() => void>
}

export const createTurn = (clock: Pick<Clock, 'yield'>): Turn => {
  let last: Promise<void> = Promise.resolve()
  return {
    async take() {
      const before = last
      let next: () => void = () => undefined
      last = new Promise((resolve) => (next = resolve))
      await before
      return () => void clock.yield().then(next)
    },
  }
}

/**
 * Set for each transaction and not for the session, so that a pooler may hand out another session
 * each time. A process that hangs must not keep its locks for ever.
 */
const beginOf = (idleMs: number): string => `
  ${BEGIN};
  set local search_path = public;
  set local bytea_output = 'hex';
  set local idle_in_transaction_session_timeout = ${Math.ceil(idleMs)}`

const BEGIN = `
  begin isolation level read committed read write;
  select set_config('synchronous_commit', 'on', true)
   where current_setting('synchronous_commit') in ('off', 'local')`

/**
 * The lock that orders commits ends with the transaction, after what it wrote has become visible.
 * It is no lock on a row: those leave a version behind each time. Whoever has it holds up every
 * process, so one that hangs here loses its connection sooner than elsewhere (see `OrderGuard`).
 */
export const orderOf = (schema: string): string => `
  set local idle_in_transaction_session_timeout = ${LIMITS.orderedIdleMs};
  set local statement_timeout = 0;
  set local lock_timeout = ${LIMITS.orderLockWaitMs};
  select pg_advisory_xact_lock(${orderKeyOf(schema)})`

export const closedError = (): JuncturaError =>
  new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The store' } })
