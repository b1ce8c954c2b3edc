import { createHash } from 'node:crypto'
import { assert, LIMITS } from '../../kernel/index.ts'
import { claimBucketEndsAtMs, claimBucketOf } from '../dedupe-index.ts'
import type { ClaimedKey } from '../store.ts'
import { integerAt, type Session } from './session.ts'
import { claimId, type PlacedClaim } from './unit-group.ts'

/**
 * Idempotency keys: one table per span of expiry times, unique by fingerprint, dropped as a whole
 * when everything in it has expired. Which tables there are, the caller says.
 */
export interface ClaimTables {
  /** Positions of those of the keys that are held, by `claimId`. */
  taken(
    session: Session,
    claims: readonly Pick<ClaimedKey, 'scope' | 'key'>[],
    at: Buckets,
  ): Promise<ReadonlyMap<string, number>>
  /** Writes in the open transaction; the tables that it had to make. */
  write(session: Session, claims: readonly PlacedClaim[], at: Buckets): Promise<readonly number[]>
  drop(session: Session, buckets: readonly number[]): Promise<void>
}

export interface Buckets {
  readonly buckets: ReadonlySet<number>
  readonly nowMs: number
}

/** Tables that may go, a few at a time. */
export const expiredBuckets = ({ buckets, nowMs }: Buckets): readonly number[] =>
  [...buckets]
    .filter((bucket) => claimBucketEndsAtMs(bucket) <= nowMs)
    .slice(0, LIMITS.claimTablesDroppedMax)

export const createClaimTables = (schema: string): ClaimTables => {
  const tableOf = (bucket: number): string => `${schema}.claim_${bucket}`

  const create = async (session: Session, bucket: number): Promise<void> => {
    // The primary key is what finds a fingerprint, and what no second writer could get past.
    await session.exec(`
      create table ${tableOf(bucket)} (
        fingerprint bytea primary key,
        position bigint not null,
        expires_at_ms bigint not null
      )`)
    await session.run(`insert into ${schema}.claim_bucket (bucket) values ($1)`, bucket)
  }

  return {
    async taken(session, claims, { buckets, nowMs }) {
      const found = new Map<string, number>()
      const live = [...buckets].filter((bucket) => claimBucketEndsAtMs(bucket) > nowMs)
      if (claims.length === 0 || live.length === 0) return found
      const ids = [...new Set(claims.map(claimId))]
      // By number and not by fingerprint: numbers are shorter on the way back.
      const rows = await session.rows(
        `select wanted.number, max(held.position)
           from unnest($1::bytea[]) with ordinality as wanted (fingerprint, number)
           join (${live.map((bucket) => `select * from ${tableOf(bucket)}`).join(' union all ')})
             as held on held.fingerprint = wanted.fingerprint and held.expires_at_ms > $2
          group by wanted.number`,
        ids.map(fingerprintOf),
        nowMs,
      )
      for (const row of rows) {
        const id = ids[integerAt(row, 0) - 1]
        if (id !== undefined) found.set(id, integerAt(row, 1))
      }
      return found
    },

    async write(session, claims, { buckets, nowMs }) {
      const opened: number[] = []
      for (const [bucket, group] of byBucket(claims, nowMs)) {
        if (!buckets.has(bucket)) {
          await create(session, bucket)
          opened.push(bucket)
        }
        // An expired row of the same key gives way; one that lives would be a second claim, which
        // the search before has ruled out.
        const written = await session.run(
          `insert into ${tableOf(bucket)} as held (fingerprint, position, expires_at_ms)
           select * from unnest($1::bytea[], $2::bigint[], $3::bigint[])
           on conflict (fingerprint) do update
             set position = excluded.position, expires_at_ms = excluded.expires_at_ms
             where held.expires_at_ms <= $4`,
          group.map((claim) => fingerprintOf(claimId(claim))),
          group.map((claim) => claim.position),
          group.map((claim) => claim.expiresAtMs),
          nowMs,
        )
        assert(written === group.length, 'a key that is held is not claimed again')
      }
      return opened
    },

    async drop(session, ended) {
      for (const bucket of ended) {
        await session.exec(`drop table if exists ${tableOf(bucket)}`)
        await session.run(`delete from ${schema}.claim_bucket where bucket = $1`, bucket)
      }
    },
  }
}

/** By UTF-16, in which every string is unlike every other; UTF-8 has no form for half a pair. */
const fingerprintOf = (id: string): Uint8Array =>
  createHash('sha256').update(id, 'utf16le').digest()

function byBucket(
  claims: readonly PlacedClaim[],
  nowMs: number,
): ReadonlyMap<number, PlacedClaim[]> {
  const groups = new Map<number, PlacedClaim[]>()
  for (const claim of claims) {
    const bucket = claimBucketOf(claim.expiresAtMs, nowMs)
    const group = groups.get(bucket)
    if (group === undefined) groups.set(bucket, [claim])
    else group.push(claim)
  }
  return groups
}
