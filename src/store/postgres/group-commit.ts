import { type Clock, LIMITS } from '../../kernel/index.ts'
import { runTx } from '../run-tx.ts'
import type { ClaimedKey, RowWrite, Unit, UnitOutcome } from '../store.ts'
import { type CheckedWork, checkClaims, checkWork, failedCommit } from '../unit-check.ts'
import type { ClaimTables } from './claim-tables.ts'
import { type KnownLayout, type Layout, type LogView, nextVersion } from './known-layout.ts'
import type { LogTables } from './log-tables.ts'
import { isConflict, isEngineFailure, isUndefinedTable, storeErrorOf } from './postgres-errors.ts'
import type { Session } from './session.ts'
import type { StateTables } from './state-tables.ts'
import { createUnitGroup } from './unit-group.ts'
import { createUserDatabase } from './user-database.ts'
import type { Ordered, PreparedWrite, Writer, WriterTransaction } from './writer.ts'

export interface CommitParts {
  readonly schema: string
  readonly clock: Clock
  /** For commits without statements of the user. */
  readonly plain: Writer
  /** For those with such, which may wait for locks of the user's tables. */
  readonly handlers: Writer
  readonly known: KnownLayout
  readonly claims: ClaimTables
  readonly state: StateTables
  readonly log: LogTables
}

export interface CommittedGroup {
  readonly outcomes: readonly UnitOutcome[]
  /** Whether another process wants to hear of it. */
  readonly tell: boolean
}

interface CommitOptions {
  readonly finish: Finish
  /** Whether `finish` may be called before positions are given. */
  readonly needsNoPositions: boolean | undefined
}

type Finish = ((outcomes: readonly UnitOutcome[]) => readonly RowWrite[]) | undefined

/**
 * Commits units in one transaction, in two parts. First what needs no position: the statements of
 * the user, each unit's under a savepoint. Then, in its place among the commits of all processes,
 * everything else: units are decided in order, in memory, against what was looked up there, and
 * their records, keys and rows are written together. So a statement that waits holds up neither
 * another process nor the accepts of its own.
 *
 * A unit that has both statements and keys or guards is decided before its statements run, so its
 * commit takes its place first; no unit of the runtime is like that.
 *
 * A commit that another transaction stood in the way of is run again as a whole, unless a callback
 * of the user's has run: that one is called once, so the commit fails.
 */
export const commitUnits = async (
  parts: CommitParts,
  units: readonly Unit[],
  { finish, needsNoPositions }: CommitOptions,
): Promise<CommittedGroup> => {
  const writer = units.some((unit) => unit.tx) ? parts.handlers : parts.plain
  return await writer.exclusively(async () => {
    for (let tries = 1; ; tries++) {
      const group = new GroupCommit(parts, units, finish)
      try {
        const isPlain = writer === parts.plain && !units.some(hasLook)
        if (needsNoPositions && isPlain && tries === 1) return await group.runExpecting(writer)
        return await group.run(writer)
      } catch (error) {
        const isStale = isUndefinedTable(error)
        if (isStale) parts.known.forget()
        const mayAgain = group.callbacks === 0 && tries < LIMITS.commitTriesMax
        if (mayAgain && (isStale || isConflict(error))) continue
        throw failedCommit(storeErrorOf(error, parts.schema))
      }
    }
  })
}

/** What a unit's statements came to. */
type Ran = CheckedWork | Extract<UnitOutcome, { status: 'failed' }>

class GroupCommit {
  readonly #parts: CommitParts
  readonly #units: readonly Unit[]
  readonly #finish: Finish
  /** One time for the whole commit: what is looked up and what is written must agree. */
  readonly #nowMs: number
  readonly #ran = new Map<Unit, Ran>()
  /** How many callbacks of the user's have been called. */
  callbacks = 0

  constructor(parts: CommitParts, units: readonly Unit[], finish: Finish) {
    this.#parts = parts
    this.#units = units
    this.#finish = finish
    this.#nowMs = parts.clock.now()
  }

  async run(writer: Writer): Promise<CommittedGroup> {
    return this.#settled(
      await (writer === this.#parts.plain
        ? writer.orderedTransaction(({ session, ...ordered }) => this.#write(session, ordered))
        : writer.transaction((transaction) => this.#runAndWrite(transaction))),
    )
  }

  /** Writes in one exchange what needs no look at what is there: no keys and no guards. */
  async runExpecting(writer: Writer): Promise<CommittedGroup> {
    const { log, state } = this.#parts
    // Positions count from the last one given, which the server says with its answer.
    const group = createUnitGroup({ head: 0, taken: new Map(), present: new Set() })
    const outcomes: UnitOutcome[] = []
    const prepare = (layout: Layout): PreparedWrite | undefined => {
      for (const unit of this.#units) {
        const work = checked(unit)
        outcomes.push('status' in work ? work : group.add([], work))
      }
      for (const write of this.#finish?.(outcomes) ?? []) group.put(write)
      const rows = state.textOf(group.rows)
      if (rows === undefined) return undefined
      const records = log.textOf(group.appends, { layout, nowMs: this.#nowMs })
      return records && { statements: [records.sql, rows], data: records.data }
    }
    const result = await writer.expectingTransaction(prepare, ({ session, ...ordered }) =>
      this.#write(session, ordered),
    )
    if ('otherwise' in result) return this.#settled(result.otherwise)
    const { view, isHeard } = result.written
    const appended = group.appends.length > 0
    return this.#settled({
      outcomes: outcomes.map((outcome) => movedBy(view.head, outcome)),
      tell: isHeard && appended,
      appended,
      view: { layout: view.layout, head: view.head + group.appends.length },
    })
  }

  #settled({ view, appended, ...committed }: CommittedGroup & HasView): CommittedGroup {
    const { known } = this.#parts
    known.settle(view)
    if (appended) known.ownHead = view.head
    return committed
  }

  async #runAndWrite(transaction: WriterTransaction): Promise<CommittedGroup & HasView> {
    const { session, order } = transaction
    if (this.#units.some(isDecidedFirst)) {
      return await this.#write(session, await order(), transaction)
    }
    for (const unit of this.#units) {
      if (unit.tx && !isAtFault(unit)) await this.#runStatements(transaction, unit, unit.tx)
    }
    return await this.#write(session, await order())
  }

  /** Decides every unit and writes; runs what statements have not run yet. */
  async #write(
    session: Session,
    { view, isHeard }: Ordered,
    transaction?: WriterTransaction,
  ): Promise<CommittedGroup & HasView> {
    const { claims, state } = this.#parts
    const at = { buckets: view.layout.buckets, nowMs: this.#nowMs }
    const units = this.#units
    const returned = [...this.#ran.values()].flatMap((ran) => ('appends' in ran ? ran.appends : []))
    const keys = [...units.flatMap(keysOf), ...keysOf({ appends: returned })]
    const group = createUnitGroup({
      head: view.head,
      taken: await claims.taken(session, keys, at),
      present: await state.present(
        session,
        units.flatMap((unit) => unit.guards ?? []),
      ),
    })
    const outcomes: UnitOutcome[] = []
    for (const unit of units) {
      const work = checked(unit)
      const refusal = 'status' in work ? work : group.refusalOf(unit)
      if (refusal || 'status' in work) {
        if (refusal) outcomes.push(refusal)
        continue
      }
      if (unit.tx && transaction) {
        const ran = await this.#runStatements(transaction, unit, unit.tx)
        if ('appends' in ran) {
          group.learn(await claims.taken(session, keysOf({ appends: ran.appends }), at))
        }
      }
      const ran = this.#ran.get(unit)
      if (ran && 'status' in ran) outcomes.push(ran)
      else outcomes.push(group.add(unit.claims ?? [], ran ? joined(work, ran) : work))
    }
    for (const write of this.#finish?.(outcomes) ?? []) group.put(write)
    const after = await this.#writeGroup(session, view, group)
    const appended = group.appends.length > 0
    return { outcomes, tell: isHeard && appended, appended, view: after }
  }

  /** Gives what is committed when this is. */
  async #writeGroup(
    session: Session,
    view: LogView,
    group: ReturnType<typeof createUnitGroup>,
  ): Promise<LogView> {
    const { log, claims, state, schema } = this.#parts
    const { layout } = view
    const nowMs = this.#nowMs
    const along = state.textOf(group.rows)
    const partitions = await log.append(session, group.appends, {
      ...view,
      nowMs,
      along: along ?? '',
    })
    const opened = await claims.write(session, group.claims, { buckets: layout.buckets, nowMs })
    if (along === undefined) await state.write(session, group.rows)
    if (!partitions && opened.length === 0) return { layout, head: group.head }
    return {
      head: group.head,
      layout: {
        version: await nextVersion(session, schema),
        partitions: partitions ?? layout.partitions,
        buckets: new Set([...layout.buckets, ...opened]),
      },
    }
  }

  /** Runs a unit's callback under a savepoint; a failure of it leaves the transaction usable. */
  async #runStatements(
    { client, session }: WriterTransaction,
    unit: Unit,
    callback: NonNullable<Unit['tx']>,
  ): Promise<Ran> {
    this.callbacks += 1
    const user = createUserDatabase(client)
    await session.exec(BEGIN_UNIT)
    const outcome = await runTx({
      clock: this.#parts.clock,
      database: user.database,
      callback: async (db) => checkWork(await callback(db)),
    })
    if (user.engineFailure) throw user.engineFailure.error
    const ran = await this.#endStatements(session, outcome)
    this.#ran.set(unit, ran)
    return ran
  }

  async #endStatements(
    session: Session,
    outcome: Awaited<ReturnType<typeof runTx<CheckedWork>>>,
  ): Promise<Ran> {
    if (outcome.status === 'done') {
      try {
        await session.exec(CHECK_UNIT)
        return outcome.value
      } catch (error) {
        if (isEngineFailure(error)) throw error
        await session.exec(UNDO_UNIT)
        return { status: 'failed', error }
      }
    }
    await session.exec(UNDO_UNIT)
    return { status: 'failed', error: outcome.error }
  }
}

interface HasView {
  readonly view: LogView
  readonly appended: boolean
}

const hasLook = (unit: Unit): boolean =>
  unit.tx !== undefined || keysOf(unit).length + (unit.guards?.length ?? 0) > 0

const movedBy = (head: number, outcome: UnitOutcome): UnitOutcome =>
  outcome.status === 'committed' && outcome.positions.length > 0
    ? { ...outcome, positions: outcome.positions.map((position) => head + position) }
    : outcome

/** Keys and guards are looked at before statements run, and nothing may change in between. */
const isDecidedFirst = (unit: Unit): boolean =>
  unit.tx !== undefined && (unit.claims?.length ?? 0) + (unit.guards?.length ?? 0) > 0

const checked = (unit: Unit): Ran => {
  try {
    const work = checkWork(unit)
    checkClaims(unit, work.appends.length)
    return work
  } catch (error) {
    return { status: 'failed', error }
  }
}

const isAtFault = (unit: Unit): boolean => 'status' in checked(unit)

const joined = (work: CheckedWork, ran: CheckedWork): CheckedWork => ({
  appends: [...work.appends, ...ran.appends],
  rows: [...work.rows, ...ran.rows],
})

/** Every key that a unit may claim. */
const keysOf = ({ claims = [], appends = [] }: Unit): readonly ClaimedKey[] => [
  ...claims,
  ...appends.flatMap(({ claim }) => claim ?? []),
]

/** A user's statement that waits, for a lock or for itself, holds up the whole group. */
const BEGIN_UNIT = `
  savepoint junctura_unit;
  set local search_path = public;
  set local lock_timeout = ${LIMITS.sqlLockWaitMs};
  set local statement_timeout = ${LIMITS.sqlStatementMs}`

/**
 * A constraint that is deferred would be checked at the commit, where it fails everybody: it is
 * checked here, under a savepoint that is undone so that it is deferred for the next unit again.
 */
const CHECK_UNIT = `
  savepoint junctura_constraints;
  set constraints all immediate;
  rollback to savepoint junctura_constraints;
  release savepoint junctura_unit`

const UNDO_UNIT = `
  rollback to savepoint junctura_unit;
  release savepoint junctura_unit`
