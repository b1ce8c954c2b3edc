import type { ConsumerRunner } from '../consumer/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { METRICS, type Metrics } from '../observe/index.ts'
import type { Committer } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'
import type { BrokerLink } from './broker-link.ts'
import { lagHere } from './consumer-statuses.ts'
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
    read: (here: readonly ConsumerRunner[]) => number,
  ): Generator<{ readonly labels: { readonly consumer: string }; readonly value: number }> {
    const all = Map.groupBy(runners.values(), ({ consumer }) => consumer.name)
    for (const [consumer, here] of all) yield { labels: { consumer }, value: read(here) }
  }
  const total = (read: (runner: ConsumerRunner) => number) => (here: readonly ConsumerRunner[]) =>
    here.reduce((sum, runner) => sum + read(runner), 0)
  metrics.observe(METRICS.lag, () => perConsumer((here) => lagHere({ lagOf }, here)))
  metrics.observe(METRICS.oldestPendingAge, () =>
    perConsumer((here) => {
      const oldest = here.map(({ progress }) => progress.oldestAtMs ?? Infinity)
      const oldestAtMs = Math.min(...oldest)
      return oldestAtMs === Infinity ? 0 : (kernel.clock.now() - oldestAtMs) / 1_000
    }),
  )
  metrics.observe(METRICS.partitionsHere, () => perConsumer((here) => here.length))
  metrics.observe(METRICS.parkedLanes, () =>
    perConsumer(total(({ lanes }) => lanes.held('parked'))),
  )
  metrics.observe(METRICS.retryingLanes, () =>
    perConsumer(total(({ lanes }) => lanes.held('retry'))),
  )
  metrics.observe(METRICS.inFlight, () => perConsumer(total((runner) => runner.inFlight)))
  metrics.observe(METRICS.deadLettersOpen, () =>
    (['handler', 'transform'] as const).flatMap((stage) =>
      [...openLetters[stage]].map(([consumer, value]) => ({ labels: { consumer, stage }, value })),
    ),
  )
  metrics.observe(METRICS.commitWaiting, () => [{ labels: {}, value: committer.waiting }])
  /** Brokers that this process uses; the others are told of by those that do. */
  const used = (read: (link: BrokerLink) => number) =>
    links
      .filter(({ state }) => state !== undefined)
      .map((link) => ({ labels: { broker: link.name }, value: read(link) }))
  metrics.observe(METRICS.transportUnpublished, () => used(({ relays }) => relays.unpublished))
  metrics.observe(METRICS.transportConnected, () =>
    used(({ state }) => (state?.connected === true ? 1 : 0)),
  )
  metrics.observe(METRICS.transportChannelsHere, () => used(({ relays }) => relays.taken.size))
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
