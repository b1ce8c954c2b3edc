import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { type Clock, JuncturaError, LIMITS, messageOf } from '../../kernel/index.ts'
import type { StoreProblem } from '../store.ts'
import type { ClaimTables } from './claim-tables.ts'
import { type Connection, textAt } from './connection.ts'
import type { LogPartitions } from './log-partitions.ts'
import type { LogReader } from './log-reader.ts'
import { collectionNames, type StateReader, stateTableName } from './state-tables.ts'

export interface CheckedParts {
  readonly file: string
  readonly directory: string
  readonly clock: Clock
  readonly reader: Connection
  readonly log: LogReader
  readonly state: StateReader
  readonly claims: ClaimTables
  readonly partitions: LogPartitions
}

/** Named differently from ours, so that a store is never made anew over what can be salvaged. */
export const damagedFilesBeside = (file: string): readonly string[] =>
  readdirSync(dirname(file)).filter((name) => name.startsWith(`${basename(file)}.damaged-`))

/**
 * @throws JUNCTURA_STORE_DAMAGED when the database is missing and a damaged one was put aside: a
 *   repair stopped half way, and an empty store would hide everything.
 */
export const checkNotHalfRepaired = (file: string): void => {
  if (existsSync(file)) return
  const [aside] = damagedFilesBeside(file)
  if (aside === undefined) return
  throw new JuncturaError('JUNCTURA_STORE_DAMAGED', {
    details: { file, problem: `it is missing and ${aside} was put aside; a repair was cut short` },
  })
}

/**
 * What is verified at every start. Of a small store everything but the user's own values; of a
 * large one the structure of the state, and the newest records, which is where a crash could have
 * hurt. The claims were verified as they were loaded, but for those that are sealed, which are as
 * each is read.
 *
 * @throws JUNCTURA_STORE_DAMAGED naming the file and what is wrong.
 */
export const checkAtStart = async (parts: CheckedParts, wholeBytesMax: number): Promise<void> => {
  const { file, reader, partitions, state, claims } = parts
  const whole = statSync(file).size <= wholeBytesMax
  const tables = whole ? [''] : collectionNames().map((name) => `(${stateTableName(name)})`)
  // Only the longer check compares an index with its table, and would miss a row that it hides.
  const check = whole ? 'integrity_check' : 'quick_check'
  for (const table of tables) {
    const [problem] = structureProblems(reader, `${check}${table}`)
    if (problem !== undefined) throw damaged(file, problem)
  }
  const from = whole ? 0 : Math.max(0, partitions.head - LIMITS.startCheckRecords)
  const [position] = await damagedRecords(parts, from)
  if (position !== undefined) {
    throw damaged(file, `the record at position ${position} does not match its checksum`)
  }
  if (!whole) return
  const [keys] = claims.damagedRows()
  if (keys !== undefined) throw damaged(file, `the idempotency keys in ${keys} are not readable`)
  for (const collection of collectionNames()) {
    const [key] = state.damagedKeys(collection)
    if (key !== undefined) throw damaged(file, `a row of ${collection} has a wrong checksum`)
  }
}

/** Reads and verifies everything: for `doctor`. */
export const checkWhole = async (parts: CheckedParts): Promise<readonly StoreProblem[]> => {
  const { file, reader, state, claims, directory } = parts
  const found: string[] = [...structureProblems(reader, 'integrity_check')]
  try {
    for (const position of await damagedRecords(parts, 0)) {
      found.push(`the record at position ${position} does not match its checksum`)
    }
    for (const collection of collectionNames()) {
      const count = state.damagedKeys(collection).length
      if (count > 0) found.push(`${count} row(s) of ${collection} have a wrong checksum`)
    }
    for (const row of claims.damagedRows()) {
      found.push(`the idempotency keys in ${row} are not readable`)
    }
  } catch (error) {
    found.push(messageOf(error))
  }
  const fix = `stop the process and run: junctura doctor --data ${directory} --repair`
  return found.map((problem) => ({ resource: file, problem, fix }))
}

async function damagedRecords(parts: CheckedParts, from: number): Promise<readonly number[]> {
  const { log, partitions, clock } = parts
  const damagedPositions: number[] = []
  for (let after = from; after < partitions.head;) {
    const { to, bad } = log.verify(after, ROWS_PER_TURN)
    damagedPositions.push(...bad)
    after = to
    await clock.yield()
  }
  return damagedPositions
}

const ROWS_PER_TURN = 1_000

function structureProblems(reader: Connection, check: string): readonly string[] {
  try {
    return reader
      .rows(`PRAGMA ${check}`)
      .map((row) => textAt(row, 0))
      .filter((line) => line !== 'ok')
  } catch (error) {
    return [messageOf(error)]
  }
}

const damaged = (file: string, problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_DAMAGED', { details: { file, problem } })
