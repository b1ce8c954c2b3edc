// A PostgreSQL whose replica is promoted under load, again and again: one that every commit waited
// for, and one that lags behind. The partner keeps the truth.
import { setTimeout as delay } from 'node:timers/promises'
import type { MessagePage, Page } from 'junctura'
import pg from 'pg'
import { type ReplicaPair, startReplicaPair } from '../engines/replica-pair.ts'
import { type AttackLine, faultsOf, figuresOf, spread } from './attack.ts'
import { createPartner, type Partner, type SentMessage } from './partner.ts'
import { untilAcknowledged, untilHandled } from './postgres-faults.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS } from './runtime-process.ts'
import { startSupervised, type SupervisedRuntime } from './supervised-runtime.ts'
import { judge, type Verdict } from './verdict.ts'

export interface FailOversOptions {
  readonly engine: 'postgres15' | 'postgres18'
  readonly isSynchronous: boolean
  readonly dataDir: string
  readonly seed: number
  readonly rounds: number
  /** Between the log and the consumers. @default none */
  readonly transport?: string
  /** The runtime dies with the server, so that nobody remembers. @default false */
  readonly isForgotten?: boolean
}

export interface FailOversResult {
  /** Of what was not lost. */
  readonly verdict: Verdict
  readonly partner: Partner
  /** Acknowledged messages that the promoted servers never had; none where commits waited. */
  readonly lost: readonly string[]
  /** What the runtime measured, one for each fail-over that somebody told of. */
  readonly told: readonly Told[]
  readonly alerts: readonly Alert[]
  /** From the moment the replica takes writes until everything taken was handled. */
  readonly recoveryMs: readonly number[]
  readonly ends: readonly string[]
}

export interface Alert {
  readonly cause: string
  readonly title: string
  readonly severity: string
}

interface Operation {
  readonly command: string
  readonly result?: unknown
}

export interface Told {
  readonly position: number
  readonly reached: number | null
  readonly missing: number | null
}

export const runFailOvers = async (options: FailOversOptions): Promise<FailOversResult> => {
  const { isSynchronous, engine, dataDir, rounds, transport } = options
  const random = createRandom(options.seed)
  // What was lost is answered as new when it is repeated: of that the verdict knows nothing.
  const repeats = isSynchronous ? {} : { repeatShare: 0 }
  const partner = createPartner({ random, perSecondMax: () => PER_SECOND, ...repeats })
  const pair = await startReplicaPair({ isSynchronous, engine })
  let runtime: SupervisedRuntime | undefined
  const recoveryMs: number[] = []
  try {
    const url = await makeDatabase(pair)
    const more = ['--store', url, ...(transport === undefined ? [] : ['--transport', transport])]
    runtime = await startSupervised({ dataDir, integration: ROUGH_ORDERS, more })
    for (let round = 0; round < rounds; round++) {
      if (round > 0) await pair.rebuild()
      const load = partner.startLoad(runtime.webhookUrl, 4)
      await untilAcknowledged(partner)
      await delay(random.between(200, 900))
      if (!isSynchronous) {
        await pair.detach()
        await untilAcknowledged(partner)
        await delay(random.between(50, 500))
      }
      const dying = options.isForgotten === true ? (await runtime.ready()).kill() : undefined
      await Promise.all([dying, pair.failOver()])
      const fromMs = performance.now()
      await untilAcknowledged(partner)
      await load.stop()
      await untilHandled(runtime)
      recoveryMs.push(Math.round(performance.now() - fromMs))
    }
    await partner.finish(runtime.webhookUrl)
    const lost = isSynchronous ? [] : await findLost(runtime, partner.messages)
    const kept = partner.messages.filter((one) => !lost.includes(one))
    const databaseUrl = databaseAt(pair.primaryUrl)
    const verdict = await judge({
      partner: { ...pick(partner), messages: kept },
      runtime: await runtime.ready(),
      databaseUrl,
    })
    const operations = await runtime.get<Page<Operation>>('/api/v1/operations?limit=500')
    const alerts = await runtime.get<Page<Alert>>('/api/v1/alerts?limit=500')
    await runtime.terminate()
    return {
      verdict,
      partner,
      lost: lost.map(({ messageId = '' }) => messageId),
      told: operations.items
        .filter(({ command }) => command === 'store.fail-over')
        // The driver's own note, as it is journaled.
        .map(({ result }) => result as Told),
      alerts: alerts.items.filter(({ cause }) => cause === 'store/failed-over'),
      recoveryMs,
      ends: runtime.ends,
    }
  } finally {
    await runtime?.kill()
    await pair.stop()
  }
}

const PER_SECOND = 150

export const describeFailOvers = (isSynchronous: boolean, result: FailOversResult): AttackLine => {
  const { verdict, partner, lost, told, recoveryMs } = result
  const missing = told.reduce((total, one) => total + (one.missing ?? 0), 0)
  const measured = `${lost.length} acknowledged messages lost, ${missing} positions told as gone`
  return {
    what: isSynchronous
      ? 'PostgreSQL fails over to a replica that commits wait for'
      : 'PostgreSQL fails over to a replica that lags; figures of what was kept',
    figures: figuresOf(verdict),
    recovery: `${spread(recoveryMs)}; ${recoveryMs.length} rounds${isSynchronous ? '' : `; ${measured}`}`,
    faults: [
      ...faultsOf(verdict, partner),
      ...(told.length === recoveryMs.length ? [] : [`${told.length} fail-overs were told of`]),
      ...(isSynchronous && missing > 0 ? [`${missing} positions are gone`] : []),
      ...(missing < lost.length ? [`${measured}: too few`] : []),
    ],
  }
}

const pick = ({ counts, complaints, startLoad, finish }: Partner): Omit<Partner, 'messages'> => ({
  counts,
  complaints,
  startLoad,
  finish,
})

const databaseAt = (serverUrl: string): string => {
  const url = new URL(serverUrl)
  url.pathname = '/chaos'
  return url.href
}

const makeDatabase = async (pair: ReplicaPair): Promise<string> => {
  const client = new pg.Client({ connectionString: pair.primaryUrl })
  await client.connect()
  await client.query('create database chaos')
  await client.end()
  return databaseAt(pair.url)
}

/** Acknowledged, and no longer in the log. */
const findLost = async (
  runtime: SupervisedRuntime,
  sent: readonly SentMessage[],
): Promise<readonly SentMessage[]> => {
  const there = new Set<string>()
  for (let after: string | undefined = ''; after !== undefined;) {
    const from: string = after === '' ? '' : `&after=${after}`
    const page: MessagePage = await runtime.get<MessagePage>(
      `/api/v1/messages?type=orders.status-changed&limit=500${from}`,
    )
    for (const { id } of page.items) there.add(id)
    after = page.next
  }
  return sent.filter(({ messageId }) => messageId !== undefined && !there.has(messageId))
}
