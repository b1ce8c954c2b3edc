import type { Pool } from 'pg'
import { type Clock, LIMITS, type Timer } from '../../kernel/index.ts'
import { createSession } from './session.ts'

/**
 * Looks, while somebody waits long for the lock that orders commits, whether its holder is stuck.
 *
 * A process that hangs between two statements loses its connection by itself. One that hangs, or
 * whose machine goes, while the server waits for the rest of its message does not: no timeout of
 * the server counts then, and every process would wait. So those who wait end its connection.
 */
export interface OrderGuard {
  /** Gives what `waiting` gives; looks every LIMITS.orderedIdleMs until then. */
  during<T>(waiting: Promise<T>): Promise<T>
}

export interface OrderGuardOptions {
  readonly schema: string
  readonly clock: Clock
  readonly pool: Pool
}

export const createOrderGuard = ({ schema, clock, pool }: OrderGuardOptions): OrderGuard => ({
  async during(waiting) {
    let timer: Timer | undefined
    let isOver = false
    const arm = (): void => {
      timer = clock.setTimer(LIMITS.orderedIdleMs, () => {
        // Another role's connection may not be ended; then it is waited for as before.
        const looked = createSession(pool).rows(endStuckHolder(schema))
        void looked.catch(() => undefined).then(() => isOver || arm())
      })
    }
    arm()
    try {
      return await waiting
    } finally {
      isOver = true
      timer?.cancel()
    }
  },
})

/** The key of the lock that orders commits. */
export const orderKeyOf = (schema: string): string =>
  `hashtextextended('junctura ${schema} order', 0)`

/** Sent by the holder, and not to its end; so long, that it is no slow network. */
const endStuckHolder = (schema: string): string => `
  select pg_terminate_backend(pid)
    from pg_locks join pg_stat_activity using (pid)
   where locktype = 'advisory' and granted and objsubid = 1
     and database = (select oid from pg_database where datname = current_database())
     and (classid::bigint << 32 | objid::bigint) = ${orderKeyOf(schema)}
     and state = 'active' and wait_event = 'ClientRead'
     and query_start < clock_timestamp() - interval '${LIMITS.orderedIdleMs} milliseconds'`
