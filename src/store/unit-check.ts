import { crc32 } from 'node:zlib'
import { assert, isJuncturaError, JuncturaError, LIMITS, messageOf } from '../kernel/index.ts'
import { type CollectionName, indexesOf } from './catalogue.ts'
import type { Append, ClaimedKey, RowWrite, Unit, UnitOutcome } from './store.ts'

/** A row as drivers keep it. */
export interface EncodedRow {
  readonly collection: CollectionName
  readonly key: string
  /** JSON, or undefined to delete the row. */
  readonly value: string | undefined
  /** By field of the collection's indexes; null where the row has none. */
  readonly fields: readonly (string | number | null)[]
}

/** What a unit writes, checked: after this only the engine itself can refuse it. */
export interface CheckedWork {
  readonly appends: readonly Append[]
  readonly rows: readonly EncodedRow[]
}

const NOTHING: readonly never[] = []

/** Of a unit that appends nothing and writes no rows: the same object each time. */
export const NO_WORK: CheckedWork = { appends: NOTHING, rows: NOTHING }

/**
 * Checks before anything is written, so that a unit at fault is refused alone and without a
 * savepoint of its own.
 *
 * @throws JUNCTURA_INVARIANT when a value cannot be stored, JUNCTURA_RECORD_TOO_LARGE.
 */
export const checkWork = (work: Pick<Unit, 'appends' | 'rows'>): CheckedWork => {
  const { appends = NOTHING, rows = NOTHING } = work
  if (appends.length + rows.length === 0) return NO_WORK
  for (const append of appends) checkAppend(append)
  return { appends, rows: rows.length === 0 ? NOTHING : rows.map(encodeRow) }
}

/** @throws JUNCTURA_INVARIANT when a claim names no record of the unit. */
export const checkClaims = (unit: Unit, appendCount: number): void => {
  for (const claim of unit.claims ?? NOTHING) {
    assert(claim.append >= 0 && claim.append < appendCount, 'a claim names a record of its unit')
    checkExpiry(claim)
  }
}

const checkExpiry = ({ expiresAtMs }: ClaimedKey): void =>
  assert(Number.isSafeInteger(expiresAtMs), 'a claim expires at a whole millisecond')

/** What a unit is told: where its records stand, and which of them were left out. */
export const committedOutcome = (
  positions: readonly number[],
  leftOut: readonly number[],
): Extract<UnitOutcome, { status: 'committed' }> =>
  leftOut.length === 0
    ? { status: 'committed', positions }
    : { status: 'committed', positions, leftOut }

/** Fields of all indexes of a collection, each once: what a driver keeps beside the JSON. */
export const indexedFieldsOf = (collection: CollectionName): readonly string[] => {
  let fields = FIELDS.get(collection)
  if (fields === undefined) {
    fields = [...new Set(Object.values(indexesOf(collection)).flat())]
    FIELDS.set(collection, fields)
  }
  return fields
}

export const encodeRow = (write: RowWrite): EncodedRow => {
  const { collection, key } = write
  assert(typeof key === 'string', 'the key of a row is a string')
  if (write.row === undefined) return { collection, key, value: undefined, fields: NOTHING }
  const row: Readonly<Record<string, unknown>> = { ...write.row }
  const value = stringify(row, collection)
  const fields = indexedFieldsOf(collection).map((field) => indexValueOf(row[field]))
  return { collection, key, value, fields }
}

/** What a driver stores beside a row's JSON, and compares when it reads it. */
export const rowChecksum = (key: string, value: string): number => crc32(value, crc32(key))

export const indexValueOf = (value: unknown): string | number | null =>
  typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value)) ? value : null

/** The error of a commit that was refused as a whole, kept as it is when it has its code. */
export const failedCommit = (error: unknown): JuncturaError =>
  isJuncturaError(error) && error.code.startsWith('JUNCTURA_STORE_')
    ? error
    : new JuncturaError('JUNCTURA_STORE_FAILED', {
        cause: error,
        details: { problem: messageOf(error) },
      })

const FIELDS = new Map<CollectionName, readonly string[]>()

function checkAppend(append: Append): void {
  assert(typeof append.channel === 'string', 'a record has a channel')
  assert(Number.isSafeInteger(append.slot) && append.slot >= 0, 'a slot is a whole number')
  assert(Number.isSafeInteger(append.atMs), 'a record has a time in whole milliseconds')
  assert(append.bytes instanceof Uint8Array, 'a record is bytes')
  if (append.claim) checkExpiry(append.claim)
  if (append.bytes.length > LIMITS.recordBytesMax) {
    throw new JuncturaError('JUNCTURA_RECORD_TOO_LARGE', {
      details: {
        size: append.bytes.length,
        maximum: LIMITS.recordBytesMax,
        type: append.channel,
      },
    })
  }
}

function stringify(row: unknown, collection: CollectionName): string {
  try {
    return JSON.stringify(row)
  } catch (error) {
    throw new JuncturaError('JUNCTURA_INVARIANT', {
      cause: error,
      details: { invariant: `a row of ${collection} can be written as JSON` },
    })
  }
}
