import {
  type AnyContract,
  type Consumer,
  type Database,
  type Draft,
  globalId,
  type PayloadOf,
  sql,
  type SqlMigration,
} from '../../contract/index.ts'
import { type Duration, durationMs, formatDuration } from '../../kernel/index.ts'
import { type Emits, emitDeclared, routeConsumer, type RouteOptions } from './route-consumer.ts'

export interface ClaimCheckOptions<C extends AnyContract, Payload> extends RouteOptions<C> {
  readonly emits: Emits
  /** What is kept apart. @default all of the data */
  readonly payload?: (data: PayloadOf<C>) => Payload
  /** What travels, with the claim that redeems the payload. */
  readonly emit: (data: PayloadOf<C>, claim: string) => Draft
  /** How long the payload is kept; longer than any consumer may take. */
  readonly retention: Duration
}

const CLAIMS_TABLE: SqlMigration = sql({
  name: 'route-claim-1',
  sqlite: `create table if not exists route_claim (
    claim text primary key not null, payload text not null, expires_at_ms integer not null
  );
  create index if not exists route_claim_expires on route_claim (expires_at_ms);`,
  postgres: `create table if not exists route_claim (
    claim text primary key, payload text not null, expires_at_ms bigint not null
  );
  create index if not exists route_claim_expires on route_claim (expires_at_ms);`,
})

/**
 * Keeps a large payload apart and sends a reference on, both in one commit. `redeemClaim` gives the
 * payload back, in the `ctx.tx` of whoever needs it, until its retention has passed.
 */
export const claimCheck = <C extends AnyContract, Payload = PayloadOf<C>>(
  name: string,
  options: ClaimCheckOptions<C, Payload>,
): Consumer => {
  const { emits, emit, payload = (data: PayloadOf<C>): unknown => data } = options
  const retentionMs = durationMs(options.retention, `consumer "${name}".retention`)
  return routeConsumer(name, options, {
    route: {
      pattern: 'claim-check',
      emits,
      facts: { retention: formatDuration(retentionMs) },
      tables: [CLAIMS_TABLE],
      expire: { kind: 'claims' },
    },
    handle: async (data, ctx) => {
      const { envelope } = ctx.message
      const claim = `${globalId(envelope)}.${name}`
      const text = JSON.stringify(payload(data))
      await ctx.tx(async (db) => {
        await db.run(
          `insert into route_claim (claim, payload, expires_at_ms) values ($1, $2, $3)
           on conflict (claim) do update set payload = excluded.payload,
             expires_at_ms = excluded.expires_at_ms`,
          claim,
          text,
          // Below zero it is a length: it counts from when it is first seen to be there, so that a
          // message that was taken in late, or is replayed, has all of it.
          -retentionMs,
        )
        emitDeclared(ctx, emits, [emit(data, claim)])
      })
    },
  })
}

/** The payload of a claim, or undefined when its retention has passed. Call it inside `ctx.tx`. */
export const redeemClaim = async <Payload = unknown>(
  db: Database,
  claim: string,
): Promise<Payload | undefined> => {
  const row = await db.get<{ readonly payload: string }>(
    'select payload from route_claim where claim = $1',
    claim,
  )
  // It was written by `claimCheck`, as whoever holds the claim knows.
  if (!row) return undefined
  const payload: Payload = JSON.parse(row.payload)
  return payload
}
