import type {
  AlertView,
  DeadLetterGroup,
  DeadLetterView,
  InvalidGroup,
  InvalidView,
  MessageView,
} from '../../src/runtime/index.ts'
import { pausedRun, sagaSummary } from './saga-run.fixture.ts'
import {
  consumerOf,
  overviewOf,
  type ScriptedRuntime,
  webhookOf,
} from './scripted-runtime.fixture.ts'

/** What a hostile partner would like to see run on the page of the person on call. */
export const CANARY =
  '<img src=x onerror="window.canary=1"><script>window.canary=1</script>\u202e"\'=cmd|calc'

export const ids = (prefix: string, n: number): string =>
  `${prefix}_019b76d0${String(n).padStart(4, '0')}7c0a8b6c9f0e6b1f7d3a5c21`

/** A bad night: an outage at finance, a partner that changed its schema, hostile values. */
export const showIncident = (runtime: ScriptedRuntime): void => {
  const nowMs = runtime.kernel.clock.now()
  const overview = overviewOf(nowMs)
  Object.assign(runtime.shows, {
    sagas: [sagaSummary],
    sagaRuns: [pausedRun],
    overview: {
      ...overview,
      status: 'degraded',
      reasons: [
        '312 dead letters wait for finance team since 02:47 UTC',
        'acme sends a schema version that no contract has',
      ],
      health: {
        ...overview.health,
        deadLetters: 312,
        contractMismatchRate: 0.0384,
        consumerLatencyMsP99: 41_200,
      },
      invalidOpen: 18,
      deadLettersOpen: 312,
      alertsOpen: 2,
      consumers: [
        consumerOf('warehouse'),
        consumerOf('finance', {
          lag: 1_204,
          oldestPendingAgeMs: 1_460_000,
          inFlight: 8,
          retrying: 41,
          parked: 305,
          deadLettersOpen: 312,
          latencyMsP99: 41_200,
        }),
        consumerOf('notifications', { lag: 3, inFlight: 3 }),
      ],
      webhooks: [
        webhookOf({ mismatches: 18, repeats: { ids: 3, longest: repeatOf(nowMs) } }),
        webhookOf({ name: 'carrier-north', path: '/webhooks/carrier-north', from: 'carrier' }),
      ],
    },
    alerts: [alertOf(nowMs), { ...alertOf(nowMs), ...warningOf(nowMs) }],
    letterGroups: [groupOf(nowMs), { ...groupOf(nowMs), ...hostileGroup }],
    letters: [letterOf(nowMs)],
    invalidGroups: [invalidGroupOf(nowMs)],
    invalid: [invalidOf(nowMs)],
    messages: messagesOf(nowMs),
  })
}

const repeatOf = (nowMs: number) => ({
  webhook: 'acme',
  messageId: ids('msg', 7),
  position: 96_001,
  firstAtMs: nowMs - 5_400_000,
  lastAtMs: nowMs - 4_000,
  repeats: 318,
  differences: 0,
})

const alertOf = (nowMs: number): AlertView => ({
  id: ids('alert', 1),
  kind: 'dead-letters',
  cause: 'finance/LedgerClosed',
  title: 'finance gives up: LedgerClosed: period # is closed',
  owner: 'finance team',
  route: 'http',
  severity: 'critical',
  state: 'open',
  firstAtMs: nowMs - 1_460_000,
  lastAtMs: nowMs - 9_000,
  count: 312,
  countAtOpening: 1,
  isGrown: true,
  owed: [],
  notifiedCount: 2,
  notifiedAtMs: nowMs - 1_200_000,
  target: {
    kind: 'http',
    url: 'https://oncall.example/hooks',
    secret: { kind: 'env', name: 'ONCALL_SECRET', development: 'never-to-be-shown' },
  },
})

const warningOf = (nowMs: number): Partial<AlertView> => ({
  id: ids('alert', 2),
  title: 'acme: unknown schema version 3',
  owner: 'commerce',
  severity: 'warning',
  state: 'acknowledged',
  firstAtMs: nowMs - 620_000,
  lastAtMs: nowMs - 30_000,
  count: 18,
})

const groupOf = (nowMs: number): DeadLetterGroup => ({
  cause: 'finance/LedgerClosed/5f2e',
  title: 'LedgerClosed: period # is closed',
  consumer: 'finance',
  type: 'orders.status-changed',
  contractVersion: 2,
  stage: 'handler',
  owner: 'finance team',
  count: 309,
  keys: 302,
  firstAtMs: nowMs - 1_460_000,
  lastAtMs: nowMs - 9_000,
  sample: ids('dead', 1),
  more: false,
})

const hostileGroup: Partial<DeadLetterGroup> = {
  cause: 'finance/TypeError/91aa',
  title: `TypeError: cannot read ${CANARY}`,
  count: 3,
  keys: 3,
  sample: ids('dead', 1),
}

const invalidGroupOf = (nowMs: number): InvalidGroup => ({
  cause: 'acme/version/3',
  title: 'version 3 is unknown',
  webhook: 'acme',
  reason: 'version',
  version: 3,
  count: 18,
  firstAtMs: nowMs - 620_000,
  lastAtMs: nowMs - 30_000,
  sample: ids('inv', 1),
  more: true,
})

const letterOf = (nowMs: number): DeadLetterView => ({
  id: ids('dead', 1),
  stage: 'handler',
  state: 'open',
  consumer: 'finance',
  owner: 'finance team',
  messageId: ids('msg', 1),
  position: 96_400,
  channel: 'orders',
  slot: 7,
  key: CANARY,
  type: 'orders.status-changed',
  contractVersion: 2,
  correlationId: 'corr-4711',
  attempts: 6,
  crashes: 0,
  cause: 'finance/LedgerClosed/5f2e',
  causeTitle: 'LedgerClosed: period # is closed',
  errorName: 'LedgerClosed',
  errorMessage: `period 2026-01 is closed ${CANARY}`,
  errorStack: `LedgerClosed: period 2026-01 is closed\n    at insertLedgerRow (ledger.ts:41:9)`,
  receivedAtMs: nowMs - 70_000,
  firstFailedAtMs: nowMs - 69_000,
  lastFailedAtMs: nowMs - 9_000,
  diedAtMs: nowMs - 9_000,
  modelHash: 'a1b2c3d4',
  parked: true,
  successors: 2,
  payload: { orderId: CANARY, customer: { email: '•••' } },
})

const invalidOf = (nowMs: number): InvalidView => ({
  id: ids('inv', 1),
  state: 'open',
  webhook: 'acme',
  reason: 'version',
  cause: 'acme/version/3',
  causeTitle: 'version 3 is unknown',
  contract: 'acme.order-status',
  version: 3,
  receivedAtMs: nowMs - 30_000,
  mediaType: 'application/json',
  headers: { 'webhook-id': CANARY },
  bodyBytes: 211,
  errors: [{ pointer: '/version', message: 'the contract has the versions 1 and 2' }],
  scheme: 'standard-webhooks',
  payload: { version: 3, orderId: CANARY },
})

function messagesOf(nowMs: number): MessageView[] {
  const statuses = ['dead', 'pending', 'done', 'done', 'retrying', 'duplicate', 'parked', 'done']
  return statuses.map((status, index) => messageOf({ nowMs, index, status }))
}

const messageOf = (of: { nowMs: number; index: number; status: string }): MessageView => {
  const { nowMs, index } = of
  const status = of.status as MessageView['status']
  const receivedAtMs = nowMs - 70_000 - index * 4_000
  const key = index === 0 ? CANARY : `ORDER-${4_711 - index}`
  const error = 'LedgerClosed: period 2026-01 is closed'
  return {
    id: ids('msg', index + 1),
    type: 'orders.status-changed',
    version: 2,
    key,
    position: 96_400 - index,
    correlationId: `corr-${4_711 - index}`,
    source: 'acme-commerce',
    receivedAtMs,
    status,
    envelope: { specversion: '1.0', id: ids('msg', index + 1), partitionkey: key },
    payload: { orderId: key, status: 'paid', customer: { email: '•••' } },
    border: [
      { step: 'verify', outcome: 'standard-webhooks, secret 1, signed 1 s before' },
      { step: 'validate', outcome: 'version 2' },
      { step: 'dedupe', outcome: 'first seen' },
      { step: 'store', outcome: 'durable' },
    ],
    consumers: [
      {
        consumer: 'finance',
        status,
        attempts: [1, 2].map((attempt) => ({
          attempt,
          atMs: receivedAtMs + attempt * 1_000,
          outcome: 'failed',
          durationMs: 12.4,
          error: index === 0 ? `${error} ${CANARY}` : error,
        })),
        ...(index === 0 && { deadLetter: ids('dead', 1), lastError: error }),
      },
      { consumer: 'warehouse', status: 'done', attempts: [] },
    ],
    related: [],
  }
}
