import {
  type AnyContract,
  type Consumer,
  type Database,
  type Draft,
  type PayloadOf,
  sql,
  type SqlMigration,
} from '../../contract/index.ts'
import { type Duration, durationMs, formatDuration, LIMITS } from '../../kernel/index.ts'
import { type Emits, emitDeclared, routeConsumer, type RouteOptions } from './route-consumer.ts'

/** A group as its message is made of it. */
export interface Group<Item> {
  readonly group: string
  /** In the order in which they were taken in. */
  readonly items: readonly Item[]
  /** False where its time was over, or it had as many items as a group may have. */
  readonly isComplete: boolean
}

export interface AggregateOptions<C extends AnyContract> extends Omit<
  RouteOptions<C>,
  'partitions'
> {
  readonly emits: Emits
  /** Which group a message belongs to. */
  readonly by: (data: PayloadOf<C>) => string | number
  /** Whether the group is complete; asked with each message. */
  readonly until: (items: readonly PayloadOf<C>[]) => boolean
  /** How long a group may take, from its first message. */
  readonly timeout: Duration
  /** What becomes of a group whose time is over: it is emitted as it is, or discarded. */
  readonly partial: 'emit' | 'discard'
  readonly emit: (group: Group<PayloadOf<C>>) => Draft
}

const GROUPS_TABLE: SqlMigration = sql({
  name: 'route-group-1',
  sqlite: `create table if not exists route_group (
    route text not null, name text not null, due_at_ms integer not null, envelope text not null,
    primary key (route, name)
  ) without rowid;
  create index if not exists route_group_due on route_group (route, due_at_ms);
  create table if not exists route_item (
    route text not null, name text not null, position integer not null, data text not null,
    primary key (route, name, position)
  ) without rowid;`,
  postgres: `create table if not exists route_group (
    route text not null, name text not null, due_at_ms bigint not null, envelope text not null,
    primary key (route, name)
  );
  create index if not exists route_group_due on route_group (route, due_at_ms);
  create table if not exists route_item (
    route text not null, name text not null, position bigint not null, data text not null,
    primary key (route, name, position)
  );`,
})

/**
 * Makes one message of several. What is collected is in the store's own tables, written with the
 * progress of each message, so a crash neither loses nor repeats one. A group ends when `until`
 * says so, when its time is over, or with LIMITS.groupItemsMax messages; what comes for it later
 * begins another group. Its time is over only when everything that came before is taken in.
 */
export const aggregate = <C extends AnyContract>(
  name: string,
  options: AggregateOptions<C>,
): Consumer => {
  const { emits, by, until, emit, partial } = options
  const timeoutMs = durationMs(options.timeout, `consumer "${name}".timeout of its groups`)
  const { timeout: _, ...rest } = options
  type Item = PayloadOf<C>
  return routeConsumer<C>(name, rest, {
    route: {
      pattern: 'aggregate',
      emits,
      facts: { timeout: formatDuration(timeoutMs), partial },
      tables: [GROUPS_TABLE],
      expire: {
        kind: 'groups',
        partial,
        emit({ group, items }: Pick<Group<Item>, 'group' | 'items'>) {
          return emit({ group, items, isComplete: false })
        },
      },
    },
    handle: async (data, ctx) => {
      const { envelope, position } = ctx.message
      const group = String(by(data))
      await ctx.tx(async (db) => {
        await db.run(
          `insert into route_group (route, name, due_at_ms, envelope) values ($1, $2, $3, $4)
           on conflict (route, name) do update set envelope = excluded.envelope`,
          name,
          group,
          Date.parse(envelope.time) + timeoutMs,
          JSON.stringify(envelope),
        )
        await db.run(
          `insert into route_item (route, name, position, data) values ($1, $2, $3, $4)
           on conflict (route, name, position) do nothing`,
          name,
          group,
          position,
          JSON.stringify(data),
        )
        const items = await readItems<Item>(db, { route: name, group })
        const isComplete = until(items)
        if (!isComplete && items.length < LIMITS.groupItemsMax) return
        await deleteGroup(db, { route: name, group })
        if (isComplete || partial === 'emit')
          emitDeclared(ctx, emits, [emit({ group, items, isComplete })])
      })
    },
  })
}

export interface GroupName {
  readonly route: string
  readonly group: string
}

/** As they were stored, by the route that reads them. */
export const readItems = async <Item>(
  db: Database,
  { route, group }: GroupName,
): Promise<readonly Item[]> => {
  const rows = await db.all<{ readonly data: string }>(
    'select data from route_item where route = $1 and name = $2 order by position',
    route,
    group,
  )
  return rows.map(({ data }): Item => JSON.parse(data))
}

export const deleteGroup = async (db: Database, { route, group }: GroupName): Promise<void> => {
  await db.run('delete from route_item where route = $1 and name = $2', route, group)
  await db.run('delete from route_group where route = $1 and name = $2', route, group)
}
