import { formatDuration } from '../kernel/index.ts'
import { escapeControl } from '../security/index.ts'
import type { Paint } from './paint.ts'
import type { Wrong } from './partner-request.ts'
import type { SendResult } from './send-requests.ts'

export interface SendReport {
  readonly webhook: string
  readonly url: string
  readonly sent: number
  readonly accepted: number
  readonly duplicates: number
  readonly refused: number
  readonly failed: number
  readonly statuses: Readonly<Record<string, number>>
  readonly latencyMsP50: number
  readonly latencyMsP99: number
  /** Ids of the first accepted messages. */
  readonly messageIds: readonly string[]
  /** The first answers that were not a success. */
  readonly problems: readonly Pick<SendResult, 'id' | 'status' | 'code' | 'detail'>[]
  readonly expected: string
  readonly asExpected: boolean
}

export interface SendExpectation {
  readonly webhook: string
  readonly url: string
  readonly count: number
  readonly times: number
  readonly wrong?: Wrong
}

const SHOWN_MAX = 20

/** What each way of being wrong is answered with. */
const EXPECTED_STATUS: Readonly<Record<Wrong, number>> = {
  schema: 422,
  version: 422,
  signature: 401,
  timestamp: 401,
}

/** Counts the answers and holds them against what was asked for. */
export const reportSend = (results: readonly SendResult[], asked: SendExpectation): SendReport => {
  const count = (outcome: SendResult['outcome']): number =>
    results.filter((result) => result.outcome === outcome).length
  const statuses: Record<string, number> = {}
  for (const { status } of results) {
    const name = status === undefined ? 'none' : String(status)
    statuses[name] = (statuses[name] ?? 0) + 1
  }
  const latencies = results.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b)
  const counts = {
    sent: results.length,
    accepted: count('accepted'),
    duplicates: count('duplicate'),
    refused: count('refused'),
    failed: count('failed'),
  }
  const { wrong } = asked
  const expected =
    wrong === undefined
      ? `${asked.count} accepted, ${duplicates(asked.count * (asked.times - 1))}`
      : `${asked.count * asked.times} refused with ${EXPECTED_STATUS[wrong]}`
  const asExpected =
    wrong === undefined
      ? counts.accepted === asked.count && counts.duplicates === asked.count * (asked.times - 1)
      : statuses[String(EXPECTED_STATUS[wrong])] === asked.count * asked.times
  return {
    webhook: asked.webhook,
    url: asked.url,
    ...counts,
    statuses,
    latencyMsP50: percentile(latencies, 0.5),
    latencyMsP99: percentile(latencies, 0.99),
    messageIds: results
      .flatMap(({ outcome, messageId }) =>
        outcome === 'accepted' && messageId !== undefined ? [messageId] : [],
      )
      .slice(0, SHOWN_MAX),
    problems: results
      .filter(({ outcome }) => outcome === 'refused' || outcome === 'failed')
      .slice(0, SHOWN_MAX)
      .map(({ id, status, code, detail }) => ({
        id,
        ...(status !== undefined && { status }),
        ...(code !== undefined && { code }),
        ...(detail !== undefined && { detail }),
      })),
    expected,
    asExpected,
  }
}

export const renderSend = (report: SendReport, paint: Paint): string => {
  const parts = [
    `${report.accepted} accepted`,
    ...(report.duplicates > 0 ? [duplicates(report.duplicates)] : []),
    ...(report.refused > 0 ? [`${report.refused} refused`] : []),
    ...(report.failed > 0 ? [`${report.failed} failed`] : []),
  ]
  const p50 = formatDuration(report.latencyMsP50)
  const p99 = formatDuration(report.latencyMsP99)
  const problems = report.problems.slice(0, 5).map(({ status, code, detail }) => {
    const text = `${status ?? 'no answer'} ${code ?? ''} ${detail ?? ''}`.replace(/ +/g, ' ')
    return `  ${escapeControl(text.trim())}`
  })
  const verdict = report.asExpected
    ? paint('green', 'as expected')
    : `${paint('red', 'not as expected')}, which was: ${report.expected}`
  const trace = report.messageIds[0]
  return [
    `${paint('bold', parts.join(', '))}  (p50 ${p50}, p99 ${p99})  ${verdict}`,
    ...problems,
    ...(trace === undefined ? [] : [paint('gray', `junctura trace ${trace}`)]),
  ].join('\n')
}

const duplicates = (count: number): string => `${count} duplicate${count === 1 ? '' : 's'}`

function percentile(sorted: readonly number[], share: number): number {
  const index = Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)
  return Math.round((sorted[Math.max(0, index)] ?? 0) * 100) / 100
}
