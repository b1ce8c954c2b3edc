import type { Refusal } from '../ingress/index.ts'
import type { Kernel } from '../kernel/index.ts'
import type { EventHub } from './events.ts'

/** A flood of refusals is one line a minute; there are few causes, all from fixed lists. */
const QUIET_MS = 60_000

interface Told {
  atMs: number
  /** Refusals since that line. */
  count: number
}

/**
 * Tells operators of refused requests: each as an event, and in the log the first of a cause (a
 * webhook, a reason and its detail) at once, later ones as a count, at most one line a minute.
 */
export const createRefusalTeller = ({
  events,
  kernel,
}: {
  readonly events: Pick<EventHub, 'publish'>
  readonly kernel: Pick<Kernel, 'clock' | 'log'>
}): ((refusal: Refusal) => void) => {
  const told = new Map<string, Told>()

  const log = (refusal: Refusal, fields: object): void => {
    const nowMs = kernel.clock.monotonicMs()
    const cause = [refusal.webhook ?? '', refusal.reason, refusal.detail ?? ''].join('\n')
    const last = told.get(cause)
    if (last && nowMs - last.atMs < QUIET_MS) {
      last.count++
      return
    }
    told.set(cause, { atMs: nowMs, count: 0 })
    // Scanners ask for what is not there all day; it is no reason to look at the log.
    const level = refusal.reason === 'route' || refusal.reason === 'method' ? 'info' : 'warn'
    const { code, remoteAddress: address, problem } = refusal
    const more = last && last.count > 0 ? { alsoSinceLastLine: last.count } : {}
    const line = { ...fields, code, address, ...(problem !== undefined && { problem }), ...more }
    kernel.log[level](line, 'a request was refused')
  }

  return (refusal) => {
    const { webhook = '', status, code, reason, detail, skewMs } = refusal
    const cause = {
      webhook,
      status,
      reason,
      ...(detail !== undefined && { detail }),
      ...(skewMs !== undefined && { skewSeconds: skewMs / 1_000 }),
    }
    events.publish({ kind: 'refused', ...cause, code })
    log(refusal, cause)
  }
}
