import type { ConsumerRunner } from '../consumer/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import type { Committer } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'
import type { BrokerLink } from './broker-link.ts'
import type { OpenLetters } from './open-letters.ts'

export interface GaugeOptions {
  readonly metrics: Metrics
  readonly kernel: Kernel
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly committer: Committer
  readonly alerts: AlertBook
  readonly lagOf: (runner: ConsumerRunner) => number
  readonly openLetters: OpenLetters
  readonly links: readonly BrokerLink[]
}

/** Gauges that are read when somebody looks; all of them from memory. */
export const registerGauges = (options: GaugeOptions): void => {
  const { metrics, kernel, runners, committer, alerts, lagOf, openLetters, links } = options
  const perConsumer = function* (
    read: (runner: ConsumerRunner) => number,
  ): Generator<{ readonly labels: { readonly consumer: string }; readonly value: number }> {
    for (const [consumer, runner] of runners) yield { labels: { consumer }, value: read(runner) }
  }
  metrics.observe(METRICS.lag, () => perConsumer(lagOf))
  metrics.observe(METRICS.oldestPendingAge, () =>
    perConsumer(({ progress }) =>
      progress.oldestAtMs === undefined ? 0 : (kernel.clock.now() - progress.oldestAtMs) / 1_000,
    ),
  )
  metrics.observe(METRICS.parkedLanes, () => perConsumer(({ lanes }) => lanes.held('parked')))
  metrics.observe(METRICS.retryingLanes, () => perConsumer(({ lanes }) => lanes.held('retry')))
  metrics.observe(METRICS.inFlight, () => perConsumer((runner) => runner.inFlight))
  metrics.observe(METRICS.deadLettersOpen, () =>
    (['handler', 'transform'] as const).flatMap((stage) =>
      [...openLetters[stage]].map(([consumer, value]) => ({ labels: { consumer, stage }, value })),
    ),
  )
  metrics.observe(METRICS.commitWaiting, () => [{ labels: {}, value: committer.waiting }])
  metrics.observe(METRICS.transportUnpublished, () =>
    links.map(({ name, relays }) => ({ labels: { broker: name }, value: relays.unpublished })),
  )
  metrics.observe(METRICS.transportConnected, () =>
    links.map(({ name, state }) => ({ labels: { broker: name }, value: state.connected ? 1 : 0 })),
  )
  metrics.observe(METRICS.alertsOpen, () => {
    const counts = new Map<string, number>()
    for (const { severity, state } of alerts.all()) {
      const key = `${severity}\n${state}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    return [...counts].map(([key, value]) => {
      const [severity = '', state = ''] = key.split('\n')
      return { labels: { severity, state }, value }
    })
  })
}
