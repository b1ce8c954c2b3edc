import {
  type AnyContract,
  type Consumer,
  type Database,
  type Draft,
  type Envelope,
  type PayloadOf,
  sql,
  type SqlMigration,
} from '../../contract/index.ts'
import { type Duration, durationMs, formatDuration, LIMITS } from '../../kernel/index.ts'
import { type Emits, emitDeclared, routeConsumer, type RouteOptions } from './route-consumer.ts'

export interface ResequenceOptions<C extends AnyContract> extends Omit<
  RouteOptions<C>,
  'partitions' | 'timeout'
> {
  readonly emits: Emits
  /** Which sequence a message belongs to. @default its partition key */
  readonly by?: (data: PayloadOf<C>) => string | number
  /** Its number there: 1, 2, 3 and so on, without a gap. */
  readonly sequence: (data: PayloadOf<C>) => number
  /** @default 1 */
  readonly first?: number
  /**
   * How many messages of one sequence may wait for one that is missing; then it counts as a gap.
   *
   * @default 100
   * @minimum 1
   * @maximum 1000
   */
  readonly window?: number
  /** How long they wait for it. */
  readonly timeout: Duration
  /** After that the owner is told, and the sequence goes on without it, or goes on waiting. */
  readonly onGap: 'skip' | 'wait'
  /** What becomes of a message that is behind: one that was skipped, or comes twice. */
  readonly late: 'emit' | 'discard' | 'dead-letter'
  readonly emit: (data: PayloadOf<C>) => Draft
}

export interface GapRule {
  readonly onGap: 'skip' | 'wait'
  readonly timeoutMs: number
  emit(data: unknown): Draft
}

/** A message that waited, as it was stored with it. */
export interface WaitingMessage {
  readonly envelope: Envelope
  readonly data: unknown
}

/** A message is behind its sequence, and its route says that this is an error. */
export class BehindSequence extends Error {
  override readonly name = 'BehindSequence'
}

const SEQUENCES_TABLE: SqlMigration = sql({
  name: 'route-sequence-1',
  sqlite: `create table if not exists route_sequence (
    route text not null, name text not null, next integer not null, due_at_ms integer,
    primary key (route, name)
  ) without rowid;
  create index if not exists route_sequence_due on route_sequence (route, due_at_ms);
  create table if not exists route_waiting (
    route text not null, name text not null, number integer not null,
    envelope text not null, data text not null,
    primary key (route, name, number)
  ) without rowid;`,
  postgres: `create table if not exists route_sequence (
    route text not null, name text not null, next bigint not null, due_at_ms bigint,
    primary key (route, name)
  );
  create index if not exists route_sequence_due on route_sequence (route, due_at_ms);
  create table if not exists route_waiting (
    route text not null, name text not null, number bigint not null,
    envelope text not null, data text not null,
    primary key (route, name, number)
  );`,
})

/**
 * Puts messages into the order of their numbers. What is ahead waits in the store's own tables,
 * written with the progress of each message, so a crash neither loses nor repeats one. A gap that
 * stays is told, once what came before is taken in.
 */
export const resequence = <C extends AnyContract>(
  name: string,
  options: ResequenceOptions<C>,
): Consumer => {
  const { emits, by, sequence, first = 1, window = 100, onGap, late, emit } = options
  const timeoutMs = durationMs(options.timeout, `consumer "${name}".timeout of its gaps`)
  const { timeout: _, ...rest } = options
  const windowMax = Math.min(Math.max(1, window), LIMITS.groupItemsMax)
  // What waits was read for this route.
  const maker: Pick<GapRule, 'emit'> = { emit }
  return routeConsumer<C>(
    name,
    { ...rest, permanent: [...(options.permanent ?? []), BehindSequence] },
    {
      route: {
        pattern: 'resequence',
        emits,
        facts: { timeout: formatDuration(timeoutMs), window: windowMax, onGap, late },
        tables: [SEQUENCES_TABLE],
        expire: { kind: 'sequences', onGap, timeoutMs, emit: maker.emit },
      },
      handle: async (data, ctx) => {
        const { envelope } = ctx.message
        const number = sequence(data)
        if (!Number.isSafeInteger(number)) throw new BehindSequence(`${number} is no number`)
        const of = { route: name, sequence: by ? String(by(data)) : ctx.message.key }
        await ctx.tx(async (db) => {
          const known = await readSequence(db, of)
          const next = known?.next ?? first
          if (number < next) {
            if (late === 'emit') return emitDeclared(ctx, emits, [emit(data)])
            if (late === 'discard') return ctx.log('it is behind its sequence', { number, next })
            throw new BehindSequence(`number ${number} is behind ${next}`)
          }
          const { changes } = await db.run(
            `insert into route_waiting (route, name, number, envelope, data)
             values ($1, $2, $3, $4, $5) on conflict (route, name, number) do nothing`,
            of.route,
            of.sequence,
            number,
            JSON.stringify(envelope),
            JSON.stringify(data),
          )
          if (changes === 0 && (await isOther(db, { ...of, number }, envelope))) {
            if (late === 'emit') return emitDeclared(ctx, emits, [emit(data)])
            if (late === 'discard') return ctx.log('its number waits already', { number })
            throw new BehindSequence(`another message has number ${number}`)
          }
          const released = await release(db, { ...of, next }, (one) =>
            emitDeclared(ctx, emits, [maker.emit(one.data)]),
          )
          const isNew = known?.dueAtMs === undefined || released.next > next
          const waitMs = Date.parse(envelope.time) + timeoutMs
          const dueAtMs = isNew ? waitMs : known.dueAtMs
          const isFull = released.waiting >= windowMax || released.isCapped
          await writeSequence(db, of, {
            next: released.next,
            dueAtMs: released.waiting === 0 ? undefined : isFull ? 0 : dueAtMs,
          })
        })
      },
    },
  )
}

/** As the engines give a whole number of 64 bits. */
type Whole = number | bigint | string

interface SequenceName {
  readonly route: string
  readonly sequence: string
}

/** Whether another message waits under a number. */
const isOther = async (
  db: Database,
  { route, sequence, number }: SequenceName & { readonly number: number },
  { source, id }: Envelope,
): Promise<boolean> => {
  const row = await db.get<{ readonly envelope: string }>(
    'select envelope from route_waiting where route = $1 and name = $2 and number = $3',
    route,
    sequence,
    number,
  )
  // We wrote it.
  const known: Envelope | undefined = row && JSON.parse(row.envelope)
  return known !== undefined && (known.id !== id || known.source !== source)
}

export interface SequenceState {
  readonly next: number
  /** Set while something waits: then the gap before it counts. */
  readonly dueAtMs: number | undefined
}

export const readSequence = async (
  db: Database,
  { route, sequence }: SequenceName,
): Promise<SequenceState | undefined> => {
  const row = await db.get<{ readonly next: Whole; readonly due_at_ms: Whole | null }>(
    'select next, due_at_ms from route_sequence where route = $1 and name = $2',
    route,
    sequence,
  )
  if (!row) return undefined
  const dueAtMs = row.due_at_ms === null ? undefined : Number(row.due_at_ms)
  return { next: Number(row.next), dueAtMs }
}

export const writeSequence = async (
  db: Database,
  { route, sequence }: SequenceName,
  { next, dueAtMs }: SequenceState,
): Promise<void> => {
  await db.run(
    `insert into route_sequence (route, name, next, due_at_ms) values ($1, $2, $3, $4)
     on conflict (route, name) do update set next = excluded.next, due_at_ms = excluded.due_at_ms`,
    route,
    sequence,
    next,
    dueAtMs ?? null,
  )
}

export interface Released {
  readonly next: number
  /** Messages that still wait, behind a gap. */
  readonly waiting: number
  /** The lowest number that waits. */
  readonly lowest: number | undefined
  /** More could go on at once than one commit may emit. */
  readonly isCapped: boolean
}

/** Hands out what follows on without a gap. */
export const release = async (
  db: Database,
  { route, sequence, next }: SequenceName & { readonly next: number },
  hand: (one: WaitingMessage) => void,
): Promise<Released> => {
  const rows = await db.all<{
    readonly number: Whole
    readonly envelope: string
    readonly data: string
  }>(
    `select number, envelope, data from route_waiting
     where route = $1 and name = $2 and number >= $3 order by number limit $4`,
    route,
    sequence,
    next,
    LIMITS.emitsPerMessageMax,
  )
  let until = next
  for (const { number, envelope, data } of rows) {
    if (Number(number) !== until) break
    hand({ envelope: JSON.parse(envelope), data: JSON.parse(data) })
    until += 1
  }
  if (until > next) {
    await db.run(
      'delete from route_waiting where route = $1 and name = $2 and number < $3',
      route,
      sequence,
      until,
    )
  }
  const left = await db.get<{ readonly count: Whole; readonly lowest: Whole | null }>(
    'select count(*) as count, min(number) as lowest from route_waiting where route = $1 and name = $2',
    route,
    sequence,
  )
  const lowest = left?.lowest === null || left === undefined ? undefined : Number(left.lowest)
  return { next: until, waiting: Number(left?.count ?? 0), lowest, isCapped: lowest === until }
}
