import { assert, type Ids, LIMITS } from '../kernel/index.ts'

export type AlertSeverity = 'critical' | 'warning'
export type AlertState = 'open' | 'acknowledged' | 'resolved'
export type AlertNotificationKind = 'opened' | 'grown' | 'resolved'

/**
 * A durable alert: one cause that needs somebody. Plain data, kept in the store.
 *
 * open → acknowledged → resolved, or open → resolved. A resolved alert never changes again; the
 * same cause opens a new one. Whatever changes an alert is written in the same commit as what
 * caused it, and `owed` names the notifications that commit owes the route. They are sent after the
 * commit and struck out by `markNotified`; after a crash, what is still owed is sent again under
 * the same id. So a route that dedupes by id sees each notification once, also across kill -9.
 */
export interface Alert {
  readonly id: string
  /** A stable fingerprint, such as `causeOf` gives; at most one unresolved alert has it. */
  readonly cause: string
  /** At most 200 characters, masked by the caller. */
  readonly title: string
  readonly owner: string
  readonly route: string
  readonly severity: AlertSeverity
  readonly state: AlertState
  /** Wall time of the first and the latest occurrence; the latest never goes back (F35). */
  readonly firstAtMs: number
  readonly lastAtMs: number
  /** Occurrences so far, and at opening. */
  readonly count: number
  readonly countAtOpening: number
  readonly isGrown: boolean
  /** Decided and not yet delivered, oldest first; at most one of each kind. */
  readonly owed: readonly AlertNotificationKind[]
  /** Notifications delivered so far, and when the latest was. */
  readonly notifiedCount: number
  readonly notifiedAtMs: number | undefined
}

/** Something went wrong once more. */
export interface AlertEvent {
  readonly cause: string
  readonly title: string
  readonly owner: string
  readonly route: string
  readonly severity: AlertSeverity
  readonly atMs: number
  /**
   * How often, when several are raised together.
   *
   * @default 1
   */
  readonly count?: number
}

export interface AlertDecision {
  readonly record: Alert
  /** The notification that this change owes the route, the same as the newest in `record.owed`. */
  readonly notify?: AlertNotificationKind
}

/**
 * By how much a cause must have grown since opening to be told once more. One figure and no timer:
 * the decision depends on the stored count alone, so it is the same after a crash and never late.
 */
const GROWTH_FACTOR = 10

/**
 * Opens an alert, or counts one more on the open one. `existing` is the unresolved alert of the
 * cause, or the latest resolved one, or undefined.
 *
 * A thousand occurrences of one cause owe the route one `opened` and one `grown`: when the count
 * first reaches ten times the count at opening, at once. Acknowledging does not stop `grown`.
 *
 * @throws JUNCTURA_INVARIANT when the event has another cause, or a count below 1.
 */
export const raiseAlert = (
  existing: Alert | undefined,
  event: AlertEvent,
  ids: Ids,
): AlertDecision => {
  const added = event.count ?? 1
  assert(added >= 1, 'an alert is raised for at least one occurrence')
  if (existing === undefined || existing.state === 'resolved') {
    return { record: openAlert(event, added, ids), notify: 'opened' }
  }
  assert(existing.cause === event.cause, 'an alert counts one cause')
  const count = existing.count + added
  const grows = !existing.isGrown && count >= existing.countAtOpening * GROWTH_FACTOR
  const record: Alert = {
    ...existing,
    count,
    isGrown: existing.isGrown || grows,
    lastAtMs: Math.max(existing.lastAtMs, event.atMs),
    severity: event.severity === 'critical' ? 'critical' : existing.severity,
    owed: grows ? [...existing.owed, 'grown'] : existing.owed,
  }
  return grows ? { record, notify: 'grown' } : { record }
}

function openAlert(event: AlertEvent, count: number, ids: Ids): Alert {
  return {
    id: ids.next('alert'),
    cause: event.cause,
    title: event.title.slice(0, LIMITS.alertTitleCharsMax),
    owner: event.owner,
    route: event.route,
    severity: event.severity,
    state: 'open',
    firstAtMs: event.atMs,
    lastAtMs: event.atMs,
    count,
    countAtOpening: count,
    isGrown: false,
    owed: ['opened'],
    notifiedCount: 0,
    notifiedAtMs: undefined,
  }
}

/** Somebody took it. Says nothing to the route; changes nothing unless the alert is open. */
export const acknowledgeAlert = (existing: Alert): AlertDecision => ({
  record: existing.state === 'open' ? { ...existing, state: 'acknowledged' } : existing,
})

/** The cause is gone. Owes one `resolved`; resolving twice changes nothing. */
export const resolveAlert = (existing: Alert, nowMs: number): AlertDecision => {
  if (existing.state === 'resolved') return { record: existing }
  const record: Alert = {
    ...existing,
    state: 'resolved',
    lastAtMs: Math.max(existing.lastAtMs, nowMs),
    owed: [...existing.owed, 'resolved'],
  }
  return { record, notify: 'resolved' }
}

/** Strikes out a notification that the route has taken. Doing it twice changes nothing. */
export const markNotified = (
  existing: Alert,
  kind: AlertNotificationKind,
  nowMs: number,
): Alert => {
  if (!existing.owed.includes(kind)) return existing
  return {
    ...existing,
    owed: existing.owed.filter((owed) => owed !== kind),
    notifiedCount: existing.notifiedCount + 1,
    notifiedAtMs: nowMs,
  }
}

/** What a route is given. */
export interface AlertNotification {
  /** `<alert id>.<kind>`: the same at every try, so that a route can dedupe. */
  readonly id: string
  readonly kind: AlertNotificationKind
  readonly alertId: string
  readonly cause: string
  readonly title: string
  readonly owner: string
  readonly route: string
  readonly severity: AlertSeverity
  readonly state: AlertState
  readonly count: number
  /** RFC 3339, UTC. */
  readonly firstAt: string
  readonly lastAt: string
}

/**
 * The notification as it is sent now. A repeated one has the same id and may have newer figures.
 */
export const alertNotification = (
  alert: Alert,
  kind: AlertNotificationKind,
): AlertNotification => ({
  id: `${alert.id}.${kind}`,
  kind,
  alertId: alert.id,
  cause: alert.cause,
  title: alert.title,
  owner: alert.owner,
  route: alert.route,
  severity: alert.severity,
  state: alert.state,
  count: alert.count,
  firstAt: new Date(alert.firstAtMs).toISOString(),
  lastAt: new Date(alert.lastAtMs).toISOString(),
})
