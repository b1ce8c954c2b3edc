import { ALL_SLOTS, readSlots } from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'
import { formatDuration, LIMITS } from '../kernel/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { ReplayPlan } from './commands.ts'
import { isFor } from './consumer-places.ts'
import { eachRow } from './paging.ts'
import { progressRowsOf } from './prepare-progress.ts'
import { type ReadPlace, readBehind } from './read-behind.ts'
import {
  consumersOf,
  type FrozenFilter,
  matchesLetter,
  matchesMessage,
  openLetterOf,
} from './replay-filter.ts'
import type { ReplaysOptions } from './replays.ts'

/** Rows and records that a plan reads; beyond it the plan says that it is not complete. */
const PLAN_READ_MAX = 1_000_000

const AGES_MS: readonly number[] = [0, 3_600_000, 86_400_000, 7 * 86_400_000, 30 * 86_400_000]

export type PlanOptions = Pick<ReplaysOptions, 'store' | 'kernel' | 'integration' | 'records'>

/** Counts what a replay would touch, without touching it. */
export const planReplay = async (
  options: PlanOptions,
  filter: FrozenFilter,
): Promise<ReplayPlan> => {
  const tally = new Tally(options)
  if (filter.from === 'messages') await countMessages(options, filter, tally)
  else await countLetters(options, filter, tally)
  return tally.plan(consumersOf(options.integration.consumers, filter))
}

async function countLetters(
  options: PlanOptions,
  filter: FrozenFilter,
  tally: Tally,
): Promise<void> {
  const scan = { collection: 'deadLetters', index: 'byState', where: ['open'] } as const
  for await (const { row } of eachRow(options.store, scan, PLAN_READ_MAX)) {
    tally.read += 1
    if (!matchesLetter(filter, row)) continue
    tally.count(row.receivedAtMs, row.key, { cause: row.cause, title: row.causeTitle })
  }
}

async function countMessages(
  options: PlanOptions,
  filter: FrozenFilter,
  tally: Tally,
): Promise<void> {
  for (const consumer of consumersOf(options.integration.consumers, filter)) {
    for (const span of await spansOf(options, filter, consumer)) {
      await countSpan(options, { filter, span, tally })
    }
  }
}

interface Span {
  readonly place: ReadPlace
  readonly fromPosition: number
  readonly toPosition: number
}

/** One log for all of a consumer, or one for each partition where the record is the broker. */
async function spansOf(
  { store }: PlanOptions,
  filter: FrozenFilter,
  consumer: Consumer,
): Promise<readonly Span[]> {
  const { name, on } = consumer
  if (on.record !== 'transport') return [{ place: { consumer, slots: ALL_SLOTS }, ...filter }]
  const rows = await progressRowsOf(store, name, on.channel)
  return rows.map(({ slots, bookmark, watermark, done }) => ({
    place: { consumer, slots: readSlots(slots), bookmark },
    fromPosition: 1,
    toPosition: done.at(-1)?.[1] ?? watermark,
  }))
}

async function countSpan(
  options: PlanOptions,
  of: { readonly filter: FrozenFilter; readonly span: Span; readonly tally: Tally },
): Promise<void> {
  const { filter, span, tally } = of
  const { consumer } = span.place
  const place = { isMine: (delivered: Delivered) => isFor(consumer, delivered) }
  let afterPosition = span.fromPosition - 1
  while (afterPosition < span.toPosition && tally.read < PLAN_READ_MAX) {
    const page = await readBehind(options, span.place, afterPosition)
    for (const delivered of page.records) {
      if (delivered.position > span.toPosition) break
      tally.read += 1
      if (!matchesMessage(filter, place, delivered)) continue
      const letter = await openLetterOf(options.store, consumer.name, delivered)
      const key = delivered.record.head.envelope.partitionkey
      tally.count(
        delivered.atMs,
        key,
        letter
          ? { cause: letter.cause, title: letter.causeTitle }
          : { cause: 'done', title: `${consumer.name}: done before` },
      )
      if (!letter) tally.alreadyDone += 1
    }
    if (page.scannedTo <= afterPosition) break
    afterPosition = page.scannedTo
    await options.kernel.clock.yield()
  }
}

class Tally {
  read = 0
  alreadyDone = 0
  #total = 0
  #pastDedupe = 0
  readonly #causes = new Map<string, { title: string; count: number }>()
  readonly #ages: number[] = AGES_MS.map(() => 0)
  readonly #keys = new Set<string>()
  readonly #nowMs: number
  readonly #retentionMs: number

  constructor(options: PlanOptions) {
    this.#nowMs = options.kernel.clock.now()
    const retentions = options.integration.webhooks.map((hook) => hook.idempotency.retentionMs)
    this.#retentionMs = retentions.length > 0 ? Math.min(...retentions) : Number.POSITIVE_INFINITY
  }

  count(receivedAtMs: number, key: string, cause: { cause: string; title: string }): void {
    const ageMs = this.#nowMs - receivedAtMs
    this.#total += 1
    if (ageMs > this.#retentionMs) this.#pastDedupe += 1
    if (this.#keys.size < LIMITS.jsonNodesMax) this.#keys.add(key)
    const known = this.#causes.get(cause.cause)
    if (known) known.count += 1
    else this.#causes.set(cause.cause, { title: cause.title, count: 1 })
    const bucket = AGES_MS.findLastIndex((age) => ageMs >= age)
    this.#ages[Math.max(0, bucket)] = (this.#ages[Math.max(0, bucket)] ?? 0) + 1
  }

  plan(
    consumers: readonly {
      readonly name: string
      readonly afterDeadLetter?: string
      readonly replay?: string
    }[],
  ): ReplayPlan {
    const skipping = consumers.filter((one) => one.afterDeadLetter === 'skip')
    const guarded = consumers.filter((one) => one.replay === 'guarded')
    const warnings = [
      ...skipping.map(
        (one) =>
          `${one.name} went on after its dead letters: they run after newer messages of their key`,
      ),
      ...guarded.map(
        (one) => `${one.name} declares replay: 'guarded': what it has done is done again`,
      ),
      ...(this.#pastDedupe > 0
        ? [
            `${this.#pastDedupe} are older than the dedupe retention: a repeat from outside would be taken as new`,
          ]
        : []),
      ...(this.read >= PLAN_READ_MAX
        ? ['the plan stopped counting; the replay itself does not stop there']
        : []),
    ]
    return {
      total: this.#total,
      alreadyDone: this.alreadyDone,
      byCause: [...this.#causes].map(([cause, one]) => ({ cause, ...one })),
      byAge: AGES_MS.map((age, index) => ({
        olderThan: formatDuration(age),
        count: this.#ages[index] ?? 0,
      })).filter((one) => one.count > 0),
      keys: this.#keys.size,
      pastDedupeRetention: this.#pastDedupe,
      warnings,
    }
  }
}
