import { setTimeout as delay } from 'node:timers/promises'
import type { Overview } from 'junctura'
import {
  inTurn,
  measure,
  median,
  milliseconds,
  perSecond,
  script,
  type Server,
  startOrders,
  startServer,
  type Suite,
} from '../harness.ts'

interface Load {
  readonly requests: number
  readonly failed: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

const CONNECTIONS = '64'
/** Both are measured once their code is compiled: servers run for days. */
const WARM_UP_SECONDS = 3

export const load = (url: string, seconds: number, rate = 0): Promise<Load> =>
  measure('webhook-load.ts', url, String(seconds), CONNECTIONS, String(rate))

/** From now until every consumer is through, in seconds: what was only put off counts as well. */
async function waitForConsumers({ managementUrl = '' }: Server): Promise<number> {
  const fromMs = performance.now()
  for (;;) {
    const response = await fetch(`${managementUrl}/api/v1/overview`)
    const overview: Overview = JSON.parse(await response.text())
    if (overview.consumers.every(({ lag, inFlight }) => lag + inFlight === 0)) break
    await delay(10)
  }
  return (performance.now() - fromMs) / 1_000
}

/** The orders example until its consumers are through, warmed up if so asked. */
export async function oursToTheEnd(
  seconds: number,
  warmUpSeconds = 0,
): Promise<Load & { readonly donePerSecond: number }> {
  const server = await startOrders()
  const url = `${server.url}/webhooks/acme`
  if (warmUpSeconds > 0) {
    await load(url, warmUpSeconds)
    await waitForConsumers(server)
  }
  const answered = await load(url, seconds)
  const behindSeconds = await waitForConsumers(server)
  await server.stop()
  const elapsed = answered.requests / answered.perSecond + behindSeconds
  return { ...answered, donePerSecond: answered.requests / elapsed }
}

async function rawTwin(seconds: number): Promise<Load> {
  const server = await startServer([script('raw-webhook.ts')])
  await load(`${server.url}/`, WARM_UP_SECONDS)
  const answered = await load(`${server.url}/`, seconds)
  await server.stop()
  return answered
}

/** The main path beside the same HTTP, HMAC, parse and validation with no storage, no consumers. */
export const webhook: Suite = {
  name: 'webhook',
  async run({ pairs, seconds }) {
    const rounds = await inTurn(
      pairs,
      () => oursToTheEnd(seconds, WARM_UP_SECONDS),
      () => rawTwin(seconds),
    )
    const saturation = median(rounds.map((one) => one.ours.donePerSecond))
    const ratio = median(rounds.map((one) => one.ours.donePerSecond / one.theirs.perSecond))
    const durable = await startOrders()
    const url = `${durable.url}/webhooks/acme`
    const rate = Math.floor(saturation * 0.7)
    await load(url, WARM_UP_SECONDS, rate)
    await waitForConsumers(durable)
    const steady = await load(url, seconds, rate)
    await durable.stop()
    const failed = rounds.reduce((sum, one) => sum + one.ours.failed, steady.failed)
    return {
      rounds: { rounds, steady },
      rows: [
        {
          what: `Signed webhook in, durable 202, three \`ctx.tx\` consumers and a fourth through; ${CONNECTIONS} connections, ${failed} failed`,
          against: 'the same HTTP, HMAC, parse and validation, no storage, no consumers',
          ours: perSecond(saturation),
          theirs: perSecond(median(rounds.map((one) => one.theirs.perSecond))),
          ratio,
          goal: '≥ 0.65',
          holds: ratio >= 0.65,
        },
        {
          what: `Answer at 70 % of saturation, open loop, ${Math.floor(saturation * 0.7)}/s, from when it was due`,
          against: '',
          ours: `p50 ${milliseconds(steady.p50)}, p99 ${milliseconds(steady.p99)}`,
          theirs: '',
          goal: 'p99 ≤ 25 ms',
          holds: steady.p99 <= 25,
        },
      ],
    }
  },
}
