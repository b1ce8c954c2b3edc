import { isJuncturaError } from '../kernel/index.ts'
import type { ProgressRow } from '../store/index.ts'
import type { Subscription } from '../transport/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { wantedSlots } from './partition.ts'

/** How a partition of a consumer reads its log, begun behind what it has fetched. */
export const openSubscription = (runner: ConsumerRunner, row: ProgressRow): Subscription => {
  const { consumer, ports, progress, slots } = runner
  const { bookmark, claimedTo, done } = row
  const doneTo = done.at(-1)?.[1] ?? 0
  const subscription = ports.transport.subscribe(consumer.on.channel, progress.fetchedTo, {
    wanted: wantedSlots(consumer, slots),
    slots,
    bookmark,
    usedTo: Math.max(claimedTo, doneTo, progress.watermark),
    doneTo,
    onMoved: () => runner.changed(),
  })
  const { bookmarkAt } = subscription
  if (bookmarkAt) progress.keepBookmark((watermark) => bookmarkAt.call(subscription, watermark))
  return subscription
}

/** Damage, and what only a newer release can read. */
export const mustNotBeSkipped = (error: unknown): boolean =>
  isJuncturaError(error) && !error.retryable && !isJuncturaError(error, 'JUNCTURA_CLOSED')
