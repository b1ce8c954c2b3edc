import type { AnyContract } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import { isSecretReference, type SecretReference } from './secret.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { System, Team } from './system.ts'
import { required } from './webhook.ts'

/** Where a service keeps its business data, and with it the messages it emits. */
export type OutboxDatabase =
  /** PostgreSQL 15 or later; the relay uses one connection. Needs the package `pg`. */
  | { readonly url: SecretReference }
  /** A SQLite file on this machine, other than the store's own. */
  | { readonly file: string }

export interface OutboxSourceOptions {
  /** Who is told when it cannot be read, or holds rows that break a contract. */
  readonly owner: Team
  /** The system whose database it is. @default none: the Model shows the outbox itself */
  readonly from?: System
  readonly summary?: string
  readonly database: OutboxDatabase
  /** Contracts that may be emitted there; a row of another is kept as invalid. */
  readonly accepts: readonly AnyContract[]
  /** Schema of the outbox table; PostgreSQL only. @default 'public' */
  readonly schema?: string
}

/** An outbox as the relay reads it: every default filled in. */
export interface OutboxSource {
  readonly part: 'outbox'
  readonly name: string
  readonly owner: Team
  readonly from?: System
  readonly summary?: string
  readonly database: OutboxDatabase
  readonly accepts: readonly AnyContract[]
  readonly schema: string
  readonly at: SourceLocation
}

/** What PostgreSQL takes as a name of its own length, and what needs no thought when quoted. */
const SCHEMA = /^[A-Za-z_][A-Za-z0-9_$]{0,62}$/

/** Schema of the outbox table where nothing else is said. */
export const OUTBOX_SCHEMA = 'public'

/**
 * Declares an outbox: a table in the database of a service, which writes its messages there in the
 * transaction of its business data. The relay moves them into the log: each committed row exactly
 * once, none of a transaction that was rolled back. The name is the identity of the relay's place
 * in the table; under another name everything in the table would be moved again.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export const outboxSource = (name: string, options: OutboxSourceOptions): OutboxSource => {
  const what = `outbox ${JSON.stringify(name)}`
  checkName(name, 'outbox')
  const { from, summary, accepts } = options
  return Object.freeze({
    part: 'outbox',
    name,
    owner: required(options.owner, `${what}.owner`, "write owner: team('…')"),
    ...(from && { from }),
    ...(summary !== undefined && { summary }),
    database: checkDatabase(options.database, `${what}.database`),
    accepts: checkAccepts(accepts, `${what}.accepts`),
    schema: checkSchema(options.schema ?? OUTBOX_SCHEMA, `${what}.schema`),
    at: callerLocation(),
  })
}

/** @throws JUNCTURA_DECLARATION when it is no name of a schema. */
export const checkSchema = (schema: unknown, field: string): string => {
  if (typeof schema === 'string' && SCHEMA.test(schema)) return schema
  throw declarationError(
    field,
    `${JSON.stringify(schema)} is not the name of a schema`,
    'use letters, digits, "_" and "$", at most 63 characters, not beginning with a digit',
  )
}

function checkDatabase(database: unknown, field: string): OutboxDatabase {
  const fix = "write { url: secret.env('ORDERS_DATABASE_URL') } or { file: 'orders.db' }"
  if (typeof database !== 'object' || database === null) {
    throw declarationError(field, 'it is missing', fix)
  }
  const url: unknown = Reflect.get(database, 'url')
  const file: unknown = Reflect.get(database, 'file')
  if (url !== undefined && file === undefined) {
    // The message must not repeat the value: a URL holds a password.
    if (isSecretReference(url)) return Object.freeze({ url })
    throw declarationError(`${field}.url`, 'this is not a reference to a secret', fix)
  }
  if (typeof file === 'string' && file !== '' && url === undefined) return Object.freeze({ file })
  throw declarationError(field, 'it names neither one PostgreSQL nor one SQLite database', fix)
}

/** @throws JUNCTURA_DECLARATION when it is not a list of at least one contract. */
export const checkAccepts = (accepts: unknown, field: string): readonly AnyContract[] => {
  const list: readonly unknown[] = Array.isArray(accepts) ? accepts : []
  const contracts = list.filter(isContract)
  if (contracts.length > 0 && contracts.length === list.length) return Object.freeze(contracts)
  throw declarationError(field, 'it is not a list of contracts', 'write accepts: [OrderPlaced]')
}

/** Whether it is a contract, of this copy of the package or another. */
export const isContract = (value: unknown): value is AnyContract =>
  typeof value === 'object' && value !== null && Reflect.get(value, 'part') === 'contract'
