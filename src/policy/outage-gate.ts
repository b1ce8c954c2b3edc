import { type Duration, durationMs, formatDuration, JuncturaError } from '../kernel/index.ts'

/** When failures are no longer about one message, and how it is found out that they are over. */
export interface OutagePolicy {
  /**
   * So many different messages must fail one after the other, none succeeding between them. One
   * message that fails again and again is not an outage.
   *
   * @minimum 2
   * @maximum 1_000
   */
  readonly after: number
  /**
   * How long it is waited from a failure to the next attempt, of one message at a time.
   *
   * @default '5s'
   * @minimum 100 ms
   * @maximum 1 h
   */
  readonly probe?: Duration
}

export interface ResolvedOutagePolicy {
  readonly after: number
  readonly probeMs: number
}

const AFTER_MAX = 1_000
const PROBE_MS_MIN = 100
const PROBE_MS_MAX = 3_600_000

/**
 * @throws JUNCTURA_POLICY_RANGE when a value is out of bounds.
 * @throws JUNCTURA_DECLARATION when `probe` is not a duration.
 */
export const resolveOutagePolicy = (policy: OutagePolicy, field: string): ResolvedOutagePolicy => {
  const { after } = policy
  const probeMs = durationMs(policy.probe ?? '5s', `${field}.probe`)
  if (!(Number.isInteger(after) && after >= 2 && after <= AFTER_MAX)) {
    throw new JuncturaError('JUNCTURA_POLICY_RANGE', {
      details: {
        field: `${field}.after`,
        value: after,
        allowed: `a whole number from 2 to ${AFTER_MAX}`,
        fix: 'Write more than the messages at fault that may stand behind one another.',
      },
    })
  }
  if (!(probeMs >= PROBE_MS_MIN && probeMs <= PROBE_MS_MAX)) {
    throw new JuncturaError('JUNCTURA_POLICY_RANGE', {
      details: {
        field: `${field}.probe`,
        value: formatDuration(probeMs),
        allowed: `${PROBE_MS_MIN}ms to ${formatDuration(PROBE_MS_MAX)}`,
        fix: 'Write how often what is down may be tried.',
      },
    })
  }
  return { after, probeMs }
}

/**
 * Decides whether work may start, by how the last of it ended.
 *
 * `flowing` lets everything start. `out`, after `after` different messages failed in a row, lets
 * one start when none runs and `probeMs` have passed since the last failure; the first success
 * leads back.
 */
export interface OutageGate {
  readonly isOut: boolean
  /** True when this failure begins the outage. */
  failed(position: number, nowMs: number): boolean
  /** True when this success ends the outage. */
  succeeded(): boolean
  /** How long the next start has to wait; 0 when it may be now. */
  waitMs(nowMs: number): number
}

/** Pure: time comes in. `wasOut` begins with an outage that an earlier process has seen. */
export const createOutageGate = (policy: ResolvedOutagePolicy, wasOut: boolean): OutageGate => {
  const failing = new Set<number>()
  let isOut = wasOut
  let probeAtMs = Number.NEGATIVE_INFINITY
  return {
    get isOut() {
      return isOut
    },
    failed(position, nowMs) {
      if (isOut) {
        probeAtMs = nowMs + policy.probeMs
        return false
      }
      failing.add(position)
      if (failing.size < policy.after) return false
      failing.clear()
      isOut = true
      probeAtMs = nowMs + policy.probeMs
      return true
    },
    succeeded() {
      const ends = isOut
      isOut = false
      if (failing.size > 0) failing.clear()
      return ends
    },
    waitMs: (nowMs) => (isOut ? Math.max(0, probeAtMs - nowMs) : 0),
  }
}
