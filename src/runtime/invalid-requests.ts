import type {
  Inbox,
  ReadmissionForecast,
  ReadmissionPlan,
  ShelfReadmission,
  StillInvalidFor,
} from '../inbox/index.ts'
import type { Integration } from '../contract/index.ts'
import { type Clock, JuncturaError, type Kernel, sleep } from '../kernel/index.ts'
import { createMasker } from '../security/index.ts'
import { outboxShelf } from '../outbox/index.ts'
import { topicShelf } from '../source/index.ts'
import type { Committer, InvalidRow, Store } from '../store/index.ts'
import type { OperationCommand } from './commands.ts'
import { eachRow, pageOf } from './paging.ts'
import type { InvalidGroup, InvalidQuery, InvalidView, Page } from './views.ts'

export interface InvalidRequestsOptions {
  readonly store: Store
  readonly committer: Committer
  readonly kernel: Kernel
  readonly inbox: Pick<Inbox, 'readmit' | 'planReadmission'>
  /** For what was kept of topics and outboxes. */
  readonly shelves: readonly ShelfReadmission[]
  readonly integration: Integration
}

/** What the border kept, and putting it through the border again. */
export interface InvalidRequests {
  list(query: InvalidQuery): Promise<Page<InvalidView>>
  groups(): Promise<readonly InvalidGroup[]>
  one(id: string): Promise<InvalidView | undefined>
  readmit(
    command: Extract<OperationCommand, { kind: 'invalid.readmit' }>,
  ): Promise<ReadmitReport | ReadmitForecast>
  drop(
    command: Extract<OperationCommand, { kind: 'invalid.drop' }>,
  ): Promise<{ readonly dropped: number }>
}

export interface ReadmitReport {
  readonly planned: number
  readonly admitted: number
  readonly stillInvalid: number
  readonly duplicates: number
  readonly planOnly: false
}

/** What re-admitting would come to today, by today's contract and dedupe record. */
export interface ReadmitForecast {
  /** Open requests that were looked at. */
  readonly planned: number
  readonly wouldAdmit: number
  readonly wouldBeDuplicates: number
  readonly wouldStayInvalid: number
  /** Why, most frequent first; at most 20 of them. */
  readonly stayInvalidBecause: readonly {
    readonly reason: StillInvalidFor
    readonly detail: string
    readonly count: number
    /** Id of one of them. */
    readonly sample: string
  }[]
  readonly planOnly: true
}

const GROUPED_MAX = 20_000
const RATE_DEFAULT = 100

export const createInvalidRequests = (options: InvalidRequestsOptions): InvalidRequests => {
  const { store, committer, kernel, inbox, integration, shelves } = options
  const maskers = new Map(
    integration.webhooks.map((hook) => [hook.name, createMasker(hook.accepts.pii)] as const),
  )
  for (const { name, types } of integration.topics) {
    for (const [type, { pii }] of types) {
      maskers.set(`${topicShelf(name)}\n${type}`, createMasker(pii))
    }
  }

  for (const { name, accepts } of integration.outboxes) {
    for (const contract of accepts) {
      maskers.set(`${outboxShelf(name)}\n${contract.name}`, createMasker(contract.pii))
    }
  }
  const shelfOf = (row: Pick<InvalidRow, 'webhook'>): ShelfReadmission | undefined =>
    shelves.find((shelf) => shelf.owns(row))

  const view = (row: InvalidRow): InvalidView => {
    const { body, ...rest } = row
    try {
      const value: unknown = JSON.parse(Buffer.from(body, 'base64').toString('utf8'))
      // A structured CloudEvent holds the data one level deeper than the paths say.
      const isPlain = !row.mediaType.startsWith('application/cloudevents')
      const masker = isPlain
        ? (maskers.get(row.webhook) ?? maskers.get(`${row.webhook}\n${row.contract}`))
        : undefined
      return { ...rest, payload: masker?.value(value) ?? null }
    } catch {
      // Not JSON: nothing in it can be told to be harmless, so it is not shown.
      return { ...rest, payload: null }
    }
  }

  const selected = async function* (which: {
    readonly ids?: readonly string[]
    readonly cause?: string
    readonly webhook?: string
  }): AsyncGenerator<InvalidRow> {
    for (const id of which.ids ?? []) {
      const row = await store.row('invalid', id)
      if (!row)
        throw new JuncturaError('JUNCTURA_NOT_FOUND', { details: { what: 'invalid request', id } })
      yield row
    }
    const scan =
      which.cause !== undefined
        ? { index: 'byCause', where: [which.cause, 'open'] }
        : which.webhook !== undefined
          ? { index: 'byWebhook', where: [which.webhook, 'open'] }
          : undefined
    if (!scan) return
    for await (const { row } of eachRow(store, { collection: 'invalid', ...scan })) yield row
  }

  const admit = async (shelf: ShelfReadmission, id: string): Promise<{ readonly kind: string }> => {
    const row = await store.row('invalid', id)
    return row?.state === 'open' ? shelf.admit(row) : { kind: 'duplicate' }
  }

  return {
    list: (query) => {
      const state = query.state ?? 'open'
      const scan =
        query.cause !== undefined
          ? { index: 'byCause', where: [query.cause, state] }
          : query.webhook !== undefined
            ? { index: 'byWebhook', where: [query.webhook, state] }
            : { index: 'byState', where: [state] }
      return pageOf(
        store,
        { collection: 'invalid', ...scan, reverse: true },
        {
          query,
          view: ({ row }) => view(row),
        },
      )
    },
    groups: () => groupInvalid(store),
    async one(id) {
      const row = await store.row('invalid', id)
      return row && view(row)
    },
    async readmit(command) {
      if (command.planOnly === true) {
        const plan = inbox.planReadmission()
        const planned: ReadmissionPlan = {
          next: async (row) => planShelved(shelfOf(row), row) ?? plan.next(row),
        }
        return forecast(selected(command), planned, kernel.clock)
      }
      const rows: Pick<InvalidRow, 'id' | 'webhook'>[] = []
      for await (const { id, webhook, state } of selected(command)) {
        if (state === 'open') rows.push({ id, webhook })
      }
      const report = { planned: rows.length, admitted: 0, stillInvalid: 0, duplicates: 0 }
      const delayMs = 1_000 / Math.max(0.1, command.ratePerSecond ?? RATE_DEFAULT)
      for (const { id, webhook } of rows) {
        const shelf = shelfOf({ webhook })
        const result = shelf ? await admit(shelf, id) : await inbox.readmit(id)
        if (result.kind === 'accepted') report.admitted += 1
        else if (result.kind === 'duplicate') report.duplicates += 1
        else report.stillInvalid += 1
        if (rows.length > 1 && delayMs >= 1) await sleep(kernel.clock, delayMs)
      }
      return { ...report, planOnly: false }
    },
    async drop(command) {
      let dropped = 0
      for await (const row of selected(command)) {
        const { id } = row
        const gone = { ...row, state: 'dropped', resolvedAtMs: kernel.clock.now() } as const
        await committer.submit({ rows: [{ collection: 'invalid', key: id, row: gone }] })
        dropped += 1
      }
      return { dropped }
    },
  }
}

function planShelved(
  shelf: ShelfReadmission | undefined,
  row: InvalidRow,
): ReadmissionForecast | undefined {
  const result = shelf?.plan(row)
  if (!result) return undefined
  if (result.kind === 'still-invalid') return result
  return { kind: result.kind === 'accepted' ? 'accept' : 'duplicate' }
}

const REASONS_SHOWN = 20
/** Checking one body may take a millisecond; who sends messages meanwhile must not wait for all. */
const CHECKED_AT_ONCE = 20

async function forecast(
  rows: AsyncIterable<InvalidRow>,
  plan: ReadmissionPlan,
  clock: Clock,
): Promise<ReadmitForecast> {
  const counts = { planned: 0, wouldAdmit: 0, wouldBeDuplicates: 0, wouldStayInvalid: 0 }
  const because = new Map<string, { -readonly [K in keyof Because]: Because[K] }>()
  for await (const row of rows) {
    if (row.state !== 'open') continue
    counts.planned += 1
    if (counts.planned % CHECKED_AT_ONCE === 0) await clock.yield()
    const outcome = await plan.next(row)
    if (outcome.kind === 'accept') counts.wouldAdmit += 1
    else if (outcome.kind === 'duplicate') counts.wouldBeDuplicates += 1
    else {
      counts.wouldStayInvalid += 1
      const { reason, detail } = outcome
      const known = because.get(`${reason}\n${detail}`)
      if (known) known.count += 1
      else because.set(`${reason}\n${detail}`, { reason, detail, count: 1, sample: row.id })
    }
  }
  const stayInvalidBecause = [...because.values()]
    .toSorted((a, b) => b.count - a.count)
    .slice(0, REASONS_SHOWN)
  return { ...counts, stayInvalidBecause, planOnly: true }
}

type Because = ReadmitForecast['stayInvalidBecause'][number]

async function groupInvalid(store: Store): Promise<readonly InvalidGroup[]> {
  const groups = new Map<
    string,
    { first: InvalidRow; count: number; firstAtMs: number; lastAtMs: number }
  >()
  let read = 0
  const scan = { collection: 'invalid', index: 'byState', where: ['open'] } as const
  for await (const { row } of eachRow(store, scan, GROUPED_MAX)) {
    read += 1
    const { receivedAtMs } = row
    const group = groups.get(row.cause)
    if (group) {
      group.count += 1
      group.lastAtMs = Math.max(group.lastAtMs, receivedAtMs)
    } else {
      groups.set(row.cause, {
        first: row,
        count: 1,
        firstAtMs: receivedAtMs,
        lastAtMs: receivedAtMs,
      })
    }
  }
  return [...groups.values()]
    .sort((a, b) => b.count - a.count)
    .map(({ first, count, firstAtMs, lastAtMs }) => ({
      cause: first.cause,
      title: first.causeTitle,
      webhook: first.webhook,
      reason: first.reason,
      version: first.version,
      count,
      firstAtMs,
      lastAtMs,
      sample: first.id,
      more: read >= GROUPED_MAX,
    }))
}
