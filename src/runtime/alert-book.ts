import type { AlertRoute, Team } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import {
  acknowledgeAlert,
  type AlertNotificationKind,
  type AlertSeverity,
  markNotified,
  raiseAlert,
  resolveAlert,
} from '../observe/index.ts'
import type { AlertRow, RowWrite, Store } from '../store/index.ts'
import { eachRow } from './paging.ts'

/** Something that an owner must know, as the rooms raise it. */
export interface RaisedAlert {
  readonly kind: string
  readonly cause: string
  readonly title: string
  readonly owner: Team | undefined
  readonly target: AlertRoute
  readonly severity: AlertSeverity
  readonly atMs: number
  /** How often, when several are raised together. @default 1 */
  readonly count?: number
}

/**
 * The open alerts of this process, by cause. What `raise` returns commits with what raised it, so
 * that a crash neither loses an alert nor tells about something that did not happen.
 */
export interface AlertBook {
  /** Reads what is stored; again where others may have raised, told or resolved some meanwhile. */
  load(): Promise<void>
  raise(alert: RaisedAlert): readonly RowWrite[]
  /** The cause is gone; empty when no alert of it is open. */
  resolve(cause: string): readonly RowWrite[]
  /** Resolves what nobody can put right by an act, once it has not happened for an hour. */
  resolveQuiet(): readonly RowWrite[]
  /**
   * Compares the rows with memory, and gives what is to be written. They differ after a commit was
   * refused and offered again later: it brought its rows as they were when they were made.
   */
  reconcile(): Promise<readonly RowWrite[]>
  acknowledge(id: string): readonly RowWrite[] | undefined
  delivered(id: string, kind: AlertNotificationKind): readonly RowWrite[]
  /** Alerts that owe a notification, oldest first. */
  owing(): readonly AlertRow[]
  /** Whether everything that was raised for a cause is in the store. */
  isDurable(cause: string): Promise<boolean>
  /** How often the open alert of a cause was raised; 0 when there is none. */
  countOf(cause: string): number
  openCount(): number
  all(): Iterable<AlertRow>
}

export interface AlertBookOptions {
  readonly store: Store
  readonly kernel: Kernel
  /**
   * Whether this process tells owners of alerts that others have raised, too. Where a store is
   * shared it is the one that runs the consumers; every other one tells of its own.
   *
   * @default always
   */
  readonly tellsAll?: () => boolean
  /** Told when an alert changes or owes something new. */
  readonly onChange: (alert: AlertRow, owes: boolean) => void
}

/** A commit that still holds an older row has come by then, or the store refuses everything. */
const SETTLED_MS = 30_000

/** An hour without another one. */
const QUIET_MS = 3_600_000

/** Alerts about what partners do or did; they end by ending. */
const PASSING_KINDS: ReadonlySet<string> = new Set([
  'conflict',
  'contract-mismatch',
  'retrying',
  'route-gap',
  'shelf-full',
  'expectation-unreadable',
  'expired',
  'store-rolled-back',
  'store-failed-over',
  'store-warning',
  'topic-lost',
  'transport-loss',
  'record-loss',
  'transport-oversize',
])

export const createAlertBook = (options: AlertBookOptions): AlertBook => {
  const { store, kernel, onChange, tellsAll = () => true } = options
  const isShared = store.features.multiProcess
  /** Raised or resolved by this process, which tells of that. */
  const own = new Set<string>()
  const byCause = new Map<string, AlertRow>()
  /** Resolved ones that still owe a notification. */
  const leaving = new Map<string, AlertRow>()

  const keep = (row: AlertRow, owes: boolean): readonly RowWrite[] => {
    if (row.state !== 'resolved') byCause.set(row.cause, row)
    else {
      // The same cause may have opened another one meanwhile.
      if (byCause.get(row.cause)?.id === row.id) byCause.delete(row.cause)
      if (row.owed.length > 0) leaving.set(row.id, row)
      else {
        leaving.delete(row.id)
        own.delete(row.id)
      }
    }
    onChange(row, owes)
    return [{ collection: 'alerts', key: row.id, row }]
  }

  const find = (id: string): AlertRow | undefined =>
    leaving.get(id) ?? [...byCause.values()].find((row) => row.id === id)

  /**
   * Two processes that share a store may open an alert for one cause at the same moment. The older
   * stays, with the count of both; one that is raised again by its process is folded again.
   */
  const fold = (oldest: Map<string, AlertRow>, row: AlertRow): readonly RowWrite[] => {
    const other = oldest.get(row.cause)
    if (!other) {
      oldest.set(row.cause, row)
      return []
    }
    const [first, second] = other.id < row.id ? [other, row] : [row, other]
    const lastAtMs = Math.max(first.lastAtMs, second.lastAtMs)
    const both = { ...first, count: first.count + second.count, lastAtMs }
    oldest.set(row.cause, both)
    own.delete(second.id)
    const gone: RowWrite = { collection: 'alerts', key: second.id, row: undefined }
    return [gone, ...keep(both, both.owed.length > 0)]
  }

  return {
    async load() {
      const stored = new Set<string>()
      const before = kernel.clock.now() - SETTLED_MS
      for (const state of ['open', 'acknowledged', 'resolved'] as const) {
        const scan = { collection: 'alerts', index: 'byState', where: [state] } as const
        for await (const { row } of eachRow(store, scan)) {
          if (state !== 'resolved') stored.add(row.id)
          const known = byCause.get(row.cause)
          const isOlder = known?.id === row.id && known.lastAtMs > row.lastAtMs
          if (row.state !== 'resolved') {
            if (!isOlder) byCause.set(row.cause, row)
          } else if (row.owed.length > 0) leaving.set(row.id, row)
        }
      }
      for (const [cause, { id, lastAtMs }] of byCause) {
        // Somebody else has resolved it.
        if (!stored.has(id) && lastAtMs < before) byCause.delete(cause)
      }
    },
    raise(alert) {
      const existing = byCause.get(alert.cause)
      const { record, notify } = raiseAlert(
        existing,
        {
          cause: alert.cause,
          title: alert.title,
          owner: alert.owner?.name ?? '',
          route: alert.target.kind,
          severity: alert.severity,
          atMs: alert.atMs,
          ...(alert.count !== undefined && { count: alert.count }),
        },
        kernel.ids,
      )
      own.add(record.id)
      return keep({ ...record, kind: alert.kind, target: alert.target }, notify !== undefined)
    },
    resolve(cause) {
      const existing = byCause.get(cause)
      if (!existing) return []
      const { record } = resolveAlert(existing, kernel.clock.now())
      // Whoever raised it may be gone, and the others do not hear of this.
      own.add(existing.id)
      return keep({ ...existing, ...record }, true)
    },
    resolveQuiet() {
      const before = kernel.clock.now() - QUIET_MS
      return [...byCause.values()]
        .filter((row) => PASSING_KINDS.has(row.kind) && row.lastAtMs < before)
        .flatMap((row) => keep({ ...row, ...resolveAlert(row, kernel.clock.now()).record }, true))
    },
    async reconcile() {
      const before = kernel.clock.now() - SETTLED_MS
      const rows: RowWrite[] = []
      const oldest = new Map<string, AlertRow>()
      for (const state of ['open', 'acknowledged'] as const) {
        const scan = { collection: 'alerts', index: 'byState', where: [state] } as const
        for await (const { row } of eachRow(store, scan)) {
          const known = byCause.get(row.cause) ?? leaving.get(row.id)
          // It was resolved, and raised again by a commit that came late.
          // In a shared store, whoever raised it is about to tell of it.
          if (!known && isShared && row.lastAtMs >= before) continue
          const isNewer = known && (row.count > known.count || row.lastAtMs > known.lastAtMs)
          if (!known || (isShared && isNewer)) byCause.set(row.cause, row)
          else if (known.id === row.id && known.lastAtMs < before && !isEqual(known, row))
            rows.push({ collection: 'alerts', key: known.id, row: known })
          if (isShared && tellsAll() && row.lastAtMs < before) rows.push(...fold(oldest, row))
        }
      }
      if (!isShared || !tellsAll()) return rows
      // Whoever resolved it may have died before it told.
      const from = kernel.clock.now() - QUIET_MS
      const over = { collection: 'alerts', index: 'byState', where: ['resolved'], from } as const
      for await (const { row } of eachRow(store, over)) {
        if (row.owed.length > 0 && row.lastAtMs < before) leaving.set(row.id, row)
      }
      return rows
    },
    acknowledge(id) {
      const existing = find(id)
      if (!existing) return undefined
      return keep({ ...existing, ...acknowledgeAlert(existing).record }, false)
    },
    delivered(id, kind) {
      const existing = find(id)
      if (!existing) return []
      return keep({ ...existing, ...markNotified(existing, kind, kernel.clock.now()) }, false)
    },
    owing: () =>
      [...byCause.values(), ...leaving.values()]
        .filter((row) => row.owed.length > 0 && (tellsAll() || own.has(row.id)))
        .sort((a, b) => a.lastAtMs - b.lastAtMs),
    async isDurable(cause) {
      const known = byCause.get(cause)
      return !known || (await store.row('alerts', known.id))?.count === known.count
    },
    countOf: (cause) => byCause.get(cause)?.count ?? 0,
    openCount: () => byCause.size,
    all: () => byCause.values(),
  }
}

/** Rows are JSON; memory and the store hold the same fields in the same order. */
const isEqual = (left: AlertRow, right: AlertRow): boolean =>
  JSON.stringify(left) === JSON.stringify(right)
