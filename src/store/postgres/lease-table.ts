import type { Pool } from 'pg'
import { type Clock, LIMITS, type Timer } from '../../kernel/index.ts'
import type { Lease, LeaseHolder, LeaseRequest, Leases } from '../store.ts'
import { createOrderGuard } from './order-guard.ts'
import { createSession, integerAt, type Session, type SqlRow, textAt } from './session.ts'
import { orderOf } from './writer.ts'

/** The leases that this process has; every commit of it is refused once one is gone. */
export interface HeldLeases {
  /** What to ask with the lock that orders commits. */
  check(): LeaseCheck
}

/** Of the leases that were held when it was made: others may be taken and given back meanwhile. */
export interface LeaseCheck {
  /** One row: what is held, and how many others listen. */
  readonly sql: string
  /** Expressions: whether all are held still, and how many others listen. */
  readonly isHeld: string
  readonly listeners: string
  /** Whether that row says that every lease is still this process's. */
  holdsAll(row: SqlRow | undefined): boolean
}

export interface LeaseTableOptions {
  readonly schema: string
  readonly clock: Clock
  readonly pool: Pool
  /** Shown to people, and told apart from every other process. */
  readonly owner: string
  readonly leaseMs: number
}

/**
 * Leases are rows, by the clock of the database. Whoever takes one adds one to its epoch, under
 * the lock that orders commits; every commit of its holder compares the epoch under that same
 * lock. So a process that was taken over while it slept can commit nothing, whatever the clocks
 * say, and the time of expiry only tells others when they may take over.
 */
export interface LeaseTable extends Leases, HeldLeases {
  /** Gives back what is held. */
  close(): Promise<void>
}

export const createLeaseTable = (options: LeaseTableOptions): LeaseTable => new RowLeases(options)

class RowLeases implements LeaseTable {
  readonly #options: LeaseTableOptions
  readonly #held = new Map<string, HeldLease>()
  #timer: Timer | undefined
  #renewing: Promise<void> | undefined
  #lastTake: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: LeaseTableOptions) {
    this.#options = options
  }

  check(): LeaseCheck {
    const { schema, owner } = this.#options
    const held = [...this.#held.values()]
    const mine = held.map(({ name, epoch }) => `(${quote(name)}, ${epoch})`).join(', ')
    const names = `(select coalesce(json_agg(name)::text, '[]') from ${schema}.lease
      where (name, epoch) in (${mine}) and owner = ${quote(owner)})`
    const listeners = `(select count(*) from ${schema}.lease
      where listens and owner <> ${quote(owner)} and expires_at > clock_timestamp())`
    return {
      sql: `select ${held.length === 0 ? "'[]'" : names}, ${listeners}`,
      isHeld:
        held.length === 0
          ? 'true'
          : `(select count(*) = ${held.length} from ${schema}.lease
              where (name, epoch) in (${mine}) and owner = ${quote(owner)})`,
      listeners,
      holdsAll: (row) => {
        if (held.length === 0) return true
        const found: unknown = JSON.parse(textAt(row, 0))
        const still = new Set(Array.isArray(found) ? found : [])
        // One that was given back meanwhile may be another's by now.
        return held.every((lease) => still.has(lease.name) || this.#held.get(lease.name) !== lease)
      },
    }
  }

  async take(request: LeaseRequest): Promise<Lease | undefined> {
    const { schema, owner, leaseMs, pool } = this.#options
    const { name, listens = false } = request
    // Looked at first, so that those who wait do not take the lock of the others again and again.
    const holder = await this.holder(name)
    if (holder !== undefined) return undefined
    const epoch = await this.#inTurn(async (session) => {
      const [row] = await session.rows(
        `insert into ${schema}.lease as held (name, owner, epoch, expires_at, listens)
         values ($1, $2, 1, ${expiryOf('$3')}, $4)
         on conflict (name) do update set owner = excluded.owner, epoch = held.epoch + 1,
           expires_at = excluded.expires_at, listens = excluded.listens, url = null
           where held.expires_at <= clock_timestamp()
         returning epoch`,
        name,
        owner,
        leaseMs,
        listens ? 't' : 'f',
      )
      return row && integerAt(row, 0)
    })
    if (epoch === undefined) return undefined
    const lease = new HeldLease({
      pool,
      schema,
      name,
      epoch,
      forget: () => this.#held.delete(name),
    })
    this.#held.set(name, lease)
    this.#arm()
    return lease
  }

  async holder(name: string): Promise<LeaseHolder | undefined> {
    const { schema, pool } = this.#options
    const [row] = await createSession(pool).rows(
      `select owner, url, epoch from ${schema}.lease
        where name = $1 and expires_at > clock_timestamp()`,
      name,
    )
    if (row === undefined) return undefined
    const [owner, url] = row
    return {
      owner: String(owner),
      epoch: integerAt(row, 2),
      ...(typeof url === 'string' && { url }),
    }
  }

  async list(): Promise<ReadonlyMap<string, LeaseHolder>> {
    const { schema, pool } = this.#options
    const rows = await createSession(pool).rows(
      `select name, owner, url, epoch from ${schema}.lease where expires_at > clock_timestamp()`,
    )
    const holders = new Map<string, LeaseHolder>()
    for (const row of rows) {
      const url = row[2]
      const holder = { owner: textAt(row, 1), epoch: integerAt(row, 3) }
      holders.set(textAt(row, 0), typeof url === 'string' ? { ...holder, url } : holder)
    }
    return holders
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#renewing
    for (const lease of this.#held.values()) await lease.release()
  }

  #arm(): void {
    const { clock, leaseMs } = this.#options
    if (this.#isClosed) return
    this.#timer ??= clock.setTimer(leaseMs / LIMITS.leaseRenewals, () => {
      this.#timer = undefined
      this.#renewing = this.#renew()
    })
  }

  /** All in one statement: a process may hold many. */
  async #renew(): Promise<void> {
    const { schema, pool, owner, leaseMs } = this.#options
    const held = [...this.#held.values()].filter((lease) => lease.isRenewed)
    if (held.length === 0) return
    const mine = held.map(({ name, epoch }) => `(${quote(name)}, ${epoch})`).join(', ')
    // None that was given back while this was on its way: nobody would have it until it expires.
    const sql = `update ${schema}.lease set expires_at = ${expiryOf('$1')}
      where (name, epoch) in (${mine}) and owner = ${quote(owner)} and expires_at > '-infinity'
      returning name`
    try {
      const rows = await createSession(pool).rows(sql, leaseMs)
      const renewed = new Set(rows.map((row) => textAt(row, 0)))
      for (const lease of held) if (!renewed.has(lease.name)) lease.taken()
    } catch {
      // The server is away. Whether a lease was lost meanwhile, the next renewal finds out.
    }
    this.#arm()
  }

  /**
   * One at a time, as the lock would have it anyway: else all of the pool would wait for it, and
   * neither could leases be renewed nor a holder that is stuck be found (`OrderGuard`). When one
   * fails, so do those behind it, which would wait as long.
   */
  #inTurn<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const taken = this.#lastTake.then(() => this.#transaction(work))
    this.#lastTake = taken
    taken.catch(() => {
      if (this.#lastTake === taken) this.#lastTake = Promise.resolve()
    })
    return taken
  }

  /** On a connection of the pool: the writers may be busy with statements that take long. */
  async #transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await this.#options.pool.connect()
    const session = createSession(client)
    let broken: Error | undefined
    try {
      await createOrderGuard(this.#options).during(
        session.batch(`begin isolation level read committed;${orderOf(this.#options.schema)}`),
      )
      const result = await work(session)
      await session.exec('commit')
      return result
    } catch (error) {
      // The connection may be in a transaction still: it is not used again.
      broken = error instanceof Error ? error : new Error('a lease could not be taken')
      throw error
    } finally {
      client.release(broken)
    }
  }
}

interface HeldLeaseOptions {
  readonly pool: Pool
  readonly schema: string
  readonly name: string
  readonly epoch: number
  /** Commits do not depend on it any more. */
  readonly forget: () => void
}

/** `held` → `lost` when another process has it, or `released`. */
class HeldLease implements Lease {
  readonly name: string
  readonly epoch: number
  readonly lost: Promise<void>
  readonly #options: HeldLeaseOptions
  #tellLost: () => void = () => undefined
  #isOver = false

  constructor(options: HeldLeaseOptions) {
    this.#options = options
    this.name = options.name
    this.epoch = options.epoch
    this.lost = new Promise((resolve) => (this.#tellLost = resolve))
  }

  get isRenewed(): boolean {
    return !this.#isOver
  }

  /** It stays among those that commits compare: they are refused from now on. */
  taken(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#tellLost()
  }

  async announce(url: string): Promise<void> {
    const sql = `update ${this.#table} set url = $1 where name = $2 and epoch = $3`
    await createSession(this.#options.pool).run(sql, url, this.name, this.epoch)
  }

  async release(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    // First: a commit under way must not be refused because the next holder has it already.
    this.#options.forget()
    const sql = `update ${this.#table} set expires_at = '-infinity', listens = false
      where name = $1 and epoch = $2`
    await createSession(this.#options.pool)
      .run(sql, this.name, this.epoch)
      // Without it the next holder waits for the lease to expire: slower, and as safe.
      .catch(() => undefined)
  }

  get #table(): string {
    return `${this.#options.schema}.lease`
  }
}

const expiryOf = (parameter: string): string =>
  `clock_timestamp() + ${parameter} * interval '1 millisecond'`

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`
