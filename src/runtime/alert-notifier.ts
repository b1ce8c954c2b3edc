import { type Kernel, messageOf, sleep } from '../kernel/index.ts'
import {
  alertNotification,
  type AlertNotification,
  type AlertNotificationKind,
} from '../observe/index.ts'
import type { AlertRow, Committer, Store } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'
import { offerRows } from './offer-rows.ts'

/** Sends one notification over its route; rejects when the route did not take it. */
export type SendNotification = (
  alert: AlertRow,
  notification: AlertNotification,
  signal: AbortSignal,
) => Promise<void>

/**
 * Tells owners what their alerts owe them: at-least-once, each under an id that a route can dedupe.
 */
export interface AlertNotifier {
  /** Something may be owed. */
  poke(): void
  close(): Promise<void>
}

export interface AlertNotifierOptions {
  readonly book: AlertBook
  readonly store: Store
  readonly committer: Committer
  readonly kernel: Kernel
  readonly send: SendNotification
  readonly onSent: (kind: string, outcome: 'sent' | 'failed') => void
}

const FIRST_RETRY_MS = 1_000
const RETRY_MS_MAX = 300_000

export const createAlertNotifier = (options: AlertNotifierOptions): AlertNotifier => {
  const { book, store, committer, kernel, send, onSent } = options
  const stop = new AbortController()
  /**
   * Routes that failed, and when they are tried again: one broken route does not hold the others.
   */
  const resting = new Map<string, { readonly untilMs: number; readonly delayMs: number }>()
  const restAfter = (
    last: { readonly delayMs: number } | undefined,
  ): { readonly untilMs: number; readonly delayMs: number } => {
    const delayMs = Math.min(RETRY_MS_MAX, (last?.delayMs ?? FIRST_RETRY_MS / 2) * 2)
    return { untilMs: kernel.clock.monotonicMs() + delayMs, delayMs }
  }
  let running: Promise<void> | undefined
  let wake: { cancel(): void } | undefined

  const run = async (): Promise<void> => {
    // Lets a burst become a count.
    await sleep(kernel.clock, 20, stop.signal)
    if (stop.signal.aborted) return
    // What was raised is durable before it is told: after a crash it has the same id.
    await committer.submit({ isInternal: true })
    // The commit that raised it may have been refused, and be offered again in a while.
    const isDurable = async (alert: AlertRow, kind: AlertNotificationKind): Promise<boolean> =>
      (await store.row('alerts', alert.id))?.owed.includes(kind) ?? false
    for (const alert of book.owing()) {
      const kind = alert.owed[0]
      if (stop.signal.aborted || !kind) return
      const rest = resting.get(alert.id)
      if (rest && rest.untilMs > kernel.clock.monotonicMs()) continue
      try {
        if (!(await isDurable(alert, kind))) {
          resting.set(alert.id, restAfter(rest))
          continue
        }
        await send(alert, alertNotification(alert, kind), stop.signal)
        await offerRows({ committer, kernel }, book.delivered(alert.id, kind), stop.signal)
        resting.delete(alert.id)
        onSent(kind, 'sent')
      } catch (error) {
        if (stop.signal.aborted) return
        resting.set(alert.id, restAfter(rest))
        onSent(kind, 'failed')
        kernel.log.warn(
          { alert: alert.id, route: alert.target.kind, problem: messageOf(error) },
          'a notification was not taken; it is tried again',
        )
      }
    }
  }

  const again = (): void => {
    running = undefined
    if (stop.signal.aborted || committer.mode !== 'open') return
    const owing = book.owing()
    if (owing.length === 0) return
    const nowMs = kernel.clock.monotonicMs()
    const waits = owing.map((alert) => (resting.get(alert.id)?.untilMs ?? nowMs) - nowMs)
    wake?.cancel()
    wake = kernel.clock.setTimer(Math.max(10, Math.min(...waits)), poke)
  }

  /** The store did not take what was to be told. */
  const later = (): void => {
    running = undefined
    if (stop.signal.aborted || committer.mode !== 'open') return
    wake = kernel.clock.setTimer(FIRST_RETRY_MS, poke)
  }

  const poke = (): void => {
    if (running || stop.signal.aborted) return
    wake?.cancel()
    running = run().then(again, later)
  }

  return {
    poke,
    async close() {
      stop.abort()
      wake?.cancel()
      await running
    },
  }
}
