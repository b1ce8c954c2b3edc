import type { ConsumerRunner } from '../consumer/index.ts'
import type { AlertRoute, Integration } from '../contract/index.ts'
import { createRouteKeeper, type RouteKeeper } from '../flow/index.ts'
import type { Inbox } from '../inbox/index.ts'
import type { Kernel, SteadyClock } from '../kernel/index.ts'
import type { Committer } from '../store/index.ts'
import type { AlertBook } from './alert-book.ts'

export interface RoutesOptions {
  readonly integration: Integration
  readonly kernel: Kernel
  readonly steady: SteadyClock
  readonly committer: Committer
  readonly alerts: AlertBook
  readonly inbox: Pick<Inbox, 'emitAppend'>
  readonly runners: ReadonlyMap<string, ConsumerRunner>
}

const LOG_ROUTE: AlertRoute = { kind: 'log' }

/** What routes do without a message, where their consumers run. */
export const createRoutes = (options: RoutesOptions): RouteKeeper => {
  const { integration, kernel, steady, committer, alerts, inbox, runners } = options
  return createRouteKeeper({
    consumers: integration.consumers,
    kernel,
    committer,
    takenInTo: ({ name, route }) => {
      const here = [...runners.values()].filter(({ consumer }) => consumer.name === name)
      // Before its oldest unfinished message it has all, also while it is behind.
      const isAtWork =
        here.length > 0 &&
        here.every(
          ({ mode, atHead, progress }) =>
            mode === 'running' && (atHead || progress.oldestAtMs !== undefined),
        )
      if (!isAtWork) return undefined
      if (route?.expire?.kind === 'claims') return steady.now()
      // A message that came in time may still be on its way to its group.
      const oldest = here.map(({ progress }) => progress.oldestAtMs ?? Number.POSITIVE_INFINITY)
      return Math.min(steady.now(), ...oldest)
    },
    prepare: (draft, { envelope, consumer }) =>
      inbox.emitAppend(draft, { envelope, consumer, index: 0, atMs: kernel.clock.now() }),
    raiseAlert: (consumer, { kind, title }) =>
      alerts.raise({
        kind,
        cause: kind === 'route-gap' ? `route-gap/${consumer.name}` : `route/${consumer.name}`,
        title,
        owner: consumer.owner,
        target: consumer.deadLetter?.alert ?? LOG_ROUTE,
        severity: 'critical',
        atMs: kernel.clock.now(),
      }),
    resolveAlert: ({ name }) => alerts.resolve(`route/${name}`),
  })
}
