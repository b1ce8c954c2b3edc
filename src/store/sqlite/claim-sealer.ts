import { must } from '../../kernel/index.ts'
import { claimBucketEndsAtMs, type DedupeIndex } from '../dedupe-index.ts'
import type { KeyBucket } from '../key-bucket.ts'
import type { Fingerprint } from '../key-entry.ts'
import { deleteSome, type Garbage } from './claim-garbage.ts'
import { PAGE_ENTRIES } from './claim-pages.ts'
import { type ClaimRun, type ClaimRuns, type RunRow, writeRunRow } from './claim-runs.ts'
import type { Connection } from './connection.ts'
import {
  type BuiltRun,
  buildRun,
  entriesOfBucket,
  entriesOfRuns,
  type RunPlan,
} from './run-builder.ts'
import { filterBytesOf, filterGroups } from './run-filter.ts'
import { chooseMerge } from './run-merge.ts'

export interface ClaimSealerOptions {
  readonly writer: Connection
  readonly index: DedupeIndex
  readonly runs: ClaimRuns
  /** Keys, filters and what is being built take no more memory than this. */
  readonly bytesMax: number
  /** Newest committed row of a bucket's table. */
  readonly lastRowOf: (bucket: number) => number
}

/** A run that is being written. */
interface Build {
  readonly row: RunRow
  readonly sizeBytes: number
  readonly inputs: readonly ClaimRun[]
  readonly steps: Generator<undefined, BuiltRun>
  /** Its row is committed, so that it has to be deleted if the build is given up. */
  isOnDisk: boolean
}

/** Keys of one bucket that are to be sealed; still found here until they are. */
interface Frozen {
  readonly bucket: KeyBucket
  readonly coversTo: number
}

/**
 * Keeps the keys in memory under a ceiling: when they fill an eighth of it, the fullest bucket is
 * frozen, a new one takes what comes, and the frozen one is written as a sorted run. Runs of alike
 * size are merged, so that a search asks few filters.
 *
 * The work is done in small steps within the commits that bring new keys, in proportion to their
 * number, so it costs no sync of its own and cannot fall behind; a commit that fails takes the step
 * with it, and the build starts over. What is new takes effect in memory when its commit has
 * (`settle`). The rows that a run replaces are deleted later: until then they are known to be
 * covered by it.
 */
export class ClaimSealer {
  readonly #options: ClaimSealerOptions
  readonly #freezeBytes: number
  readonly #mergeEntriesMax: number
  #frozen: Frozen | undefined
  #seal: Build | undefined
  #merge: Build | undefined
  #garbage: Garbage[] = []
  #settling: (() => void)[] = []
  /** When each bucket last took a key, as far as this process knows. */
  readonly #touchedMs = new Map<number, number>()
  #loadedMs = 0
  #nextRun = 1
  #debtEntries = 0
  #restCommits = 0
  /** Whether the open transaction holds a step of a build. */
  #hasStepped = false

  constructor(options: ClaimSealerOptions) {
    this.#options = options
    this.#freezeBytes = Math.min(options.bytesMax / FREEZE_SHARE, FREEZE_BYTES_MAX)
    this.#mergeEntriesMax = Math.floor(options.bytesMax / FREEZE_SHARE / FILTER_ENTRY_BYTES)
  }

  get sizeBytes(): number {
    const { index, runs } = this.#options
    const frozen = this.#frozen?.bucket.sizeBytes ?? 0
    const built = (this.#seal?.sizeBytes ?? 0) + (this.#merge?.sizeBytes ?? 0)
    return index.sizeBytes + runs.sizeBytes + frozen + built
  }

  get hasGarbage(): boolean {
    return this.#garbage.length > 0
  }

  /** Whether keys wait to be sealed. */
  get isSealing(): boolean {
    return this.#frozen !== undefined
  }

  /** Among the keys that are frozen. */
  find(fingerprint: Fingerprint, nowMs: number): number | undefined {
    const bucket = this.#frozen?.bucket
    return bucket && bucket.endMs > nowMs ? bucket.find(fingerprint, nowMs) : undefined
  }

  /** What is on disk: of the live runs that have not ended, the filters are loaded. */
  load(nowMs: number): void {
    const { runs, bytesMax } = this.#options
    this.#loadedMs = nowMs
    const rows = runs.readDirectory()
    for (const { run } of rows) this.#nextRun = Math.max(this.#nextRun, run + 1)
    const live = rows.filter(({ state }) => state === 'live')
    for (const row of live.toSorted((left, right) => left.entries - right.entries)) {
      const free = bytesMax - (2 * bytesMax) / FREEZE_SHARE - runs.sizeBytes
      runs.add(runs.load(row, filterBytesOf(row.entries) <= free))
    }
    for (const { run, state } of rows) if (state !== 'live') this.drop({ kind: 'run', run })
    this.expire(nowMs)
  }

  /** In the open transaction, after new claims were written: the share of work that is due. */
  work(claims: number, nowMs: number): void {
    const due = this.#debtEntries + claims * ENTRIES_PER_CLAIM
    this.#debtEntries = Math.min(due, DEBT_PAGES_MAX * PAGE_ENTRIES)
    const pages = Math.min(STEP_PAGES_MAX, Math.floor(this.#debtEntries / PAGE_ENTRIES))
    if (pages < STEP_PAGES_MIN) return
    if (this.#restCommits > 0) {
      this.#restCommits -= 1
      return
    }
    this.#debtEntries -= pages * PAGE_ENTRIES
    this.step(pages, nowMs)
  }

  /** In the open transaction: half for sealing, if keys wait for it, the rest for what is left. */
  step(pages: number, nowMs: number): void {
    this.#hasStepped = true
    const forSeal = this.#frozen ? Math.ceil(pages / 2) : 0
    if (this.#frozen) {
      this.#seal ??= this.#startSeal(this.#frozen)
      this.#advance(this.#seal, forSeal)
    }
    if (this.#garbage.length > 0) {
      this.clean((pages - forSeal) * DELETES_PER_PAGE)
      return
    }
    this.#merge ??= this.#startMerge(nowMs)
    if (this.#merge) this.#advance(this.#merge, pages - forSeal)
  }

  /** In the open transaction: deletes rows that nothing looks into. */
  clean(pagesMax: number): void {
    const [garbage] = this.#garbage
    if (garbage === undefined || !deleteSome(this.#options.writer, garbage, pagesMax)) return
    this.#settling.push(() => {
      this.#garbage = this.#garbage.filter((one) => one !== garbage)
    })
  }

  /** In the open transaction: forgets the buckets in which everything has expired. */
  expire(nowMs: number): void {
    const { writer, runs, index } = this.#options
    const ended = runs.live.filter(({ endMs }) => endMs <= nowMs)
    for (const run of ended) writeRunRow(writer, { ...run, state: 'dropped' })
    this.#settling.push(() => {
      index.expire(nowMs)
      const isEnded = (build: Build | undefined): boolean =>
        build?.inputs.some((input) => ended.includes(input)) ?? false
      if (isEnded(this.#merge)) this.#merge = this.#giveUp(this.#merge)
      if (this.#frozen && this.#frozen.bucket.endMs <= nowMs) {
        this.#seal = this.#giveUp(this.#seal)
        this.#frozen = undefined
      }
      for (const run of ended) this.#dropRun(run)
      for (const bucket of this.#touchedMs.keys()) {
        if (claimBucketEndsAtMs(bucket) <= nowMs) this.#touchedMs.delete(bucket)
      }
    })
  }

  /** The transaction has committed, and what it claimed is in the index. */
  settle(): void {
    const settling = this.#settling
    this.#settling = []
    this.#hasStepped = false
    for (const done of settling) done()
    for (const build of [this.#seal, this.#merge]) if (build) build.isOnDisk = true
    this.#freezeIfDue()
    this.#makeRoom(0)
  }

  /**
   * The transaction was rolled back: what was begun starts over, after a rest, since the disk may
   * be full and the commits come first.
   */
  discard(): void {
    this.#settling = []
    if (!this.#hasStepped) return
    this.#hasStepped = false
    this.#restCommits = REST_COMMITS
    this.#seal = this.#giveUp(this.#seal)
    this.#merge = this.#giveUp(this.#merge)
  }

  /** A bucket took keys. */
  touch(bucket: number, nowMs: number): void {
    this.#touchedMs.set(bucket, nowMs)
  }

  drop(garbage: Garbage): void {
    this.#garbage.push(garbage)
  }

  /** The bucket's table is written again, after the clock went back. */
  keepTable(bucket: number): void {
    this.#garbage = this.#garbage.filter((one) => one.kind !== 'table' || one.bucket !== bucket)
  }

  #freezeIfDue(): void {
    const { index, lastRowOf } = this.#options
    if (this.#frozen !== undefined || index.sizeBytes < this.#freezeBytes) return
    const bucket = index.takeLargest()
    if (bucket) this.#frozen = { bucket, coversTo: lastRowOf(bucket.id) }
  }

  #startSeal({ bucket, coversTo }: Frozen): Build {
    const sorted = entriesOfBucket(bucket)
    const plan = { run: this.#nextRun++, bucket: bucket.id, entriesMax: bucket.count, sorted }
    return this.#start(plan, { coversTo, inputs: [] })
  }

  #startMerge(nowMs: number): Build | undefined {
    const { runs } = this.#options
    const inputs = chooseMerge(runs.live, {
      nowMs,
      entriesMax: this.#mergeEntriesMax,
      touchedMs: (bucket) => this.#touchedMs.get(bucket) ?? this.#loadedMs,
    })
    const [first] = inputs
    if (first === undefined) return undefined
    const { bucket } = first
    const entriesMax = inputs.reduce((sum, { entries }) => sum + entries, 0)
    const sorted = entriesOfRuns(runs, inputs)
    const coversTo = Math.max(...inputs.map((input) => input.coversTo))
    return this.#start({ run: this.#nextRun++, bucket, entriesMax, sorted }, { coversTo, inputs })
  }

  #start(plan: RunPlan, more: Pick<RunRow, 'coversTo'> & Pick<Build, 'inputs'>): Build {
    const { writer } = this.#options
    const { run, bucket, entriesMax } = plan
    const { coversTo, inputs } = more
    const groups = filterGroups(entriesMax)
    const row: RunRow = { run, bucket, state: 'writing', entries: 0, groups, coversTo }
    writeRunRow(writer, row)
    const sizeBytes = filterBytesOf(entriesMax)
    this.#makeRoom(sizeBytes)
    return { row, sizeBytes, inputs, steps: buildRun(writer, plan), isOnDisk: false }
  }

  #advance(build: Build, pages: number): void {
    for (let step = 0; step < pages; step++) {
      const result = build.steps.next()
      if (result.done) return this.#finish(build, result.value)
    }
  }

  #finish(build: Build, { entries, filter }: BuiltRun): void {
    const { writer, runs } = this.#options
    const { inputs } = build
    const row: RunRow = { ...build.row, state: 'live', entries }
    writeRunRow(writer, row)
    for (const input of inputs) writeRunRow(writer, { ...input, state: 'dropped' })
    const span = inputs[0] ?? must(this.#frozen, 'a seal has its keys').bucket
    const { startMs, endMs } = span
    this.#settling.push(() => {
      runs.add({ ...row, startMs, endMs, filter })
      for (const input of inputs) this.#dropRun(input)
      if (build === this.#merge) {
        this.#merge = undefined
        return
      }
      this.#seal = undefined
      this.#frozen = undefined
      this.drop({ kind: 'rows', bucket: row.bucket, to: row.coversTo })
    })
  }

  #dropRun(run: ClaimRun): void {
    this.#options.runs.remove(run)
    this.drop({ kind: 'run', run: run.run })
  }

  #giveUp(build: Build | undefined): undefined {
    if (build?.isOnDisk) this.drop({ kind: 'run', run: build.row.run })
  }

  /** Gives up filters, so that all together and `moreBytes` stay under the ceiling. */
  #makeRoom(moreBytes: number): void {
    const { runs, bytesMax } = this.#options
    const over = this.sizeBytes + moreBytes - bytesMax
    if (over > 0) runs.shrink(runs.sizeBytes - over)
  }
}

/** An eighth may be new, another eighth be frozen, another be the filter of a run being built. */
const FREEZE_SHARE = 8
/** Bounds the largest step: sorting one part of a bucket. */
const FREEZE_BYTES_MAX = 33_554_432
const FILTER_ENTRY_BYTES = 2.25
/** A key is written again when it is sealed and in two or three merges: none may fall behind. */
const ENTRIES_PER_CLAIM = 5
/** Fewer at once would write the table's inner pages, which every step changes, more often. */
const STEP_PAGES_MIN = 8
/** Of one commit; some two milliseconds. */
const STEP_PAGES_MAX = 32
const DEBT_PAGES_MAX = 64
const DELETES_PER_PAGE = 8
const REST_COMMITS = 100
