import { LIMITS } from '../../kernel/index.ts'
import { isUndefinedTable } from './postgres-errors.ts'
import type { ServerLine } from './server-line.ts'
import { integerAt, type Session, type SqlRow } from './session.ts'

/** Which tables the log and the idempotency keys are in. */
export interface Layout {
  /** As the database counts them; a process that knows an older one reads it again. */
  readonly version: number
  /** By position; the last is the one that is written. */
  readonly partitions: readonly Partition[]
  readonly buckets: ReadonlySet<number>
}

export interface Partition {
  readonly id: number
  readonly firstPosition: number
  readonly createdAtMs: number
  /** Known once it is closed. */
  readonly lastPosition: number | undefined
  /** Known once somebody asked for them after it was closed. */
  readonly times: { readonly firstAtMs: number; readonly lastAtMs: number } | undefined
}

/** What is committed, as it was at one moment. */
export interface LogView {
  readonly layout: Layout
  /** Last position given. */
  readonly head: number
}

/**
 * What this process knows of the tables that all processes share. Another one may append, begin a
 * partition or drop one at any time, so nothing here is trusted without having been compared: a
 * commit does it under the lock that orders commits, a reader before it says that nothing is left.
 */
export interface KnownLayout {
  /** The newest that was seen; readers go by what `reaching` gives. */
  readonly view: LogView
  /** Reads what there is now; `session` may hold a transaction open. */
  look(session: Session): Promise<LogView>
  /** What is known where that ends at `position` or behind it, or what there is now. */
  reaching(position: number, session: Session): Promise<LogView>
  /** A look to be sent along with other statements. */
  prepareLook(): PreparedLook
  /** One to be sent along with what relies on it; undefined where nothing is known. */
  expected(): ExpectedLook | undefined
  /** Takes what a commit of this process has made, once it is durable. */
  settle(view: LogView): void
  /** Last position that this process appended, or zero: it needs no news of what is before it. */
  ownHead: number
  /** The next look reads everything: a table that was known is gone. */
  forget(): void
}

export interface PreparedLook {
  readonly sql: string
  /**
   * What its row says; undefined when the layout has changed and must be read.
   *
   * @throws JUNCTURA_STORE_UNKNOWN when the server has another history than the one that is known.
   */
  seen(row: SqlRow | undefined): LogView | undefined
}

export interface ExpectedLook {
  readonly layout: Layout
  /** A query of one row: the last position as `head`, and whether the rest `is_known`. */
  readonly sql: string
}

export const createKnownLayout = (schema: string, line: () => ServerLine): KnownLayout => {
  let view: LogView = { layout: UNKNOWN, head: 0 }
  /** A table that is known is gone. */
  let isForgotten = true

  /**
   * Never an older one: an answer may come late, and with a newer head it would be a log that ends
   * without its last tables. Whoever read by that would skip what is in them.
   */
  const learn = (layout: Layout): void => {
    if (layout.version < view.layout.version) return
    view = { ...view, layout }
    isForgotten = false
  }
  const settle = (next: LogView): void => {
    learn(next.layout)
    view = { ...view, head: Math.max(view.head, next.head) }
  }
  // The newest partition is never dropped, so the last position outlives what retention drops.
  const headOf = (open: Partition | undefined): string =>
    open === undefined
      ? '0::bigint'
      : `coalesce((select max(position) from ${schema}.log_${open.id}), ${open.firstPosition - 1})`
  const prepareFrom = (layout: Layout): PreparedLook => {
    // The statement asks one table for the head. Another look may learn of a newer one before the
    // answer is there, so it is read by the layout that the statement was made from.
    const head = headOf(layout.partitions.at(-1))
    return {
      sql: `select version, ${head}, ${line().sql} from ${schema}.layout`,
      seen(row) {
        line().check(row?.[2])
        if (integerAt(row, 0) !== layout.version) return undefined
        return { layout, head: integerAt(row, 1) }
      },
    }
  }

  const known = (): Layout => (isForgotten ? UNKNOWN : view.layout)
  const look = async (session: Session): Promise<LogView> => {
    let layout = known()
    for (let tries = 1; ; tries++) {
      try {
        const { sql, seen } = prepareFrom(layout)
        const [row] = await session.rows(sql)
        const found = seen(row)
        if (found) {
          settle(found)
          return found
        }
      } catch (error) {
        if (!isUndefinedTable(error) || tries >= LIMITS.commitTriesMax) throw error
      }
      layout = await readLayout(session, schema)
    }
  }

  return {
    get view() {
      return view
    },
    prepareLook: () => prepareFrom(known()),
    expected() {
      if (isForgotten) return undefined
      const { layout } = view
      const { sql, timeline } = line()
      const isKnown = `version = ${layout.version} and ${sql} = '${timeline}'`
      const head = headOf(layout.partitions.at(-1))
      return { layout, sql: `select ${head} as head, ${isKnown} as is_known from ${schema}.layout` }
    },
    ownHead: 0,
    settle,
    look,
    reaching: async (position, session) =>
      isForgotten || position > view.head ? await look(session) : view,
    forget() {
      isForgotten = true
    },
  }
}

/** No database counts so. */
const UNKNOWN: Layout = { version: -1, partitions: [], buckets: new Set() }

/** Version first: should it change meanwhile, the next look reads again. */
async function readLayout(session: Session, schema: string): Promise<Layout> {
  const [versions, partitions, buckets] = await session.batch(`
    select version from ${schema}.layout;
    select id, first_position, created_at_ms, last_position, first_at_ms, last_at_ms
      from ${schema}.log_partition order by id;
    select bucket from ${schema}.claim_bucket`)
  return {
    version: integerAt(versions?.[0], 0),
    partitions: (partitions ?? []).map(partitionOf),
    buckets: new Set((buckets ?? []).map((row) => integerAt(row, 0))),
  }
}

const partitionOf = (row: SqlRow): Partition => ({
  id: integerAt(row, 0),
  firstPosition: integerAt(row, 1),
  createdAtMs: integerAt(row, 2),
  lastPosition: row[3] === null ? undefined : integerAt(row, 3),
  times:
    row[4] === null || row[5] === null
      ? undefined
      : { firstAtMs: integerAt(row, 4), lastAtMs: integerAt(row, 5) },
})

/** In a transaction that made or dropped a table: everybody else reads the layout again. */
export const nextVersion = async (session: Session, schema: string): Promise<number> => {
  const [row] = await session.rows(
    `update ${schema}.layout set version = version + 1 returning version`,
  )
  return integerAt(row, 0)
}
