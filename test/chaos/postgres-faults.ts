// PostgreSQL as the store, under load, that is killed, stopped, frozen, restarted, cut off, slowed
// and full of connections; the answers to commits are lost one by one. The partner keeps the truth.
import { setTimeout as delay } from 'node:timers/promises'
import type { Overview } from 'junctura'
import pg from 'pg'
import { type CuttingProxy, startCuttingProxy } from '../engines/cutting-proxy.ts'
import { type RunningEngine, runEngine } from '../engines/engine.ts'
import { createEngine, type EngineInstance } from '../engines/engine-instance.ts'
import { portAt } from '../engines/recipe.ts'
import { spread } from './attack.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom, type Random } from './random.ts'
import { ROUGH_ORDERS } from './runtime-process.ts'
import { startSupervised, type SupervisedRuntime } from './supervised-runtime.ts'
import { judge, type Verdict } from './verdict.ts'

export const POSTGRES_FAULTS = [
  'kill',
  'stop',
  'pause',
  'restart',
  'cut',
  'slow',
  'swallow',
  'commit-lost',
  'answer-lost',
  'exhaust',
] as const

type PostgresFault = (typeof POSTGRES_FAULTS)[number]

export interface PostgresFaultsOptions {
  readonly engine: 'postgres15' | 'postgres18'
  readonly dataDir: string
  readonly seed: number
  /** Each of them has every fault once, in an order of its own. */
  readonly rounds: number
}

export interface PostgresFaultsResult {
  readonly verdict: Verdict
  readonly partner: Partner
  /** After each fault was over, until everything taken was handled. */
  readonly recoveryMs: ReadonlyMap<PostgresFault, readonly number[]>
  /** What the runtime said each time it ended by itself. */
  readonly ends: readonly string[]
}

export const runPostgresFaults = async (
  options: PostgresFaultsOptions,
): Promise<PostgresFaultsResult> => {
  const random = createRandom(options.seed)
  const partner = createPartner({ random, perSecondMax: () => PER_SECOND })
  const server = await startServer(options.engine)
  let runtime: SupervisedRuntime | undefined
  const recoveryMs = new Map<PostgresFault, number[]>()
  try {
    const more = ['--store', server.url]
    const { dataDir } = options
    runtime = await startSupervised({ dataDir, integration: ROUGH_ORDERS, more })
    for (const fault of faultsIn(options.rounds, random)) {
      const load = partner.startLoad(runtime.webhookUrl, 4)
      await delay(random.between(200, 700))
      await suffer(fault, server, random)
      const fromMs = performance.now()
      await untilAcknowledged(partner)
      await load.stop()
      await untilHandled(runtime)
      const times = recoveryMs.get(fault) ?? []
      recoveryMs.set(fault, [...times, performance.now() - fromMs])
    }
    await partner.finish(runtime.webhookUrl)
    const databaseUrl = server.directUrl
    const verdict = await judge({ partner, runtime: await runtime.ready(), databaseUrl })
    await runtime.terminate()
    return { verdict, partner, recoveryMs, ends: runtime.ends }
  } finally {
    await runtime?.kill()
    await server.stop()
  }
}

/** The machine of a test is small: at its limit, it measures that. */
const PER_SECOND = 150

const faultsIn = (rounds: number, random: Random): readonly PostgresFault[] =>
  Array.from({ length: rounds }, () =>
    POSTGRES_FAULTS.map((fault) => ({ fault, at: random.next() }))
      .toSorted((one, other) => one.at - other.at)
      .map(({ fault }) => fault),
  ).flat()

interface Server {
  /** Through the proxy, for a role that is no superuser. */
  readonly url: string
  readonly directUrl: string
  readonly instance: EngineInstance
  readonly running: RunningEngine
  readonly proxy: CuttingProxy
  stop(): Promise<void>
}

const startServer = async (name: PostgresFaultsOptions['engine']): Promise<Server> => {
  const instance = await createEngine(name, { settings: { max_connections: '20' } })
  const running = await runEngine(instance)
  const proxy = await startCuttingProxy({ host: '127.0.0.1', port: portAt(instance.state, 0) })
  await asSuperuser(running.url, async (client) => {
    await client.query(`create role ${ROLE} login`)
    await client.query(`create database ${ROLE} owner ${ROLE}`)
  })
  const directUrl = new URL(running.url)
  directUrl.pathname = `/${ROLE}`
  const url = new URL(directUrl)
  url.username = ROLE
  url.port = String(proxy.port)
  return {
    url: url.href,
    directUrl: directUrl.href,
    instance,
    running,
    proxy,
    async stop() {
      await proxy.close()
      await running.stop()
    },
  }
}

const ROLE = 'chaos'

const suffer = async (fault: PostgresFault, server: Server, random: Random): Promise<void> => {
  const { running, proxy, instance } = server
  const forMs = random.between(300, 3_000)
  switch (fault) {
    case 'kill':
      await running.kill()
      await delay(forMs)
      return running.restart()
    case 'stop':
      // As `pg_ctl stop --mode immediate`: no checkpoint, and the next start recovers.
      process.kill(instance.state.leader?.pid ?? 0, 'SIGQUIT')
      await delay(forMs)
      return running.restart()
    case 'pause':
      await running.pause()
      // Some longer than a lease, and than a process may hold up the commits of others.
      await delay(forMs + (random.chance(0.5) ? 6_000 : 0))
      return running.resume()
    case 'restart':
      return running.restart()
    case 'cut':
      await proxy.cut()
      break
    case 'slow':
      proxy.slow({ delayMs: 40, bytesPerSecond: 1_000_000 })
      break
    case 'swallow':
      proxy.blackhole()
      break
    case 'commit-lost':
      proxy.cutAt(COMMIT, 'before')
      break
    case 'answer-lost':
      // The server is asked for it, at times only when it is back.
      proxy.cutAt(COMMIT, 'after', ...(random.chance(0.5) ? (['stay'] as const) : []))
      break
    case 'exhaust':
      return exhaust(running.url, forMs)
  }
  await delay(forMs)
  await proxy.heal()
}

/** A statement of its own: type, length and text. */
const COMMIT = 'Q\0\0\0\u000bcommit\0'

/** A neighbour takes every connection, and whoever had one has to ask again. */
const exhaust = (url: string, forMs: number): Promise<void> =>
  asSuperuser(url, async (client) => {
    const taken: pg.Client[] = []
    const neighbour = new URL(url)
    neighbour.username = ROLE
    const end = `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${ROLE}'
      and application_name like 'junctura%'`
    try {
      for (const untilMs = performance.now() + forMs; performance.now() < untilMs;) {
        await client.query(end)
        for (;;) {
          const one = new pg.Client({ connectionString: neighbour.href })
          one.on('error', () => undefined)
          try {
            await one.connect()
          } catch {
            break
          }
          taken.push(one)
        }
        await delay(20)
      }
    } finally {
      await Promise.all(taken.map((one) => one.end()))
    }
  })

const asSuperuser = async (
  url: string,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> => {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

const RECOVERED_MS_MAX = 90_000

/** Until something new is taken. */
export const untilAcknowledged = async ({ counts }: Partner): Promise<void> => {
  const before = counts.accepted
  const untilMs = performance.now() + RECOVERED_MS_MAX
  while (counts.accepted === before) {
    if (performance.now() > untilMs) throw new Error('nothing was taken any more')
    await delay(5)
  }
}

/** Until no consumer has anything before it. */
export const untilHandled = async (runtime: SupervisedRuntime): Promise<void> => {
  const untilMs = performance.now() + RECOVERED_MS_MAX
  for (;;) {
    const found = await runtime.get<Overview>('/api/v1/overview').catch(() => undefined)
    if (found?.consumers.every(({ lag, inFlight }) => lag + inFlight === 0) === true) return
    if (performance.now() > untilMs) {
      throw new Error(`not handled: ${JSON.stringify(found)}\n${runtime.ends.join('\n')}`)
    }
    await delay(20)
  }
}

/** `kill 812 ms median, 900 ms worst; …` */
export const describeRecoveries = (recoveryMs: PostgresFaultsResult['recoveryMs']): string =>
  [...recoveryMs].map(([fault, times]) => `${fault} ${spread(times)}`).join('; ')
