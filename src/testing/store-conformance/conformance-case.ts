import { ok } from 'node:assert/strict'
import {
  encodeRecord,
  type Features,
  type SqlMigration,
  sql as sqlMigration,
} from '../../contract/index.ts'
import type { Random } from '../../kernel/index.ts'
import type {
  Append,
  Claim,
  CollectionName,
  LogQuery,
  RowWrite,
  Store,
  StoredRecord,
  Unit,
  UnitOutcome,
} from '../../store/index.ts'
import type { VirtualClock } from '../virtual-clock.ts'

/** One behaviour that every store has. */
export interface ConformanceCase {
  readonly title: string
  /** Absent: every store. */
  readonly needs?: (features: Features) => boolean
  /** Begin a new partition of the log as soon as the store can. */
  readonly smallPartitions?: boolean
  readonly run: (bench: Bench) => Promise<void>
}

/** An open store, and what a case does with it. */
export interface Bench {
  readonly store: Store
  readonly clock: VirtualClock
  readonly random: Random
  readonly features: Features
  /** Closes the store and opens it again. */
  reopen(): Promise<void>
  /** Ends the store as a dying process does, and opens it again. */
  crash(): Promise<void>
}

export interface AppendOptions {
  readonly channel?: string
  readonly slot?: number
  readonly atMs?: number
  readonly dataBytes?: number
}

/** A record that reads `text`, as the platform writes it. */
export const recordOf = (text: string, dataBytes: number = 0): Uint8Array =>
  encodeRecord({
    head: {
      codec: 'json',
      envelope: {
        specversion: '1.0',
        id: `msg_${text}`,
        type: 'orders.placed',
        source: '/publish',
        time: '2026-01-01T00:00:00.000Z',
        datacontenttype: 'application/json',
        contractversion: 1,
        partitionkey: text,
        correlationid: text,
        tenant: 'default',
      },
    },
    data: Buffer.concat([Buffer.from(text), Buffer.alloc(dataBytes, 0xfe)]),
  })

export const appendOf = (text: string, options: AppendOptions = {}): Append => ({
  channel: options.channel ?? 'orders',
  slot: options.slot ?? 0,
  atMs: options.atMs ?? Date.UTC(2026, 0, 1),
  bytes: recordOf(text, options.dataBytes),
})

/** Whether a record reads `text`. */
export const reads = (record: StoredRecord | undefined, text: string): boolean =>
  record !== undefined && Buffer.compare(record.bytes, recordOf(text)) === 0

export const claimOf = (key: string, options: Partial<Claim> = {}): Claim => ({
  scope: options.scope ?? 'default/acme',
  key,
  expiresAtMs: options.expiresAtMs ?? Date.UTC(2026, 0, 8),
  append: options.append ?? 0,
})

/** A row of a small collection. */
export const timerWrite = (key: string, dueAtMs: number = 1_000): RowWrite => ({
  collection: 'timers',
  key,
  row: { owner: 'conformance', reference: key, dueAtMs },
})

export const timerDelete = (key: string): RowWrite => ({
  collection: 'timers',
  key,
  row: undefined,
})

/** A row of any collection: drivers look at nothing but the index fields. */
export const writeOf = (
  collection: CollectionName,
  key: string,
  row: Readonly<Record<string, unknown>> | undefined,
): RowWrite => {
  ok(row === undefined || typeof row === 'object', 'a row is an object')
  return { collection, key, row } as RowWrite
}

/** Commits and gives the positions; fails unless every unit was committed. */
export const commitAll = async (
  store: Store,
  units: readonly Unit[],
): Promise<readonly (readonly number[])[]> =>
  (await store.commit(units)).map((outcome) => positionsOf(outcome))

export const commitOne = async (store: Store, unit: Unit): Promise<readonly number[]> =>
  (await commitAll(store, [unit]))[0] ?? []

export const positionsOf = (outcome: UnitOutcome | undefined): readonly number[] => {
  ok(outcome?.status === 'committed', `expected a committed unit, got ${describeOutcome(outcome)}`)
  return outcome.positions
}

const describeOutcome = (outcome: UnitOutcome | undefined): string =>
  outcome?.status === 'failed' ? `failed: ${String(outcome.error)}` : JSON.stringify(outcome)

/** All records of a channel, in pages, following `scannedTo` as a consumer does. */
export const readAll = async (
  store: Store,
  channel: string,
  page: Partial<Pick<LogQuery, 'limit' | 'bytesMax' | 'slots'>> = {},
): Promise<readonly StoredRecord[]> => {
  const records: StoredRecord[] = []
  const head = await store.headPosition()
  for (let afterPosition = 0; afterPosition < head;) {
    const found = await store.readLog({
      limit: 100,
      bytesMax: 1_000_000,
      ...page,
      channel,
      afterPosition,
    })
    const last = found.records.at(-1)?.position ?? afterPosition
    ok(found.scannedTo >= last, 'scannedTo is not before the last record')
    ok(found.scannedTo > afterPosition, 'a page moves on while there is something to read')
    records.push(...found.records)
    afterPosition = found.scannedTo
  }
  return records
}

/** A table of the user's own with a column of every type. */
export const ITEMS: SqlMigration = sqlMigration({
  name: 'items',
  sqlite: `create table items (
    id text primary key, whole integer, fraction real, bytes blob, flag integer, note text
  )`,
  postgres: `create table items (
    id text primary key, whole bigint, fraction double precision, bytes bytea, flag boolean,
    note text
  )`,
})

/** Commits until the log has at least `count` partitions; gives everything appended. */
export const fillPartitions = async (
  { store, clock }: Bench,
  count: number,
): Promise<
  readonly { readonly position: number; readonly text: string; readonly atMs: number }[]
> => {
  const appended: { position: number; text: string; atMs: number }[] = []
  for (let round = 0; (await store.partitions()).length < count; round++) {
    ok(round < PARTITION_ROUNDS_MAX, 'the log begins a new partition in time')
    const atMs = clock.now()
    const texts = [`${round}-a`, `${round}-b`, `${round}-c`]
    const appends = texts.map((text, at) =>
      appendOf(text, { channel: at === 1 ? 'other' : 'orders', atMs: atMs + at }),
    )
    const positions = await commitOne(store, { appends })
    texts.forEach((text, at) =>
      appended.push({ position: positions[at] ?? 0, text, atMs: atMs + at }),
    )
    await clock.advance(DAY_MS)
  }
  return appended
}

const PARTITION_ROUNDS_MAX = 200
export const DAY_MS = 86_400_000
