import type { Consumer, Database, Draft, Envelope, ExpiredGroup } from '../../contract/index.ts'
import { isJuncturaError, type Kernel, messageOf, sleep } from '../../kernel/index.ts'
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

interface Work<T> {
  readonly value: T
  readonly appends?: readonly Append[]
  readonly rows?: readonly RowWrite[]
}

export const createRouteKeeper = (options: RouteKeeperOptions): RouteKeeper => {
  const { kernel, committer } = options
  const waiting = options.consumers.filter(({ route }) => route?.expire !== undefined)
  const stop = new AbortController()
  let loop: Promise<void> | undefined

  const inTransaction = async <T>(
    work: (db: Database) => Promise<Work<T>>,
    rows: readonly RowWrite[] = [],
  ): Promise<T | undefined> => {
    let value: T | undefined
    const outcome = await committer.submit({
      rows,
      isInternal: true,
      tx: async (db) => {
        const done = await work(db)
        value = done.value
        return { appends: done.appends ?? [], rows: done.rows ?? [] }
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

  /** What cannot be emitted is told and put off, so that it holds up nothing else. */
  const putOff = async (
    consumer: Consumer,
    stuck: { readonly table: 'route_group' | 'route_sequence'; readonly name: string },
    by: { readonly title: string; readonly nowMs: number },
  ): Promise<void> => {
    await inTransaction(
      async (db) => {
        await db.run(
          `update ${stuck.table} set due_at_ms = $1 where route = $2 and name = $3`,
          by.nowMs + AGAIN_MS,
          consumer.name,
          stuck.name,
        )
        return { value: undefined }
      },
      options.raiseAlert(consumer, { kind: 'route-stuck', title: by.title }),
    )
  }

  /** Known to be over only now; the next one that ends says it again if this is lost. */
  const wasEmitted = async (consumer: Consumer): Promise<void> => {
    const rows = options.resolveAlert(consumer)
    if (rows.length > 0) await committer.submit({ rows, isInternal: true })
  }

  const endGroup = async (consumer: Consumer, group: string, nowMs: number): Promise<void> => {
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
      await wasEmitted(consumer)
    } catch (error) {
      if (committer.mode !== 'open' || stop.signal.aborted) return
      const title = `${consumer.name} could not emit a group whose time was over: ${whyOf(consumer, error)}`
      await putOff(consumer, { table: 'route_group', name: group }, { title, nowMs })
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
    try {
      const emitted = await inTransaction(async (db) => {
        const ended = await endGap(db, { route: consumer.name, sequence }, { rule, nowMs })
        const appends = ended.emitted.map(({ draft, envelope }) =>
          options.prepare(draft, { envelope, consumer: consumer.name }),
        )
        // In the same commit: a crash loses no gap that was passed over.
        const rows = ended.gap ? tellGap(consumer, rule.onGap, ended.gap) : []
        return { value: appends.length, appends, rows }
      })
      if (emitted) await wasEmitted(consumer)
    } catch (error) {
      if (committer.mode !== 'open' || stop.signal.aborted) return
      const title = `${consumer.name} could not emit what waited in a sequence: ${whyOf(consumer, error)}`
      await putOff(consumer, { table: 'route_sequence', name: sequence }, { title, nowMs })
    }
  }

  const tellGap = (
    consumer: Consumer,
    onGap: 'skip' | 'wait',
    { from, to }: { readonly from: number; readonly to: number },
  ): readonly RowWrite[] => {
    const missing = from === to ? `number ${from} is` : `numbers ${from} to ${to} are`
    const how = onGap === 'skip' ? 'went on without' : 'still waits for'
    const title = `${consumer.name}: ${missing} missing in a sequence, which ${how} what is missing`
    return options.raiseAlert(consumer, { kind: 'route-gap', title })
  }

  const forgetClaims = (toMs: number): Promise<number | undefined> =>
    inTransaction(async (db) => {
      // Their retention counts from here, however old the message was that brought them.
      await db.run(
        'update route_claim set expires_at_ms = $1 - expires_at_ms where expires_at_ms < 0',
        toMs,
      )
      const { changes } = await db.run(
        `delete from route_claim where claim in (
           select claim from route_claim where expires_at_ms <= $1
           order by expires_at_ms limit ${CLAIMS_PER_LOOK})`,
        toMs,
      )
      return { value: changes }
    })

  /** Does all that is due, a page at a time; what fails is put off, so each page gets on. */
  const endDue = async (consumer: Consumer, toMs: number): Promise<void> => {
    const isSequence = consumer.route?.expire?.kind === 'sequences'
    for (;;) {
      const names = (await (isSequence ? dueSequences : dueGroups)(consumer, toMs)) ?? []
      for (const name of names) {
        if (stop.signal.aborted) return
        await (isSequence ? goOnBehindGap : endGroup)(consumer, name, toMs)
      }
      // A sequence may be due again at once: the next look is soon enough for it.
      if (isSequence || names.length < GROUPS_PER_LOOK || committer.mode !== 'open') return
    }
  }

  const look = async (): Promise<void> => {
    for (const consumer of waiting) {
      const toMs = options.takenInTo(consumer)
      if (toMs === undefined || stop.signal.aborted) continue
      if (consumer.route?.expire?.kind === 'claims') {
        let forgotten: number | undefined
        do forgotten = await forgetClaims(toMs)
        while (forgotten === CLAIMS_PER_LOOK && !stop.signal.aborted)
      } else await endDue(consumer, toMs)
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

/** What user code throws may hold what it was given, and an alert goes to other systems. */
const whyOf = ({ on }: Consumer, error: unknown): string =>
  on.pii.length === 0 || isJuncturaError(error)
    ? messageOf(error)
    : `its emit(…) threw ${error instanceof Error ? error.name : typeof error}`
