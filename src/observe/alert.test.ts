import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createIds, createSeededRandom, type Ids, LIMITS } from '../kernel/index.ts'
import {
  acknowledgeAlert,
  type Alert,
  type AlertEvent,
  alertNotification,
  type AlertNotificationKind,
  markNotified,
  raiseAlert,
  resolveAlert,
} from './alert.ts'

const START_MS = 1_700_000_000_000

const newIds = (): Ids => {
  const clock = {
    now: () => START_MS,
    monotonicMs: () => 0,
    setTimer: () => ({ cancel: () => undefined }),
    yield: () => Promise.resolve(),
  }
  return createIds(clock, createSeededRandom(1))
}

const event = (change: Partial<AlertEvent> = {}): AlertEvent => ({
  cause: 'cause_1',
  title: 'finance: TypeError: no such order <id>',
  owner: 'finance-team',
  route: 'finance-oncall',
  severity: 'critical',
  atMs: START_MS,
  ...change,
})

const raiseTimes = (times: number, ids = newIds()): { record: Alert; told: string[] } => {
  const told: string[] = []
  let { record, notify } = raiseAlert(undefined, event(), ids)
  if (notify !== undefined) told.push(notify)
  for (let time = 1; time < times; time++) {
    const next = raiseAlert(record, event({ atMs: START_MS + time }), ids)
    record = next.record
    if (next.notify !== undefined) told.push(next.notify)
  }
  return { record, told }
}

describe('raiseAlert', () => {
  it('stops when an event of another cause would be counted', () => {
    const { record } = raiseTimes(1)

    expect(() => raiseAlert(record, event({ cause: 'cause_2' }), newIds())).toThrow(/one cause/)
  })

  it.each([0, -1, Number.NaN])('stops on %d occurrences', (count) => {
    expect(() => raiseAlert(undefined, event({ count }), newIds())).toThrow(/at least one/)
  })

  it('tells a thousand dead letters of one cause as opened, grown and resolved, once each', () => {
    const { record, told } = raiseTimes(1_000)

    const resolved = resolveAlert(record, START_MS + 5_000)

    expect(told).toEqual(['opened', 'grown'])
    expect(resolved.notify).toBe('resolved')
    expect(resolved.record).toMatchObject({ count: 1_000, state: 'resolved' })
    expect(resolved.record.owed).toEqual(['opened', 'grown', 'resolved'])
  })

  it('tells growth at ten times the count of the opening, not sooner', () => {
    expect(raiseTimes(9).told).toEqual(['opened'])
    expect(raiseTimes(10).told).toEqual(['opened', 'grown'])
  })

  it('measures growth against a batch that opened the alert', () => {
    const ids = newIds()
    const opened = raiseAlert(undefined, event({ count: 40 }), ids).record

    const almost = raiseAlert(opened, event({ count: 359 }), ids)
    const grown = raiseAlert(almost.record, event(), ids)

    expect(almost.notify).toBeUndefined()
    expect(grown).toMatchObject({ notify: 'grown', record: { count: 400, isGrown: true } })
  })

  it('tells growth of an alert that somebody has acknowledged', () => {
    const taken = acknowledgeAlert(raiseTimes(9).record).record

    const { record, notify } = raiseAlert(taken, event(), newIds())

    expect(notify).toBe('grown')
    expect(record.state).toBe('acknowledged')
  })

  it('opens a new alert when the cause comes back after it was resolved', () => {
    const ids = newIds()
    const { record } = raiseTimes(20, ids)
    const resolved = resolveAlert(record, START_MS + 1_000).record

    const again = raiseAlert(resolved, event({ atMs: START_MS + 9_000 }), ids)

    expect(again.notify).toBe('opened')
    expect(again.record).toMatchObject({ count: 1, isGrown: false, owed: ['opened'] })
    expect(again.record.id).not.toBe(resolved.id)
  })

  it('never moves the latest time back when the wall clock does (F35)', () => {
    const { record } = raiseTimes(1)

    const later = raiseAlert(record, event({ atMs: START_MS - 3_600_000 }), newIds()).record

    expect(later).toMatchObject({ firstAtMs: START_MS, lastAtMs: START_MS, count: 2 })
    expect(resolveAlert(later, START_MS - 5).record.lastAtMs).toBe(START_MS)
  })

  it('becomes critical with the first critical event, and stays so', () => {
    const ids = newIds()
    const warning = raiseAlert(undefined, event({ severity: 'warning' }), ids).record

    const critical = raiseAlert(warning, event({ severity: 'critical' }), ids).record
    const still = raiseAlert(critical, event({ severity: 'warning' }), ids).record

    expect(warning.severity).toBe('warning')
    expect(still.severity).toBe('critical')
  })

  it('keeps a title to what a pager can show', () => {
    const { record } = raiseAlert(undefined, event({ title: 'x'.repeat(5_000) }), newIds())

    expect(record.title).toHaveLength(LIMITS.alertTitleCharsMax)
  })
})

describe('resolveAlert and acknowledgeAlert', () => {
  it('say nothing the second time', () => {
    const resolved = resolveAlert(raiseTimes(1).record, START_MS).record

    expect(resolveAlert(resolved, START_MS + 1)).toEqual({ record: resolved })
    expect(acknowledgeAlert(resolved)).toEqual({ record: resolved })
  })

  it('acknowledge without telling the route', () => {
    const decision = acknowledgeAlert(raiseTimes(1).record)

    expect(decision.notify).toBeUndefined()
    expect(decision.record).toMatchObject({ state: 'acknowledged', owed: ['opened'] })
    expect(acknowledgeAlert(decision.record).record).toBe(decision.record)
  })
})

describe('notifications', () => {
  it('have an id that is the same at every try', () => {
    const { record } = raiseTimes(1)
    const later = raiseTimes(5).record

    expect(alertNotification(record, 'opened')).toEqual({
      id: `${record.id}.opened`,
      kind: 'opened',
      alertId: record.id,
      cause: 'cause_1',
      title: 'finance: TypeError: no such order <id>',
      owner: 'finance-team',
      route: 'finance-oncall',
      severity: 'critical',
      state: 'open',
      count: 1,
      firstAt: '2023-11-14T22:13:20.000Z',
      lastAt: '2023-11-14T22:13:20.000Z',
    })
    expect(alertNotification(later, 'opened').id).toBe(`${record.id}.opened`)
  })

  it('are struck out once, however often the delivery is reported', () => {
    const { record } = raiseTimes(10)

    const once = markNotified(record, 'opened', START_MS + 50)

    expect(once).toMatchObject({ owed: ['grown'], notifiedCount: 1, notifiedAtMs: START_MS + 50 })
    expect(markNotified(once, 'opened', START_MS + 99)).toBe(once)
  })

  it('reach a route that dedupes exactly once each, wherever the process is killed (kill -9)', () => {
    // Given a route that keeps ids, and a store that keeps records as text.
    const killPoints = fc.array(fc.constantFrom('commit', 'send', 'mark', 'none'), {
      minLength: 60,
      maxLength: 60,
    })
    fc.assert(
      fc.property(killPoints, (kills) => {
        const received: string[] = []
        const ids = newIds()
        let stored: string | undefined
        const load = (): Alert | undefined =>
          stored === undefined ? undefined : (JSON.parse(stored) as Alert)

        // When some of the fifty dead letters and the resolving are cut short by a kill.
        for (const [step, kill] of kills.entries()) {
          const current = load()
          const decision =
            step < 50 || current === undefined
              ? raiseAlert(current, event({ atMs: START_MS + step }), ids)
              : resolveAlert(current, START_MS + step)
          if (kill === 'commit') continue
          stored = JSON.stringify(decision.record)
          if (kill !== 'send') deliverOwed(kill)
        }
        const last = load()
        if (last !== undefined) stored = JSON.stringify(resolveAlert(last, START_MS + 99).record)
        deliverOwed('none')

        // Then each kind was taken once and in order, and none is still owed.
        const final = load()
        expect(final?.owed ?? []).toEqual([])
        const kinds = received.map((id) => id.split('.')[1])
        const expected: AlertNotificationKind[] = ['opened', 'grown', 'resolved']
        const wanted = (final?.count ?? 0) >= 10 ? expected : ['opened', 'resolved']
        expect(kinds).toEqual(final === undefined ? [] : wanted)

        function deliverOwed(kill: string): void {
          for (const kind of load()?.owed ?? []) {
            const alert = load()
            if (alert === undefined) return
            const { id } = alertNotification(alert, kind)
            if (!received.includes(id)) received.push(id)
            if (kill === 'mark') return
            stored = JSON.stringify(markNotified(alert, kind, START_MS))
          }
        }
      }),
    )
  })
})
