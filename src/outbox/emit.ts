import {
  type AnyContract,
  type ConsumedMessage,
  DEFAULT_TENANT,
  type Draft,
  type LatestOf,
  OUTBOX_SCHEMA,
  type PayloadsOf,
} from '../contract/index.ts'
import {
  createContractBook,
  eventAppend,
  isVolatile,
  type MessageOrigin,
  prepareEvent,
  type PreparedEvent,
  traceOf,
} from '../inbox/index.ts'
import { createSystemKernel, JuncturaError, type Kernel, LIMITS } from '../kernel/index.ts'
import { parseTraceparent, type SpanContext } from '../observe/index.ts'
import { recogniseHandle, type SqlValue, type TransactionHandle } from './handle.ts'
import { outboxTable } from './outbox-sql.ts'

export interface OutboxOptions {
  /** Schema of the table; PostgreSQL only. @default 'public' */
  readonly schema?: string
  /** Clock and ids. @default the machine's own */
  readonly kernel?: Pick<Kernel, 'clock' | 'ids'>
}

export interface OutboxEmitOptions {
  /** The message that is being handled: what is emitted shares its correlation and its trace. */
  readonly cause?: Pick<ConsumedMessage, 'envelope'>
  /** @default that of `cause`, else the id of the message itself */
  readonly correlationId?: string
  /** @default the id of `cause` */
  readonly causationId?: string
  /** As of W3C Trace Context; one that is malformed is left out. @default that of `cause` */
  readonly traceparent?: string
  readonly tracestate?: string
}

/** What the newest version of a contract takes. */
export type NewestPayload<C extends AnyContract> = PayloadsOf<C>[LatestOf<PayloadsOf<C>> &
  keyof PayloadsOf<C>]

/** The user's own transaction, as a place to emit messages. */
export interface Outbox {
  /**
   * Emits one message when the transaction commits, and nothing ever when it is rolled back. The id
   * is final. Messages of one transaction and key keep the order of the calls.
   *
   * @throws JUNCTURA_EMIT_INVALID when it does not fit its contract; it names the field. Nothing
   *   was sent to the database then, and the transaction may go on.
   * @throws JUNCTURA_RECORD_TOO_LARGE when it exceeds LIMITS.recordBytesMax.
   */
  emit<C extends AnyContract>(
    contract: C,
    data: NewestPayload<C>,
    options?: OutboxEmitOptions,
  ): Promise<{ readonly id: string }>
  /**
   * Emits several, in order, with one statement for each hundred.
   *
   * @throws as `emit`, and JUNCTURA_USAGE for more than LIMITS.publishManyMax at once.
   */
  emitMany(
    drafts: readonly Draft[],
    options?: OutboxEmitOptions,
  ): Promise<readonly { readonly id: string }[]>
}

/**
 * Publishes in the transaction of the business data, with the user's own client: `pg`, postgres.js,
 * Kysely, Drizzle, Prisma or `node:sqlite`. Needs no running integration; the table is made by the
 * statements of `junctura outbox sql`, and a relay moves its rows into the log.
 *
 * @throws JUNCTURA_OUTBOX_HANDLE when `tx` is no open transaction of a known client.
 * @example await outbox(tx).emit(OrderPlaced, { orderId: '1' })
 */
export const outbox = (tx: TransactionHandle, options: OutboxOptions = {}): Outbox => {
  const handle = recogniseHandle(tx)
  const { dialect } = handle
  const kernel = options.kernel ?? systemKernel()
  const table = outboxTable(dialect, options.schema ?? OUTBOX_SCHEMA)
  return {
    async emit(contract, data, emitOptions = {}) {
      const row = prepareRow({ contract, data }, kernel, emitOptions)
      await handle.run(insertSql(table, dialect, 1), row.values)
      return { id: row.id }
    },
    async emitMany(drafts, emitOptions = {}) {
      if (drafts.length > LIMITS.publishManyMax) {
        const problem = `${drafts.length} messages at once; at most ${LIMITS.publishManyMax}`
        throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
      }
      const rows = drafts.map((draft) => prepareRow(draft, kernel, emitOptions))
      for (let at = 0; at < rows.length; at += ROWS_PER_STATEMENT) {
        const some = rows.slice(at, at + ROWS_PER_STATEMENT)
        const sql = insertSql(table, dialect, some.length)
        await handle.run(
          sql,
          some.flatMap(({ values }) => values),
        )
      }
      return rows.map(({ id }) => ({ id }))
    },
  }
}

const ROWS_PER_STATEMENT = 100

const COLUMNS = [
  ['id', 'text'],
  ['type', 'text'],
  ['version', 'integer'],
  ['key', 'text'],
  ['fact', 'text'],
  ['record', 'bytea'],
] as const

const STATEMENTS = new Map<string, string>()

/** Statements are few: one row, a hundred, and what is left over of a hundred. */
function insertSql(table: string, dialect: 'postgres' | 'sqlite', rows: number): string {
  const name = `${table} ${rows}`
  const known = STATEMENTS.get(name)
  if (known !== undefined) return known
  const tuples = Array.from({ length: rows }, (_, row) => {
    const values = COLUMNS.map(([, type], column) => {
      const place = row * COLUMNS.length + column + 1
      return dialect === 'sqlite' ? `?${place}` : `$${place}::${type}`
    })
    return `(${values.join(', ')})`
  })
  const names = COLUMNS.map(([column]) => column).join(', ')
  const sql = `insert into ${table} (${names}) values ${tuples.join(', ')}`
  STATEMENTS.set(name, sql)
  return sql
}

let shared: Kernel | undefined
const systemKernel = (): Kernel => (shared ??= createSystemKernel())

/** Compiled once in a process, however many transactions it opens. */
const book = createContractBook([])

function prepareRow(
  draft: Draft,
  kernel: Pick<Kernel, 'clock' | 'ids'>,
  options: OutboxEmitOptions,
): { readonly id: string; readonly values: readonly SqlValue[] } {
  const event = prepareEvent(draft, book)
  const { contract, key = null, factKey = null } = event
  refuseVolatile(event)
  const id = kernel.ids.next('msg')
  const { bytes } = eventAppend(originOf(id, kernel.clock.now(), options), event, { index: 0 })
  return { id, values: [id, contract.name, contract.latest, key, factKey, bytes] }
}

function refuseVolatile(event: PreparedEvent): void {
  if (!isVolatile(event)) return
  const problem = 'it is at-most-once, so it is in no log; an outbox would keep it for ever'
  throw new JuncturaError('JUNCTURA_EMIT_INVALID', {
    details: { type: event.contract.name, problem },
  })
}

function originOf(id: string, nowMs: number, options: OutboxEmitOptions): MessageOrigin {
  const cause = options.cause?.envelope
  return {
    id,
    tenant: cause?.tenant ?? DEFAULT_TENANT,
    source: '/outbox',
    receivedAtMs: nowMs,
    appendedAtMs: nowMs,
    correlationId: options.correlationId ?? cause?.correlationid,
    causationId: options.causationId ?? cause?.id,
    idempotencyKey: undefined,
    trace: traceFrom(options),
  }
}

function traceFrom({ traceparent, tracestate, cause }: OutboxEmitOptions): SpanContext | undefined {
  if (traceparent === undefined) return cause && traceOf(cause.envelope)
  const context = parseTraceparent(traceparent)
  return context && { ...context, traceState: tracestate ?? '' }
}
