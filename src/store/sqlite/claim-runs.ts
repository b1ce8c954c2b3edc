import { crc32 } from 'node:zlib'
import { JuncturaError } from '../../kernel/index.ts'
import { claimBucketSpan } from '../dedupe-index.ts'
import {
  entryExpiryOffsetMs,
  entryPosition,
  ENTRY_WORDS,
  type EntryPlace,
  type Fingerprint,
  isEntryOf,
  tagOf,
} from '../key-entry.ts'
import {
  type ClaimPage,
  firstPageId,
  PAGE_ENTRIES,
  PAGE_WORDS,
  type PageKind,
  readPage,
  runOfPage,
} from './claim-pages.ts'
import { type Connection, integerAt, type SqlRow } from './connection.ts'
import { FoundKeys } from './found-keys.ts'
import { coarsened, filterBytes, findPlace, type RunFilter, type Sought } from './run-filter.ts'

/**
 * Which runs of sealed keys there are. A row is written before the first page of its run, so pages
 * without one are damage and never taken for what a crash left behind.
 *
 * State: `writing` until all pages are there; then `live`; `dropped` once its keys are in another
 * run or have expired, until its pages are deleted. Only a live run is looked into.
 */
export const CLAIM_RUNS_SCHEMA = `
  CREATE TABLE junctura_claim_runs (
    run INTEGER PRIMARY KEY,
    bucket INTEGER NOT NULL,
    state TEXT NOT NULL,
    entries INTEGER NOT NULL,
    -- Of the filter.
    groups INTEGER NOT NULL,
    -- Rows of the bucket's table up to this one are in this run or in one that it replaced.
    covers_to INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  );
`

export interface RunRow {
  readonly run: number
  readonly bucket: number
  readonly state: 'writing' | 'live' | 'dropped'
  readonly entries: number
  readonly groups: number
  readonly coversTo: number
}

export interface ClaimRun extends RunRow {
  readonly startMs: number
  readonly endMs: number
  filter: RunFilter
}

export const writeRunRow = (writer: Connection, row: RunRow): void => {
  const { run, bucket, state, entries, groups, coversTo } = row
  writer.run(
    `INSERT OR REPLACE INTO junctura_claim_runs
       (run, bucket, state, entries, groups, covers_to, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    run,
    bucket,
    state,
    entries,
    groups,
    coversTo,
    rowChecksum(row),
  )
}

/** Every row, and which of them are damaged. */
export const readRunRows = (
  connection: Connection,
): { readonly rows: readonly RunRow[]; readonly damaged: readonly number[] } => {
  const rows: RunRow[] = []
  const damaged: number[] = []
  for (const row of connection.rows(
    `SELECT run, bucket, state, entries, groups, covers_to, checksum FROM junctura_claim_runs
     ORDER BY run`,
  )) {
    const parsed = runRowOf(row)
    if (parsed && rowChecksum(parsed) === row[6]) rows.push(parsed)
    else damaged.push(integerAt(row, 0))
  }
  return { rows, damaged }
}

function runRowOf(row: SqlRow): RunRow | undefined {
  const state = row[2]
  if (state !== 'writing' && state !== 'live' && state !== 'dropped') return undefined
  if ([1, 3, 4, 5].some((column) => typeof row[column] !== 'number')) return undefined
  return {
    run: integerAt(row, 0),
    bucket: integerAt(row, 1),
    state,
    entries: integerAt(row, 3),
    groups: integerAt(row, 4),
    coversTo: integerAt(row, 5),
  }
}

const rowChecksum = ({ run, bucket, state, entries, groups, coversTo }: RunRow): number =>
  crc32([run, bucket, state, entries, groups, coversTo].join())

/** How many pages of each kind a run has, which follow each other in this order. */
const pagesOf = ({
  entries,
  groups,
}: Pick<RunRow, 'entries' | 'groups'>): Readonly<Record<PageKind, number>> => ({
  entries: Math.ceil(entries / PAGE_ENTRIES),
  offsets: Math.ceil((groups + 1) / PAGE_WORDS),
  remainders: Math.ceil(entries / 2 / PAGE_WORDS),
})

/** The live runs: what they hold is found by their filters in memory and one read of a page. */
export class ClaimRuns {
  readonly #connection: Connection
  readonly #file: string
  readonly #found = new FoundKeys()
  #runs: ClaimRun[] = []
  #sizeBytes = 0

  constructor(connection: Connection, file: string) {
    this.#connection = connection
    this.#file = file
  }

  get live(): readonly ClaimRun[] {
    return this.#runs
  }

  /** Of the filters. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get size(): number {
    return this.#runs.reduce((sum, { entries }) => sum + entries, 0)
  }

  /**
   * Position of a key that has not expired at `nowMs`.
   *
   * @throws JUNCTURA_STORE_DAMAGED when its page is not readable: a lost key is an effect twice.
   */
  find(fingerprint: Fingerprint, nowMs: number): number | undefined {
    const known = this.#found.find(fingerprint, nowMs)
    if (known !== undefined) return known
    const sought = { first: tagOf(fingerprint), second: fingerprint[1] ?? 0, from: 0 }
    for (const run of this.#runs) {
      if (run.endMs <= nowMs) continue
      sought.from = 0
      const place = findPlace(run.filter, sought)
      if (place < 0) continue
      const entry = this.#entryIn(run, fingerprint, { ...sought, from: place })
      if (entry === undefined) continue
      const expiresAtMs = run.startMs + entryExpiryOffsetMs(entry.words, entry.at)
      if (expiresAtMs <= nowMs) continue
      const position = entryPosition(entry.words, entry.at)
      this.#found.add(fingerprint, position, expiresAtMs)
      return position
    }
    return undefined
  }

  /** Entries of one page, in order. */
  entries(run: ClaimRun, number: number): Uint32Array {
    return this.#page(run, 'entries', number).words
  }

  add(run: ClaimRun): void {
    this.#runs.push(run)
    this.#sizeBytes += filterBytes(run.filter)
  }

  remove(run: ClaimRun): void {
    const before = this.#runs.length
    this.#runs = this.#runs.filter((one) => one !== run)
    if (this.#runs.length < before) this.#sizeBytes -= filterBytes(run.filter)
  }

  /** Highest row of a bucket's table whose keys are sealed. */
  coversTo(bucket: number): number {
    let coversTo = 0
    for (const run of this.#runs) {
      if (run.bucket === bucket) coversTo = Math.max(coversTo, run.coversTo)
    }
    return coversTo
  }

  /** Gives up filters, of the largest runs first, until they take no more than this. */
  shrink(bytesMax: number): void {
    while (this.#sizeBytes > bytesMax) {
      let largest: ClaimRun | undefined
      for (const run of this.#runs) {
        const isFull = run.filter.remainders !== undefined
        if (isFull && run.entries > (largest?.entries ?? 0)) largest = run
      }
      if (largest === undefined) return
      this.#sizeBytes -= filterBytes(largest.filter)
      largest.filter = coarsened(largest.filter)
      this.#sizeBytes += filterBytes(largest.filter)
    }
  }

  /** Reads a run's filter from disk; the remainders only if they fit. */
  load(row: RunRow, hasRoom: boolean): ClaimRun {
    const { startMs, endMs } = claimBucketSpan(row.bucket)
    const pages = pagesOf(row)
    const run = { ...row, startMs, endMs, filter: EMPTY_FILTER }
    const offsets = new Uint32Array(row.groups + 1)
    for (let number = 0; number < pages.offsets; number++) {
      offsets.set(this.#page(run, 'offsets', number).words, number * PAGE_WORDS)
    }
    if (!hasRoom) return { ...run, filter: coarsened({ offsets, remainders: undefined }) }
    const remainders = new Uint16Array(row.entries)
    for (let number = 0; number < pages.remainders; number++) {
      const { words } = this.#page(run, 'remainders', number)
      unpack(words, remainders.subarray(number * PAGE_WORDS * 2))
    }
    return { ...run, filter: { offsets, remainders } }
  }

  /** Pages of a live run that are not readable, at most a few. */
  damagedPages(run: RunRow): readonly number[] {
    const bad: number[] = []
    const pages = pagesOf(run)
    let id = firstPageId(run.run)
    for (const kind of ['entries', 'offsets', 'remainders'] as const) {
      for (let number = 0; number < pages[kind]; number++, id++) {
        const page = readPage(this.#connection, id)
        if (!page || !isPageOf(page, run, kind)) bad.push(id)
        if (bad.length >= DAMAGED_LISTED_MAX) return bad
      }
    }
    return bad
  }

  /** @throws JUNCTURA_STORE_DAMAGED when a row is damaged, or pages have none. */
  readDirectory(): readonly RunRow[] {
    const { rows, damaged } = readRunRows(this.#connection)
    const [bad] = damaged
    if (bad !== undefined) throw this.#damaged(`row ${bad} of junctura_claim_runs`)
    const known = new Set(rows.map(({ run }) => run))
    for (let from = 0; ;) {
      const next = this.#connection.first(
        'SELECT id FROM junctura_claim_pages WHERE id >= ? ORDER BY id LIMIT 1',
        from,
      )
      if (next === undefined) return rows
      const run = runOfPage(integerAt(next, 0))
      if (!known.has(run)) throw this.#damaged(`the row of run ${run} in junctura_claim_runs`)
      from = firstPageId(run + 1)
    }
  }

  /** Looks from the first place that may hold it; a run holds a fingerprint once. */
  #entryIn(run: ClaimRun, fingerprint: Fingerprint, sought: Sought): EntryPlace | undefined {
    let number = -1
    let words: Uint32Array | undefined
    let place = sought.from
    for (; place >= 0; place = findPlace(run.filter, { ...sought, from: place + 1 })) {
      const wanted = Math.floor(place / PAGE_ENTRIES)
      if (words === undefined || number !== wanted) words = this.entries(run, wanted)
      number = wanted
      const at = (place % PAGE_ENTRIES) * ENTRY_WORDS
      if (isEntryOf(words, at, fingerprint)) return { words, at }
    }
    return undefined
  }

  #page(run: RunRow, kind: PageKind, number: number): ClaimPage {
    const pages = pagesOf(run)
    const before = kind === 'entries' ? 0 : pages.entries + (kind === 'offsets' ? 0 : pages.offsets)
    const id = firstPageId(run.run) + before + number
    const page = readPage(this.#connection, id)
    if (page && isPageOf(page, run, kind)) return page
    throw this.#damaged(`page ${id} of junctura_claim_pages`)
  }

  #damaged(what: string): JuncturaError {
    return new JuncturaError('JUNCTURA_STORE_DAMAGED', {
      details: { file: this.#file, problem: `the idempotency keys in ${what} are not readable` },
    })
  }
}

const EMPTY_FILTER: RunFilter = { offsets: new Uint32Array(2), remainders: undefined }
const DAMAGED_LISTED_MAX = 100

const isPageOf = (page: ClaimPage, run: RunRow, kind: PageKind): boolean =>
  page.kind === kind && page.bucket === run.bucket

/** Two remainders in a word, the first in the low half. */
function unpack(words: Uint32Array, into: Uint16Array): void {
  for (let index = 0; index < into.length && index >> 1 < words.length; index++) {
    const word = words[index >> 1] ?? 0
    into[index] = index % 2 === 0 ? word : word >>> 16
  }
}
