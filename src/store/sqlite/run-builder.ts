import { must } from '../../kernel/index.ts'
import { BUCKET_PARTS, type KeyBucket } from '../key-bucket.ts'
import { compareEntries, ENTRY_WORDS, entryExpiryOffsetMs, type EntryPlace } from '../key-entry.ts'
import { firstPageId, PAGE_ENTRIES, PAGE_WORDS, type PageKind, writePage } from './claim-pages.ts'
import type { ClaimRun, ClaimRuns } from './claim-runs.ts'
import type { Connection } from './connection.ts'
import { FilterBuilder, type RunFilter } from './run-filter.ts'

export interface RunPlan {
  readonly run: number
  readonly bucket: number
  readonly entriesMax: number
  /** Entries in order, some at a time. */
  readonly sorted: Iterable<Uint32Array>
}

export interface BuiltRun {
  readonly entries: number
  readonly filter: RunFilter
}

/**
 * Writes the pages of a run; each step writes one. Of two entries with one
 * fingerprint, as of a key that expired and was claimed again, the one that is held longer stays.
 */
export function* buildRun(writer: Connection, plan: RunPlan): Generator<undefined, BuiltRun> {
  const { run, bucket } = plan
  const filter = new FilterBuilder(plan.entriesMax)
  const page = new Uint32Array(PAGE_WORDS)
  const last: EntryPlace = { words: page, at: -ENTRY_WORDS }
  let id = firstPageId(run)
  let entries = 0
  const write = (kind: PageKind, words: Uint32Array): void => {
    writePage(writer, id, { kind, bucket, words })
    id += 1
  }
  for (const words of plan.sorted) {
    const next: EntryPlace = { words, at: 0 }
    for (; next.at < words.length; next.at += ENTRY_WORDS) {
      if (last.at >= 0 && compareEntries(last, next) === 0) {
        if (expiryOf(next) > expiryOf(last)) copyEntry(next, last)
        continue
      }
      if (last.at + ENTRY_WORDS === PAGE_WORDS) {
        write('entries', page)
        last.at = -ENTRY_WORDS
        yield
      }
      last.at += ENTRY_WORDS
      copyEntry(next, last)
      filter.add(words[next.at] ?? 0, words[next.at + 1] ?? 0)
      entries += 1
    }
  }
  if (last.at >= 0) write('entries', page.subarray(0, last.at + ENTRY_WORDS))
  const built = filter.finish()
  for (const words of pieces(built.offsets)) {
    write('offsets', words)
    yield
  }
  for (const words of packed(must(built.remainders, 'a filter is built whole'))) {
    write('remainders', words)
    yield
  }
  return { entries, filter: built }
}

export function* entriesOfBucket(bucket: KeyBucket): Generator<Uint32Array> {
  for (let part = 0; part < BUCKET_PARTS; part++) yield bucket.sortedPart(part)
}

/** The entries of several runs as one. */
export function* entriesOfRuns(
  runs: ClaimRuns,
  inputs: readonly ClaimRun[],
): Generator<Uint32Array> {
  const cursors = inputs.map((input) => new RunCursor(runs, input)).filter((one) => one.next())
  const merged = new Uint32Array(PAGE_WORDS)
  const to: EntryPlace = { words: merged, at: 0 }
  while (cursors.length > 0) {
    let smallest = must(cursors[0], 'a cursor is left')
    for (const cursor of cursors) if (compareEntries(cursor, smallest) < 0) smallest = cursor
    copyEntry(smallest, to)
    to.at += ENTRY_WORDS
    if (!smallest.next()) cursors.splice(cursors.indexOf(smallest), 1)
    if (to.at < PAGE_WORDS) continue
    yield merged
    to.at = 0
  }
  if (to.at > 0) yield merged.subarray(0, to.at)
}

/** Stands on one entry of a run after the other. */
class RunCursor implements EntryPlace {
  words: Uint32Array = new Uint32Array()
  at = 0
  readonly #runs: ClaimRuns
  readonly #run: ClaimRun
  #place = -1

  constructor(runs: ClaimRuns, run: ClaimRun) {
    this.#runs = runs
    this.#run = run
  }

  next(): boolean {
    this.#place += 1
    if (this.#place >= this.#run.entries) return false
    this.at += ENTRY_WORDS
    if (this.#place % PAGE_ENTRIES === 0) {
      this.words = this.#runs.entries(this.#run, this.#place / PAGE_ENTRIES)
      this.at = 0
    }
    return true
  }
}

const expiryOf = ({ words, at }: EntryPlace): number => entryExpiryOffsetMs(words, at)

function copyEntry(from: EntryPlace, to: EntryPlace): void {
  for (let word = 0; word < ENTRY_WORDS; word++) {
    to.words[to.at + word] = from.words[from.at + word] ?? 0
  }
}

function* pieces(words: Uint32Array): Generator<Uint32Array> {
  for (let at = 0; at < words.length; at += PAGE_WORDS) yield words.subarray(at, at + PAGE_WORDS)
}

/** Two remainders in a word, the first in the low half. */
function* packed(remainders: Uint16Array): Generator<Uint32Array> {
  for (let at = 0; at < remainders.length; at += PAGE_WORDS * 2) {
    const some = remainders.subarray(at, at + PAGE_WORDS * 2)
    const words = new Uint32Array(Math.ceil(some.length / 2))
    for (let index = 0; index < words.length; index++) {
      words[index] = (some[index * 2] ?? 0) + (some[index * 2 + 1] ?? 0) * 2 ** 16
    }
    yield words
  }
}
