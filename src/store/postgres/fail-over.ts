import { LIMITS } from '../../kernel/index.ts'
import { FAILED_OVER, type FailOver } from '../store.ts'
import { encodeRow } from '../unit-check.ts'
import type { Features } from '../../contract/index.ts'
import { createKnownLayout } from './known-layout.ts'
import type { LogTables } from './log-tables.ts'
import { createServerLine, type LineName } from './server-line.ts'
import { type Session, textAt } from './session.ts'
import type { StateTables } from './state-tables.ts'
import { createStoreFate } from './writer.ts'

export interface FailOverParts {
  readonly schema: string
  readonly state: StateTables
  readonly log: LogTables
  readonly nowMs: number
  readonly durability: Features['durability']
  /** Of the server, as it is now. */
  readonly line: LineName
}

/** The row of `server_line`. */
interface KnownLine {
  readonly line: string
  readonly durability: Features['durability']
  /** How this history began, if the store saw it begin. */
  readonly began?: FailOver
}

/** Whether the store was last used on another history of the server, or with other promises. */
export const isOnKnownLine = async (
  session: Session,
  { schema, durability, line }: Pick<FailOverParts, 'schema' | 'durability' | 'line'>,
): Promise<boolean> => {
  const known = await knownLine(session, schema)
  return known?.line === line.name && known.durability === durability
}

/**
 * Takes a server with another history into use, in a transaction that has the lock of commits:
 *
 * - The next position lies beyond every one that may have been given before: no position that a
 *   broker, another process or a person has seen is ever given to another record.
 * - What is known to be missing is noted, for the runtime to tell. `reached` is the last position
 *   that this process saw; each process that remembers more corrects the number.
 *
 * Who comes first makes the change; it is the same whoever that is.
 */
export const settleServerLine = async (
  session: Session,
  parts: FailOverParts,
  reached: number | undefined,
): Promise<void> => {
  const { schema, state, durability } = parts
  const { name: line } = parts.line
  const known = await knownLine(session, schema)
  const note = (value: FailOver): Promise<void> =>
    state.write(session, [encodeRow({ collection: 'meta', key: FAILED_OVER, row: { value } })])
  if (known?.line === line && reached !== undefined) {
    const began = withReached(known.began, reached)
    if (!began) return
    await keepLine(session, schema, { ...known, began })
    await note(began)
  } else if (known === undefined || known.line === line) {
    await keepLine(session, schema, { ...known, line, durability })
  } else {
    const began = await beginLine(session, parts, { before: known.durability, reached })
    await keepLine(session, schema, { line, durability, began })
    await note(began)
  }
}

const knownLine = async (session: Session, schema: string): Promise<KnownLine | undefined> => {
  const [row] = await session.rows(`select line, durability, began from ${schema}.server_line`)
  if (row === undefined) return undefined
  const known: KnownLine = {
    line: textAt(row, 0),
    durability: DURABILITIES.find((one) => one === row[1]) ?? 'process',
  }
  if (row[2] === null) return known
  // Only `keepLine` writes it.
  const began: FailOver = JSON.parse(textAt(row, 2))
  return { ...known, began }
}

const DURABILITIES = ['process', 'fsync', 'replicated'] as const

const keepLine = async (
  session: Session,
  schema: string,
  { line, durability, began }: KnownLine,
): Promise<void> => {
  await session.run(
    `insert into ${schema}.server_line (line, durability, began) values ($1, $2, $3)
     on conflict (one) do update set line = excluded.line, durability = excluded.durability,
       began = excluded.began`,
    line,
    durability,
    began === undefined ? null : JSON.stringify(began),
  )
}

/** Undefined when nothing more is known. A position behind the gap was given since. */
const withReached = (began: FailOver | undefined, reached: number): FailOver | undefined => {
  if (!began || reached >= began.nextPosition || reached <= (began.reached ?? 0)) return undefined
  return { ...began, reached, missing: Math.max(0, reached - began.position) }
}

async function beginLine(
  session: Session,
  { schema, log, nowMs, ...parts }: FailOverParts,
  {
    before,
    reached,
  }: { readonly before: Features['durability']; readonly reached: number | undefined },
): Promise<FailOver> {
  // A look of its own: what this process knew of the tables belongs to the other history.
  const line = createServerLine(parts.line, {
    fate: createStoreFate(),
    onMoved: () => undefined,
  })
  const { layout, head } = await createKnownLayout(schema, () => line).look(session)
  const nextPosition = Math.max(head, reached ?? 0) + LIMITS.positionGap + 1
  await log.begin(session, { layout, head, nowMs }, nextPosition)
  // What others know of the tables belongs to the other history too, whatever they had counted.
  await session.exec(`update ${schema}.layout set version = version + ${LIMITS.positionGap}`)
  return {
    durability: before,
    position: head,
    reached: reached ?? null,
    missing: reached === undefined ? null : Math.max(0, reached - head),
    nextPosition,
    noticedAtMs: nowMs,
  }
}
