import type { Database, Features, LogRecord, SqlMigration } from '../contract/index.ts'
import type { JuncturaError } from '../kernel/index.ts'
import type { CollectionName, Row } from './catalogue.ts'

/**
 * Where everything durable lives: the journal (an append-only log and the idempotency keys claimed
 * with it) and the state (rows of the collections in catalogue.ts, and the user's own tables).
 * One `commit` is one transaction over both.
 *
 * The promise of a driver, held by the conformance suite in `testing/`:
 * - `commit` resolves only after everything in it is durable as `features.durability` says. When it
 *   rejects, nothing of it is visible and nothing of it survives a crash; the one exception is
 *   JUNCTURA_STORE_UNKNOWN, after which the store must be opened anew.
 * - Positions are assigned in `commit`, grow strictly and are never given twice. A reader that has
 *   seen position n never later sees a new record at or below n.
 * - Readers see only what is committed.
 */
export interface Store extends AsyncDisposable {
  readonly features: Features
  /**
   * Commits all units in one transaction, in order. A unit that is refused (a claimed key exists, a
   * guard does not hold, its statements fail) leaves nothing behind and does not disturb the
   * others.
   *
   * `finish` runs last inside the transaction, with the outcomes so far; its rows commit with them.
   * Where `features.commitsInParallel`, two commits may be under way at once, one with statements
   * of the user and one without; `finish` of the one that comes second in the order of positions
   * is called only after the promise of the first has settled.
   *
   * A unit whose record is over `recordBytesMax`, or that holds a value which cannot be stored, is
   * `failed` alone. Bytes and rows may be reused by the caller once it resolves; what is read is
   * the reader's own.
   *
   * @throws JUNCTURA_STORE_FULL when the disk is full; nothing is written, and it may work later.
   * @throws JUNCTURA_STORE_FAILED for any other failure before the commit, also when `finish`
   *   throws; nothing is written.
   * @throws JUNCTURA_STORE_UNKNOWN when the commit itself may or may not have happened.
   * @throws JUNCTURA_STORE_FENCED when another process has taken the store, or a lease that this
   *   one held; nothing is written.
   * @throws JUNCTURA_CLOSED after `close`.
   */
  commit(
    units: readonly Unit[],
    finish?: (outcomes: readonly UnitOutcome[]) => readonly RowWrite[],
    options?: CommitOptions,
  ): Promise<readonly UnitOutcome[]>

  /** Records of one channel after a position, in order. */
  readLog(query: LogQuery): Promise<LogPage>
  /** Newest first, over all channels unless one is named: for searching, never for delivery. */
  readLogBackwards(query: BackwardsQuery): Promise<readonly StoredRecord[]>
  /** One record, or undefined when retention has dropped it. */
  recordAt(position: number): Promise<StoredRecord | undefined>
  /**
   * Last position assigned by any process, 0 in an empty store; survives the dropping of
   * partitions.
   */
  headPosition(): Promise<number>

  /** Present where `features.multiProcess`: who alone may do what. */
  readonly leases?: Leases
  /** Present where `features.multiProcess`: hears of what other processes append. */
  readonly watch?: (onNews: (news: StoreNews) => void) => Promise<StoreWatch>

  /** Position claimed by a key that has not expired, or undefined. */
  claimedPosition(scope: string, key: string): Promise<number | undefined>

  row<C extends CollectionName>(collection: C, key: string): Promise<Row<C> | undefined>
  /**
   * Rows in the order of an index and then of the key, a page at a time. Text sorts by its UTF-8
   * bytes, numbers before text.
   */
  scan<C extends CollectionName>(query: ScanQuery<C>): Promise<readonly KeyedRow<C>[]>
  /** Number of rows that `scan` with the same `where` would give. */
  count<C extends CollectionName>(
    query: Pick<ScanQuery<C>, 'collection' | 'index' | 'where'>,
  ): Promise<number>

  /** Whole parts of the log that retention may drop, oldest first. */
  partitions(): Promise<readonly LogPartition[]>
  /** Drops one partition, unless it is the newest. Idempotent. */
  dropPartition(id: number): Promise<void>
  /** Forgets keys that expired before `nowMs`. Bounded work per call. */
  expireClaims(nowMs: number): Promise<void>

  /**
   * Applies the user's migrations that have not been applied, each in a transaction.
   *
   * @throws JUNCTURA_MIGRATION_CHANGED when an applied one has other statements now; raised before
   *   any is applied.
   * @throws JUNCTURA_MIGRATION_FAILED when statements fail; those applied before it stay.
   * @throws JUNCTURA_MIGRATION_DIALECT when one has no statements for this engine.
   */
  migrate(tables: readonly SqlMigration[]): Promise<void>
  /** What harms the store now and nobody reports: asked for once a minute, so it is quick. */
  readonly warnings?: () => Promise<readonly StoreProblem[]>
  /**
   * Asks the live engine about what the promises rest on: version, rights, limits, durability. For
   * `doctor`; quick, and changes nothing. Present where there is somebody to ask.
   */
  readonly examine?: (needs: StoreNeeds) => Promise<readonly StoreFinding[]>
  /** Reads everything and checks it: for `doctor`. */
  check(): Promise<readonly StoreProblem[]>
  /** Bytes on disk, where the engine can say it. */
  sizeBytes(): Promise<number | undefined>
  /** Idempotent. Waits for a running commit. */
  close(): Promise<void>
}

export interface CommitOptions {
  /**
   * `finish` reads no positions, so it may be called before any is given: those in its outcomes
   * mean nothing then. A store that has to ask for the next position saves the question.
   *
   * @default false
   */
  readonly needsNoPositions?: boolean
}

/**
 * Rights that one process has at a time. While a store holds a lease, each of its commits is
 * refused with JUNCTURA_STORE_FENCED once another process has taken it, and writes nothing: also
 * when the process slept meanwhile and does not know. Time is that of the engine.
 */
export interface Leases {
  /** Undefined while another process has it. @throws JUNCTURA_STORE_FAILED */
  take(request: LeaseRequest): Promise<Lease | undefined>
  /** Undefined when it is free, or its holder has not been heard of for too long. */
  holder(name: string): Promise<LeaseHolder | undefined>
  /** All that are held now, by name. Without it, each known name is asked for. */
  readonly list?: () => Promise<ReadonlyMap<string, LeaseHolder>>
}

export interface LeaseRequest {
  /** For example `consumer/finance`, or `consumer/finance/0-7` for one of its partitions. */
  readonly name: string
  /** Whether its holder wants to be woken when others append. @default false */
  readonly listens?: boolean
}

export interface Lease {
  readonly name: string
  /** Grows with each taking. */
  readonly epoch: number
  /** Resolves when another process has taken it. */
  readonly lost: Promise<void>
  /** Says where the holder's management API is. */
  announce(url: string): Promise<void>
  /** At once free for others. Call it when nothing is committed any more. Idempotent. */
  release(): Promise<void>
}

export interface LeaseHolder {
  readonly owner: string
  readonly epoch: number
  readonly url?: string
}

export interface StoreNews {
  /** Last position that was seen. */
  readonly head: number
  /** Why this process can no longer trust what it knows of the store: it should end. */
  readonly lost?: JuncturaError
}

export interface StoreWatch {
  /** `listen` is told by the engine and looks now and then; `poll` only looks, often. */
  readonly mode: 'listen' | 'poll'
  close(): Promise<void>
}

/** Work that commits together or not at all. */
export interface Unit {
  /** Keys to claim; if one is taken, the unit is refused with the position that took it. */
  readonly claims?: readonly Claim[]
  /**
   * Rows that must, or must not, be there. They see the units before this one, not its own rows;
   * claims are looked at first, and `tx` runs only if all hold.
   */
  readonly guards?: readonly Guard[]
  readonly appends?: readonly Append[]
  readonly rows?: readonly RowWrite[]
  /**
   * The user's statements, under a savepoint. What it returns is written with them. It may await
   * only `db`; one that awaits anything else is rolled back with JUNCTURA_TX_LEFT. Called at most
   * once per commit; a failure of the engine inside it rejects the whole commit.
   */
  readonly tx?: (db: Database) => Promise<Pick<Unit, 'appends' | 'rows'>>
}

export interface ClaimedKey {
  /** Tenant and edge; a key means something only within it (F62). */
  readonly scope: string
  readonly key: string
  /** Held while the clock is below it. */
  readonly expiresAtMs: number
}

export interface Claim extends ClaimedKey {
  /** Index in `appends` of the record that the key stands for. */
  readonly append: number
}

export interface Append {
  readonly channel: string
  readonly slot: number
  readonly atMs: number
  /** An encoded record. */
  readonly bytes: Uint8Array
  /** The same record, for readers in this process; drivers ignore it. */
  readonly record?: LogRecord
  /**
   * Claimed together with this record. Where the key is taken, also by a record before it in the
   * same unit, this record alone is left out and the unit goes on.
   */
  readonly claim?: ClaimedKey
}

export type RowWrite = {
  [C in CollectionName]: {
    readonly collection: C
    readonly key: string
    /** Replaces the row; `undefined` deletes it. */
    readonly row: Row<C> | undefined
  }
}[CollectionName]

export interface Guard {
  readonly collection: CollectionName
  readonly key: string
  readonly is: 'absent' | 'present'
}

export type UnitOutcome =
  | {
      readonly status: 'committed'
      /**
       * Of the unit's appends, then of those its statements returned. One that was left out has the
       * position of the record that took its key.
       */
      readonly positions: readonly number[]
      /** Which of `positions` belong to records that were left out; absent when none was. */
      readonly leftOut?: readonly number[]
    }
  | { readonly status: 'duplicate'; readonly claim: number; readonly position: number }
  | { readonly status: 'guarded'; readonly guard: number }
  | { readonly status: 'failed'; readonly error: unknown }

export interface StoredRecord {
  readonly position: number
  readonly channel: string
  readonly slot: number
  readonly atMs: number
  readonly bytes: Uint8Array
}

/** Slots of a channel, inclusive. */
export interface SlotRange {
  readonly first: number
  readonly last: number
}

export interface LogQuery {
  readonly channel: string
  /** Only records of these slots; the engine leaves out the others. @default all */
  readonly slots?: readonly SlotRange[]
  readonly afterPosition: number
  readonly limit: number
  /** Stops after the record that reaches it; at least one record is given. */
  readonly bytesMax: number
}

export interface LogPage {
  readonly records: readonly StoredRecord[]
  /**
   * No record of the channel, or of the slots asked for, is, or will be, between the last one given
   * and this position, inclusive; at least `afterPosition`.
   */
  readonly scannedTo: number
}

export interface BackwardsQuery {
  readonly channel?: string
  readonly beforePosition: number
  readonly limit: number
}

export interface ScanQuery<C extends CollectionName> {
  readonly collection: C
  /** A name in the catalogue; without it, rows come in the order of their keys. */
  readonly index?: string
  /** Values for the first fields of the index, compared for equality. */
  readonly where?: readonly (string | number)[]
  /** Bound on the field after those of `where`, or on the key when `where` names all, inclusive. */
  readonly from?: string | number
  readonly to?: string | number
  /**
   * Key of the last row of the page before. Without an index, a key that is gone keeps its place;
   * with one, a scan whose row is gone starts over.
   */
  readonly after?: string
  readonly reverse?: boolean
  readonly limit: number
}

export interface KeyedRow<C extends CollectionName> {
  readonly key: string
  readonly row: Row<C>
}

/** A part of the log; its times are the smallest and the largest in it. */
export interface LogPartition {
  readonly id: number
  readonly firstPosition: number
  readonly lastPosition: number
  readonly firstAtMs: number
  readonly lastAtMs: number
  /** Whether appends go here. */
  readonly open: boolean
}

/**
 * Key in `meta` under which a driver notes, in the commit that accepts an older store, what was
 * accepted. The runtime journals it and takes the note away.
 */
export const ACCEPTED_ROLLBACK = 'rollback'

export interface AcceptedRollback {
  /** What was noticed. */
  readonly problem: string
  /** Where the log of the older store ends. */
  readonly position: number
  /** The highest position known to have been given, and when that was noted. */
  readonly reached: number
  readonly reachedAtMs: number
  /** The next position to be given. */
  readonly nextPosition: number
  readonly acceptedAtMs: number
}

/**
 * Key in `meta` under which a driver notes that the server has another history than before: a
 * replica was promoted, or a backup put back. The runtime journals each note once and tells people;
 * the last one stays.
 */
export const FAILED_OVER = 'failover'

export interface FailOver {
  /** What an acknowledged commit survived before. */
  readonly durability: Features['durability']
  /** Where the log ends that the server brought along. */
  readonly position: number
  /** The highest position that a process remembers to have seen; null while none has said so. */
  readonly reached: number | null
  /** Positions that were given and are gone; null while nobody remembers. */
  readonly missing: number | null
  /** The next position to be given. */
  readonly nextPosition: number
  readonly noticedAtMs: number
}

/** What an integration needs of the engine, for the finding to name it. */
export interface StoreNeeds {
  /** Contracts that promise to lose nothing that was acknowledged. */
  readonly durableContracts: readonly string[]
  /** Whether the integration has tables of its own. */
  readonly hasTables: boolean
}

/** An error breaks a promise now; a warning may break one later. */
export interface StoreFinding extends StoreProblem {
  readonly severity: 'error' | 'warning'
}

export interface StoreProblem {
  readonly resource: string
  readonly problem: string
  readonly fix: string
}
