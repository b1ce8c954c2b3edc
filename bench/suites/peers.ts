import { setTimeout as delay } from 'node:timers/promises'
import { startPostgres } from '../../test/engines/postgres.ts'
import {
  inTurn,
  measure,
  median,
  perSecond,
  type Row,
  type Scale,
  script,
  startServer,
  type Suite,
} from '../harness.ts'
import { installPeers } from '../install-peers.ts'
import { startRedis } from '../start-redis.ts'
import { load, oursToTheEnd } from './webhook.ts'

/** Enough that the server's own defaults for a small machine are no part of the figure. */
const POSTGRES = { shared_buffers: '512MB', max_connections: '100', max_wal_size: '4GB' } as const

/** What people use today, on the same machine, with the same promise: durable before the answer. */
export const peers: Suite = {
  name: 'peers',
  needs: { 'redis-server': 'apt-get install redis-server' },
  async run(scale) {
    installPeers()
    const postgres = await startPostgres({ settings: POSTGRES })
    try {
      const redis = await startRedis()
      try {
        const webhook = await besideStack(scale, postgres.url)
        const queues = await besideQueues(scale, { postgres: postgres.url, redis: redis.url })
        return {
          rounds: { webhook: webhook.rounds, queues: queues.rounds },
          rows: [...webhook.rows, ...queues.rows],
        }
      } finally {
        await redis.stop()
      }
    } finally {
      await postgres.stop()
    }
  },
}

interface Part {
  readonly rows: readonly Row[]
  readonly rounds: unknown
}

/** Of both sides: the first requests prepare statements and connections. */
const WARM_UP_SECONDS = 1

interface StackLoad {
  readonly failed: number
  readonly donePerSecond: number
}

/** With its effects: what was only put off counts as well. */
async function stack(jobs: string, serverUrl: string, seconds: number): Promise<StackLoad> {
  const server = await startServer([script('peers', 'webhook-stack.js'), serverUrl, jobs])
  const url = `${server.url}/webhooks/acme`
  await load(url, WARM_UP_SECONDS)
  await untilThrough(server.url)
  const answered = await load(url, seconds)
  const fromMs = performance.now()
  await untilThrough(server.url)
  const elapsed = answered.requests / answered.perSecond + (performance.now() - fromMs) / 1_000
  await server.stop()
  return { failed: answered.failed, donePerSecond: answered.requests / elapsed }
}

const BEHIND_MS_MAX = 120_000

async function untilThrough(url: string): Promise<void> {
  const untilMs = performance.now() + BEHIND_MS_MAX
  for (;;) {
    const response = await fetch(`${url}/behind`)
    const { behind }: { readonly behind: number } = JSON.parse(await response.text())
    if (behind === 0) return
    if (performance.now() > untilMs) throw new Error(`${behind} effects are missing`)
    await delay(10)
  }
}

const STACKS = {
  three: 'fastify, standardwebhooks, zod; inbox row and three pg-boss jobs in one transaction',
  one: 'the same with one job, whose worker writes all three effects: retried only together',
} as const

async function besideStack({ pairs, seconds }: Scale, postgresUrl: string): Promise<Part> {
  const rounds: Record<string, unknown> = {}
  const rows: Row[] = []
  for (const [jobs, against] of Object.entries(STACKS)) {
    const measured = await inTurn(
      pairs,
      () => oursToTheEnd(seconds, WARM_UP_SECONDS),
      () => stack(jobs, postgresUrl, seconds),
    )
    rounds[jobs] = measured
    const ratio = median(measured.map((one) => one.ours.donePerSecond / one.theirs.donePerSecond))
    const failed = measured.reduce((sum, one) => sum + one.ours.failed + one.theirs.failed, 0)
    rows.push({
      what: `Signed webhook in, durable 202, three effects written; ${failed} failed`,
      against,
      ours: perSecond(median(measured.map((one) => one.ours.donePerSecond))),
      theirs: perSecond(median(measured.map((one) => one.theirs.donePerSecond))),
      ratio,
      goal: '≥ 10',
      holds: ratio >= 10,
    })
  }
  return { rows, rounds }
}

interface Load {
  readonly perSecond: number
}

/** At least so many times as fast, with many senders; a single one is at the mercy of the disk. */
const QUEUES = {
  bullmq: { against: 'BullMQ on redis, `appendfsync always`', times: 6 },
  'pg-boss': { against: 'pg-boss on PostgreSQL', times: 30 },
  'graphile-worker': { against: 'graphile-worker on PostgreSQL', times: 30 },
} as const

interface Servers {
  readonly postgres: string
  readonly redis: string
}

async function besideQueues({ pairs, seconds }: Scale, servers: Servers): Promise<Part> {
  const rounds: Record<string, unknown> = {}
  const rows: Row[] = []
  for (const [name, { against, times }] of Object.entries(QUEUES)) {
    const url = name === 'bullmq' ? servers.redis : servers.postgres
    for (const inFlight of ['512', '1']) {
      const span = ['--seconds', String(seconds), '--in-flight', inFlight]
      const measured = await inTurn(
        pairs,
        () => measure<Load>('publish-load.ts', 'ours', ...span),
        () => measure<Load>('peers/send-load.js', name, url, String(seconds), inFlight),
      )
      rounds[`${name}, ${inFlight} in flight`] = measured
      const ratio = median(measured.map((one) => one.ours.perSecond / one.theirs.perSecond))
      const atLeast = inFlight === '1' ? 1 : times
      const senders = inFlight === '1' ? 'one sender that waits for each' : `${inFlight} senders`
      rows.push({
        what: `One \`publish\` per message, durable, handler, done; 1 KB, ${senders}`,
        against,
        ours: perSecond(median(measured.map((one) => one.ours.perSecond))),
        theirs: perSecond(median(measured.map((one) => one.theirs.perSecond))),
        ratio,
        goal: `≥ ${atLeast}`,
        holds: ratio >= atLeast,
      })
    }
  }
  return { rows, rounds }
}
