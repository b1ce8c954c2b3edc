import { type Kernel, messageOf, sleep } from '../kernel/index.ts'
import { alertNotification, type AlertNotification } from '../observe/index.ts'
import type { AlertRow, Committer } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'

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
  readonly committer: Committer
  readonly kernel: Kernel
  readonly send: SendNotification
  readonly onSent: (kind: string, outcome: 'sent' | 'failed') => void
}

const FIRST_RETRY_MS = 1_000
const RETRY_MS_MAX = 300_000

export const createAlertNotifier = (options: AlertNotifierOptions): AlertNotifier => {
  const { book, committer, kernel, send, onSent } = options
  const stop = new AbortController()
  /**
   * Routes that failed, and when they are tried again: one broken route does not hold the others.
   */
  const resting = new Map<string, { untilMs: number; delayMs: number }>()
  let running: Promise<void> | undefined
  let wake: { cancel(): void } | undefined

  const run = async (): Promise<void> => {
    // Lets a burst become a count.
    await sleep(kernel.clock, 20, stop.signal)
    if (stop.signal.aborted) return
    // What was raised is durable before it is told: after a crash it has the same id.
    await committer.submit({ isInternal: true })
    for (const alert of book.owing()) {
      const kind = alert.owed[0]
      if (stop.signal.aborted || !kind) return
      const rest = resting.get(alert.id)
      if (rest && rest.untilMs > kernel.clock.monotonicMs()) continue
      try {
        await send(alert, alertNotification(alert, kind), stop.signal)
        await committer.submit({ rows: book.delivered(alert.id, kind), isInternal: true })
        resting.delete(alert.id)
        onSent(kind, 'sent')
      } catch (error) {
        if (stop.signal.aborted) return
        const delayMs = Math.min(RETRY_MS_MAX, (rest?.delayMs ?? FIRST_RETRY_MS / 2) * 2)
        resting.set(alert.id, { untilMs: kernel.clock.monotonicMs() + delayMs, delayMs })
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
