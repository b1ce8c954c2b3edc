import type { Database } from '../../contract/index.ts'
import { type Clock, JuncturaError } from '../../kernel/index.ts'
import type { CollectionName } from '../catalogue.ts'
import { runTx } from '../run-tx.ts'
import type { ClaimedKey, Guard, RowWrite, StoredRecord, Unit, UnitOutcome } from '../store.ts'
import {
  type CheckedWork,
  checkClaims,
  checkWork,
  committedOutcome,
  type EncodedRow,
  encodeRow,
} from '../unit-check.ts'
import type { Disk, MemoryClaim } from './memory-disk.ts'

export interface MemoryCommitOptions {
  readonly disk: Disk
  readonly clock: Clock
  /** False when the disk has crashed meanwhile. */
  readonly alive: () => boolean
}

/** One transaction: collects beside the disk what it changes, and puts it there in one step. */
export class MemoryCommit {
  readonly #options: MemoryCommitOptions
  readonly #records: StoredRecord[] = []
  readonly #rows: EncodedRow[] = []
  /** Newest write of each row, for the guards of later units. */
  readonly #written = new Map<CollectionName, Map<string, EncodedRow>>()
  readonly #claims = new Map<string, MemoryClaim>()

  constructor(options: MemoryCommitOptions) {
    this.#options = options
  }

  async run(
    units: readonly Unit[],
    finish?: (outcomes: readonly UnitOutcome[]) => readonly RowWrite[],
  ): Promise<readonly UnitOutcome[]> {
    const outcomes: UnitOutcome[] = []
    for (const unit of units) outcomes.push(await this.#unit(unit))
    for (const row of finish?.(outcomes) ?? []) this.#put(encodeRow(row))
    return outcomes
  }

  /** Nothing in here can fail half way; only a journal is waited for. */
  async apply(owner: object): Promise<void> {
    this.#mustLive()
    const change = { records: this.#records, rows: this.#rows, claims: this.#claims }
    await this.#options.disk.write(change, owner)
  }

  async #unit(unit: Unit): Promise<UnitOutcome> {
    const refused = this.#refusal(unit)
    if (refused) return refused
    try {
      let work = checkWork(unit)
      if (unit.tx) work = await this.#withStatements(unit, work, unit.tx)
      checkClaims(unit, work.appends.length)
      return this.#write(unit, work)
    } catch (error) {
      this.#mustLive()
      return { status: 'failed', error }
    }
  }

  async #withStatements(
    unit: Unit,
    own: CheckedWork,
    tx: NonNullable<Unit['tx']>,
  ): Promise<CheckedWork> {
    const { clock, disk } = this.#options
    this.#mustLive()
    disk.user.savepoint()
    const ran = await runTx({ clock, database: this.#database(), callback: tx })
    this.#mustLive()
    try {
      if (ran.status === 'failed') throw ran.error
      const returned = checkWork(ran.value ?? {})
      const appends = [...own.appends, ...returned.appends]
      checkClaims(unit, appends.length)
      disk.user.release()
      return { appends, rows: [...own.rows, ...returned.rows] }
    } catch (error) {
      disk.user.undo()
      throw error
    }
  }

  /** The statements of a store whose disk has crashed must not reach its successor's tables. */
  #database(): Database {
    const { database } = this.#options.disk.user
    const living = async <T>(run: () => Promise<T>): Promise<T> => {
      this.#mustLive()
      return run()
    }
    return {
      run: (sql, ...parameters) => living(() => database.run(sql, ...parameters)),
      all: (sql, ...parameters) => living(() => database.all(sql, ...parameters)),
      get: (sql, ...parameters) => living(() => database.get(sql, ...parameters)),
    }
  }

  #refusal(unit: Unit): UnitOutcome | undefined {
    const nowMs = this.#options.clock.now()
    const claims = unit.claims ?? []
    for (let index = 0; index < claims.length; index++) {
      const key = claims[index] && claimKey(claims[index] ?? { scope: '', key: '' })
      if (key === undefined) continue
      const position = this.#takenAt(key, nowMs)
      if (position !== undefined) return { status: 'duplicate', claim: index, position }
    }
    const guard = unit.guards?.findIndex((candidate) => !this.#holds(candidate)) ?? -1
    return guard < 0 ? undefined : { status: 'guarded', guard }
  }

  #takenAt(key: string, nowMs: number): number | undefined {
    const taken = this.#claims.get(key) ?? this.#options.disk.claims.get(key)
    return taken && taken.expiresAtMs > nowMs ? taken.position : undefined
  }

  #holds({ collection, key, is }: Guard): boolean {
    const written = this.#written.get(collection)?.get(key)
    const value = written ? written.value : this.#options.disk.collection(collection).value(key)
    return (value !== undefined) === (is === 'present')
  }

  #write(unit: Unit, work: CheckedWork): UnitOutcome {
    const positions: number[] = []
    const leftOut: number[] = []
    const nowMs = this.#options.clock.now()
    for (const { channel, slot, atMs, bytes, claim } of work.appends) {
      const key = claim && claimKey(claim)
      const taken = key === undefined ? undefined : this.#takenAt(key, nowMs)
      if (taken !== undefined) {
        leftOut.push(positions.push(taken) - 1)
        continue
      }
      const position = this.#options.disk.head + this.#records.length + 1
      positions.push(position)
      if (key !== undefined) {
        this.#claims.set(key, { position, expiresAtMs: claim?.expiresAtMs ?? 0 })
      }
      // A copy: a disk keeps what was written, whatever becomes of the buffer.
      this.#records.push({ position, channel, slot, atMs, bytes: new Uint8Array(bytes) })
    }
    for (const row of work.rows) this.#put(row)
    for (const claim of unit.claims ?? []) {
      const position = positions[claim.append]
      const key = claimKey(claim)
      if (position === undefined || this.#claims.has(key)) continue
      this.#claims.set(key, { position, expiresAtMs: claim.expiresAtMs })
    }
    return committedOutcome(positions, leftOut)
  }

  #put(row: EncodedRow): void {
    this.#rows.push(row)
    let written = this.#written.get(row.collection)
    if (written === undefined) {
      written = new Map()
      this.#written.set(row.collection, written)
    }
    written.set(row.key, row)
  }

  #mustLive(): void {
    if (!this.#options.alive()) throw fencedError()
  }
}

/** Another process has the disk: what this one still wants to write comes too late (F39). */
export const fencedError = (): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_FENCED', { details: { store: 'memory' } })

export const claimKey = ({ scope, key }: Pick<ClaimedKey, 'scope' | 'key'>): string =>
  `${scope.length}:${scope}${key}`
