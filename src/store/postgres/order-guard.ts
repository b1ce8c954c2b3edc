import type { Pool } from 'pg'
import { type Clock, LIMITS, type Timer } from '../../kernel/index.ts'
import { createSession, textAt } from './session.ts'

/**
 * Looks, while somebody waits long for the lock that orders commits, whether its holder is stuck.
 *
 * A process that hangs between two statements loses its connection by itself. One that hangs, or
 * whose machine goes, while the server waits for the rest of its message does not: no timeout of
 * the server counts then, and every process would wait. So those who wait end its connection, once
 * two looks have found the same: its statement may have waited for long before it got the lock.
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
    let suspect = ''
    const arm = (): void => {
      timer = clock.setTimer(LIMITS.orderedIdleMs, () => {
        // Another role's connection may not be ended; then it is waited for as before.
        const looked = createSession(pool).rows(endStuckHolder(schema), suspect)
        void looked
          .then(
            ([holder]) => (suspect = holder === undefined ? '' : textAt(holder, 0)),
            () => undefined,
          )
          .then(() => isOver || arm())
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

/** Gives who is stuck and in what; ends it where that is what the look before has given. */
const endStuckHolder = (schema: string): string => `
  select statement, case when statement = $1 then pg_terminate_backend(pid) end
    from (select pid, pid || ' ' || query_start as statement
            from pg_locks join pg_stat_activity using (pid)
           where locktype = 'advisory' and granted and objsubid = 1
             and database = (select oid from pg_database where datname = current_database())
             and (classid::bigint << 32 | objid::bigint) = ${orderKeyOf(schema)}
             and state = 'active' and wait_event = 'ClientRead') as stuck`
