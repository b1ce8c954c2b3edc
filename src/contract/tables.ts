import { createHash } from 'node:crypto'
import { checkName, declarationError } from './declaration-error.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'

/** Tables of the user's own in the store's database, applied once each, in the order declared. */
export interface SqlMigration {
  readonly part: 'sql'
  readonly name: string
  readonly sqlite: string
  readonly postgres?: string
  /** Of the statements; a changed migration that has been applied is refused at start. */
  readonly checksum: string
  readonly at: SourceLocation
}

export interface SqlOptions {
  /** Identity of the migration. @default the name of the first table it creates */
  readonly name?: string
  readonly sqlite: string
  readonly postgres?: string
}

/**
 * @throws JUNCTURA_DECLARATION when no name is given and none can be read from `create table`.
 */
export const sql = (options: SqlOptions): SqlMigration => {
  const found = /create\s+table\s+(?:if\s+not\s+exists\s+)?"?([a-z_][a-z0-9_]*)/i.exec(
    options.sqlite,
  )
  const name = options.name ?? found?.[1]?.toLowerCase().replaceAll('_', '-')
  if (name === undefined) {
    throw declarationError('sql', 'the migration has no name', 'give it one: sql({ name, sqlite })')
  }
  const text = JSON.stringify([options.sqlite, options.postgres ?? null])
  return {
    part: 'sql',
    ...options,
    name: checkName(name, 'sql'),
    checksum: createHash('sha256').update(text).digest('hex'),
    at: callerLocation(),
  }
}
