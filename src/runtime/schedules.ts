import type { Integration } from '../contract/index.ts'
import { createScheduleKeeper, type ScheduleKeeper } from '../flow/index.ts'
import type { Inbox } from '../inbox/index.ts'
import type { Kernel, SteadyClock } from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import type { Committer, Store } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'
import type { EventHub } from './events.ts'
import type { ScheduleView } from './views.ts'

export interface SchedulesOptions {
  readonly integration: Integration
  readonly kernel: Kernel
  readonly steady: SteadyClock
  readonly store: Store
  readonly committer: Committer
  readonly metrics: Metrics
  readonly events: EventHub
  readonly alerts: AlertBook
  readonly inbox: Pick<Inbox, 'ownAppend'>
}

/** All schedules: at work in the process that has the duties of the store. */
export interface Schedules extends Pick<ScheduleKeeper, 'start' | 'close'> {
  views(): Promise<readonly ScheduleView[]>
}

export const createSchedules = (options: SchedulesOptions): Schedules => {
  const { integration, kernel, alerts, metrics, events, inbox } = options
  const { schedules } = integration
  const fired = metrics.counter(METRICS.schedulesFired)
  const keeper = createScheduleKeeper({
    ...options,
    schedules,
    prepare: (draft, own) => inbox.ownAppend(draft, own),
    raiseAlert: ({ name, owner, alert }, title) =>
      alerts.raise({
        kind: 'schedule-failed',
        cause: `schedule/${name}`,
        title,
        owner,
        target: alert,
        severity: 'critical',
        atMs: kernel.clock.now(),
      }),
    resolveAlert: ({ name }) => alerts.resolve(`schedule/${name}`),
    onFired: ({ name }, { record }) => {
      fired.with({ schedule: name }).add()
      if (!record) return
      const { id, type, partitionkey } = record.head.envelope
      events.publish({ kind: 'published', messageId: id, type, key: partitionkey })
    },
  })
  return {
    start: () => keeper.start(),
    close: () => keeper.close(),
    async views() {
      const rows = await keeper.rows()
      return schedules.map((one): ScheduleView => {
        const row = rows.get(one.name)
        return {
          name: one.name,
          owner: one.owner.name,
          ...(one.summary !== undefined && { summary: one.summary }),
          ...(one.cron && { cron: one.cron.text, timezone: one.timezone }),
          emits: one.emits.name,
          whenMissed: one.missed,
          nextAtMs: row?.dueAtMs ?? null,
          ...(row?.lastDueAtMs !== undefined && { lastDueAtMs: row.lastDueAtMs }),
          ...(row?.lastFiredAtMs !== undefined && { lastFiredAtMs: row.lastFiredAtMs }),
          ...(row?.lastMessageId !== undefined && { lastMessageId: row.lastMessageId }),
          ...(row?.lastError !== undefined && { lastError: row.lastError }),
          fired: row?.fired ?? 0,
          missed: row?.missed ?? 0,
        }
      })
    },
  }
}
