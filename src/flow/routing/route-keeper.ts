import type { Consumer, Database, Draft, Envelope, ExpiredGroup } from '../../contract/index.ts'
import { type Kernel, messageOf, sleep } from '../../kernel/index.ts'
import type { Append, Committer, RowWrite } from '../../store/index.ts'
import { deleteGroup, readItems } from './aggregate.ts'
import { endGap } from './end-gap.ts'

export interface RouteKeeperOptions {
  readonly consumers: readonly Consumer[]
  readonly kernel: Kernel
  readonly committer: Committer
  /**
   * Up to when everything of a consumer is taken in, on the clock of its messages; undefined while
   * it does not run here.
   */
  readonly takenInTo: (consumer: Consumer) => number | undefined
  /** Turns a draft into an append that follows from a message. */
  readonly prepare: (draft: Draft, by: { envelope: Envelope; consumer: string }) => Append
  readonly raiseAlert: (
    consumer: Consumer,
    alert: { readonly kind: 'route-stuck' | 'route-gap'; readonly title: string },
  ) => readonly RowWrite[]
  readonly resolveAlert: (consumer: Consumer) => readonly RowWrite[]
}

/** Does for routes what no message brings: ends groups whose time is over, forgets payloads. */
export interface RouteKeeper {
  start(): void
  close(): Promise<void>
}

const LOOK_MS = 1_000
/** What could not be emitted is tried again after this. */
const AGAIN_MS = 60_000
const GROUPS_PER_LOOK = 100
const CLAIMS_PER_LOOK = 500

export const createRouteKeeper = (options: RouteKeeperOptions): RouteKeeper => {
  const { kernel, committer } = options
  const waiting = options.consumers.filter(({ route }) => route?.expire !== undefined)
  const stop = new AbortController()
  let loop: Promise<void> | undefined

  const inTransaction = async <T>(
    work: (db: Database) => Promise<{ readonly value: T; readonly appends?: readonly Append[] }>,
    rows: readonly RowWrite[] = [],
  ): Promise<T | undefined> => {
    let value: T | undefined
    const outcome = await committer.submit({
      rows,
      isInternal: true,
      tx: async (db) => {
        const done = await work(db)
        value = done.value
        return { appends: done.appends ?? [] }
      },
    })
    if (outcome.status === 'failed') throw outcome.error
    return value
  }

  const dueGroups = (consumer: Consumer, toMs: number): Promise<readonly string[] | undefined> =>
    inTransaction(async (db) => {
      const rows = await db.all<{ readonly name: string }>(
        `select name from route_group where route = $1 and due_at_ms <= $2
         order by due_at_ms limit ${GROUPS_PER_LOOK}`,
        consumer.name,
        toMs,
      )
      return { value: rows.map(({ name }) => name) }
    })

  const endGroup = async (consumer: Consumer, group: string): Promise<void> => {
    const expire = consumer.route?.expire
    if (expire?.kind !== 'groups') return
    const name = { route: consumer.name, group }
    try {
      await inTransaction(async (db) => {
        const row = await db.get<{ readonly envelope: string }>(
          'select envelope from route_group where route = $1 and name = $2',
          consumer.name,
          group,
        )
        if (!row) return { value: undefined }
        const ended: ExpiredGroup = { group, items: await readItems<unknown>(db, name) }
        await deleteGroup(db, name)
        if (expire.partial === 'discard') return { value: undefined }
        // We wrote it, from the last message of the group.
        const envelope: Envelope = JSON.parse(row.envelope)
        const append = options.prepare(expire.emit(ended), { envelope, consumer: consumer.name })
        return { value: undefined, appends: [append] }
      })
      // Known to be over only now; the next one that ends says it again if this is lost.
      const rows = options.resolveAlert(consumer)
      if (rows.length > 0) await committer.submit({ rows, isInternal: true })
    } catch (error) {
      if (committer.mode !== 'open' || stop.signal.aborted) return
      const title = `${consumer.name} could not emit a group whose time was over: ${messageOf(error)}`
      await inTransaction(
        async (db) => {
          await db.run(
            'update route_group set due_at_ms = due_at_ms + $1 where route = $2 and name = $3',
            AGAIN_MS,
            consumer.name,
            group,
          )
          return { value: undefined }
        },
        options.raiseAlert(consumer, { kind: 'route-stuck', title }),
      )
    }
  }

  const dueSequences = (consumer: Consumer, toMs: number): Promise<readonly string[] | undefined> =>
    inTransaction(async (db) => {
      const rows = await db.all<{ readonly name: string }>(
        `select name from route_sequence where route = $1 and due_at_ms <= $2
         order by due_at_ms limit ${GROUPS_PER_LOOK}`,
        consumer.name,
        toMs,
      )
      return { value: rows.map(({ name }) => name) }
    })

  const goOnBehindGap = async (
    consumer: Consumer,
    sequence: string,
    nowMs: number,
  ): Promise<void> => {
    const rule = consumer.route?.expire
    if (rule?.kind !== 'sequences') return
    const ended = await inTransaction(async (db) => {
      const value = await endGap(db, { route: consumer.name, sequence }, { rule, nowMs })
      const appends = value.emitted.map(({ draft, envelope }) =>
        options.prepare(draft, { envelope, consumer: consumer.name }),
      )
      return { value, appends }
    })
    if (!ended?.gap) return
    const { from, to } = ended.gap
    const missing = from === to ? `number ${from} is` : `numbers ${from} to ${to} are`
    const how = rule.onGap === 'skip' ? 'went on without' : 'still waits for'
    const title = `${consumer.name}: ${missing} missing in a sequence, which ${how} what is missing`
    const rows = options.raiseAlert(consumer, { kind: 'route-gap', title })
    await committer.submit({ rows, isInternal: true })
  }

  const forgetClaims = (toMs: number): Promise<number | undefined> =>
    inTransaction(async (db) => {
      const { changes } = await db.run(
        `delete from route_claim where claim in (
           select claim from route_claim where expires_at_ms <= $1
           order by expires_at_ms limit ${CLAIMS_PER_LOOK})`,
        toMs,
      )
      return { value: changes }
    })

  const look = async (): Promise<void> => {
    for (const consumer of waiting) {
      const toMs = options.takenInTo(consumer)
      if (toMs === undefined || stop.signal.aborted) continue
      if (consumer.route?.expire?.kind === 'claims') {
        await forgetClaims(toMs)
        continue
      }
      if (consumer.route?.expire?.kind === 'sequences') {
        for (const name of (await dueSequences(consumer, toMs)) ?? []) {
          await goOnBehindGap(consumer, name, toMs)
        }
        continue
      }
      for (const group of (await dueGroups(consumer, toMs)) ?? []) await endGroup(consumer, group)
    }
  }

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(kernel.clock, LOOK_MS, stop.signal)
      if (stop.signal.aborted) return
      await look().catch((error: unknown) => {
        if (committer.mode !== 'open') return
        kernel.log.warn(
          { problem: messageOf(error) },
          'what routes wait for could not be looked at',
        )
      })
    }
  }

  return {
    start() {
      if (waiting.length > 0) loop ??= run()
    },
    async close() {
      stop.abort()
      await loop
    },
  }
}
