// Several processes on one PostgreSQL store: gateways that take, and workers that share the
// consumers, with or without a broker between. They are killed, frozen and restarted under load; a
// partner keeps the truth.
import { setTimeout as delay } from 'node:timers/promises'
import type { Overview } from 'junctura'
import { type Balancer, startBalancer } from './balancer.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { type Ended, ROUGH_ORDERS, type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface SeveralOptions {
  readonly databaseUrl: string
  /** Of every process; nothing is stored there. */
  readonly dataDir: string
  readonly seed: number
  /** Of each consumer. @default the orders example, with one */
  readonly partitions?: number
  /** URL of a broker between the log and the consumers. @default the log of the store */
  readonly transport?: string | undefined
}

const start = (
  { databaseUrl, dataDir, partitions, transport }: SeveralOptions,
  role: string,
): Promise<RuntimeProcess> =>
  startRuntime({
    dataDir,
    more: [
      '--store',
      databaseUrl,
      '--role',
      role,
      ...(transport === undefined ? [] : ['--transport', transport]),
    ],
    ...(partitions !== undefined && {
      integration: ROUGH_ORDERS,
      env: { ORDERS_PARTITIONS: String(partitions) },
    }),
    readyMsMax: 60_000,
  })

interface Consumers {
  readonly consumers: readonly {
    readonly name: string
    readonly partitions: readonly { readonly slots: string; readonly mode: string }[]
  }[]
}

interface Share {
  /** Partitions that the worker runs, each with its mode. */
  readonly here: ReadonlyMap<string, string>
  /** Those of all workers. */
  readonly all: number
}

const shareOf = async (worker: RuntimeProcess): Promise<Share> => {
  const { consumers } = await worker.get<Consumers>('/api/v1/overview')
  const all = consumers.flatMap(({ name, partitions }) =>
    partitions.map(({ slots, mode }) => [`${name} ${slots}`, mode] as const),
  )
  const elsewhere = new Set(['elsewhere', 'standing-by'])
  return { here: new Map(all.filter(([, mode]) => !elsewhere.has(mode))), all: all.length }
}

/** Waits until the workers have every partition between them; how long it took. */
const untilTheyHaveAll = async (
  workers: readonly RuntimeProcess[],
  { modes, isEven = false }: { readonly modes: readonly string[]; readonly isEven?: boolean },
): Promise<number> => {
  const fromMs = performance.now()
  while (performance.now() - fromMs < 60_000) {
    const shares = await Promise.all(
      workers.map((worker) => shareOf(worker).catch(() => undefined)),
    )
    const known = shares.filter((share) => share !== undefined)
    const here = known.flatMap((share) => [...share.here])
    const had = new Set(here.filter(([, mode]) => modes.includes(mode)).map(([id]) => id))
    const counts = known.map((share) => share.here.size)
    const isSpread = !isEven || Math.max(...counts) - Math.min(...counts) <= 1
    if (known.length === workers.length && had.size === known[0]?.all && isSpread) {
      return Math.round(performance.now() - fromMs)
    }
    // Each look counts rows in the store, which is under load.
    await delay(100)
  }
  throw new Error(`nobody took the consumers:\n${workers.map((one) => one.log()).join('\n')}`)
}

const untilTheyWork = (workers: readonly RuntimeProcess[], isEven = false): Promise<number> =>
  untilTheyHaveAll(workers, { modes: ['running'], isEven })

/** What was in flight runs alone first, which takes as long as its handlers do. */
const untilTakenOver = (workers: readonly RuntimeProcess[]): Promise<number> =>
  untilTheyHaveAll(workers, { modes: ['recovering', 'running'] })

/** The machine of a test is small: at its limit, it measures that. */
const PER_SECOND = 150

export interface SeveralResult {
  readonly verdict: Verdict
  readonly partner: Partner
  /** From the loss of the worker until another one had the consumers and began. */
  readonly takeOverMs: readonly number[]
}

/** kill -9 of a gateway and of the worker at random moments, again and again. */
export const runSeveralKilled = async (
  options: SeveralOptions & { readonly rounds: number },
): Promise<SeveralResult> => {
  const random = createRandom(options.seed)
  const partner = createPartner({ random, perSecondMax: () => PER_SECOND })
  const takeOverMs: number[] = []
  const gateways = [
    await start(options, 'gateway,console'),
    await start(options, 'gateway,console'),
  ]
  const workers = [await start(options, 'worker'), await start(options, 'worker')]
  let relay = options.transport === undefined ? undefined : await start(options, 'relay')
  try {
    for (let round = 0; round < options.rounds; round++) {
      await untilTheyWork(workers, true)
      const worker = workers[random.between(0, workers.length - 1)]
      const loads = gateways.map(({ url }) => partner.startLoad(`${url}/webhooks/acme`, 4))
      await delay(random.between(100, 900))
      await worker?.kill()
      await delay(random.between(0, 300))
      const at = random.between(0, 1)
      await gateways[at]?.kill()
      await relay?.kill()
      const left = workers.filter((one) => one !== worker)
      takeOverMs.push(await untilTakenOver(left))
      await untilTheyWork(left)
      await Promise.all(loads.map((load) => load.stop()))
      gateways[at] = await start(options, 'gateway,console')
      workers.splice(0, workers.length, ...left, await start(options, 'worker'))
      if (relay) relay = await start(options, 'relay')
    }
    const [gateway] = gateways
    if (!gateway) throw new Error('there is a gateway')
    await partner.finish(`${gateway.url}/webhooks/acme`)
    await untilTheyWork(workers)
    const verdict = await judge({ partner, runtime: gateway, databaseUrl: options.databaseUrl })
    await untilPublished(gateway)
    return { verdict, partner, takeOverMs }
  } finally {
    await Promise.all([...gateways, ...workers].map((one) => one.kill()))
    await relay?.kill()
  }
}

export interface ZombieResult extends SeveralResult {
  /** How the one that slept ended after it woke. */
  readonly zombieEnd: Ended
  readonly zombieLog: string
}

/** SIGSTOP of a worker past its leases, and SIGCONT while another one works. */
export const runZombie = async (options: SeveralOptions): Promise<ZombieResult> => {
  const partner = createPartner({
    random: createRandom(options.seed),
    perSecondMax: () => PER_SECOND,
  })
  const gateway = await start(options, 'gateway,console')
  const workers = [await start(options, 'worker'), await start(options, 'worker')]
  try {
    await untilTheyWork(workers, true)
    const [zombie, ...others] = workers
    if (!zombie) throw new Error('there are two workers')
    const load = partner.startLoad(`${gateway.url}/webhooks/acme`, 8)
    await delay(700)
    process.kill(zombie.pid, 'SIGSTOP')
    const tookMs = await untilTakenOver(others)
    await untilTheyWork(others)
    await delay(700)
    process.kill(zombie.pid, 'SIGCONT')
    const zombieEnd = await Promise.race([
      zombie.ended,
      delay(20_000).then((): Ended => ({ code: null, signal: null })),
    ])
    await delay(700)
    await load.stop()
    await partner.finish(`${gateway.url}/webhooks/acme`)
    const { databaseUrl } = options
    const verdict = await judge({ partner, runtime: gateway, databaseUrl })
    await untilPublished(gateway)
    return { verdict, partner, takeOverMs: [tookMs], zombieEnd, zombieLog: zombie.log() }
  } finally {
    await Promise.all([gateway, ...workers].map((one) => one.kill()))
  }
}

/** SIGTERM of every process in turn, each replaced before the next, behind a load balancer. */
export const runRollingRestart = async (options: SeveralOptions): Promise<SeveralResult> => {
  const partner = createPartner({
    random: createRandom(options.seed),
    perSecondMax: () => PER_SECOND,
    giveUpShare: 0,
  })
  const gateways = [
    await start(options, 'gateway,console'),
    await start(options, 'gateway,console'),
  ]
  const workers = [await start(options, 'worker'), await start(options, 'worker')]
  const takeOverMs: number[] = []
  let balancer: Balancer | undefined
  try {
    await untilTheyWork(workers, true)
    balancer = await startBalancer()
    for (const gateway of gateways) balancer.add(gateway)
    const load = partner.startLoad(`${balancer.url}/webhooks/acme`, 8)
    for (const old of gateways.slice()) {
      await delay(400)
      const next = await start(options, 'gateway,console')
      gateways.push(next)
      balancer.add(next)
      await old.terminate()
      balancer.remove(old)
    }
    for (const old of workers.slice()) {
      await old.terminate()
      workers.splice(workers.indexOf(old), 1)
      takeOverMs.push(await untilTakenOver(workers))
      workers.push(await start(options, 'worker'))
      await untilTheyWork(workers, true)
    }
    await delay(400)
    await load.stop()
    await partner.finish(`${balancer.url}/webhooks/acme`)
    await untilTheyWork(workers)
    const runtime = gateways.at(-1)
    if (!runtime) throw new Error('there is a gateway')
    const verdict = await judge({ partner, runtime, databaseUrl: options.databaseUrl })
    await untilPublished(runtime)
    return { verdict, partner, takeOverMs }
  } finally {
    await balancer?.close()
    await Promise.all([...gateways, ...workers].map((one) => one.kill()))
  }
}

export interface ScaleResult extends SeveralResult {
  /** From the start of the last of eight workers until all had an even part. */
  readonly spreadMs: number
  /** From the clean end of the others until the last worker had everything. */
  readonly gatheredMs: number
  /** Acknowledged messages over the time of the load. */
  readonly perSecond: number
  /** Records that wait to be published when all is over; null without a broker. */
  readonly unpublished: number | null
}

/** Until the broker has everything, as any process sees it. */
const untilPublished = async (runtime: RuntimeProcess): Promise<number | null> => {
  for (let look = 0; ; look++) {
    const { transport } = await runtime.get<Pick<Overview, 'transport'>>('/api/v1/overview')
    const { unpublished } = transport
    if (unpublished === null || unpublished === 0 || look > 200) return unpublished
    await delay(100)
  }
}

/** One worker, eight, four of which one is killed, and one again, under a load that never rests. */
export const runScale = async (options: SeveralOptions): Promise<ScaleResult> => {
  const random = createRandom(options.seed)
  const partner = createPartner({ random, perSecondMax: () => PER_SECOND, giveUpShare: 0 })
  const gateway = await start(options, 'gateway,console')
  const workers = [await start(options, 'worker')]
  const url = `${gateway.url}/webhooks/acme`
  try {
    await untilTheyWork(workers)
    const fromMs = performance.now()
    const load = partner.startLoad(url, 8)
    while (workers.length < 8) workers.push(await start(options, 'worker'))
    const spreadMs = await untilTheyWork(workers, true)
    for (const one of workers.splice(4)) await one.terminate()
    await untilTheyWork(workers, true)
    const [killed] = workers.splice(random.between(0, 3), 1)
    await killed?.kill()
    const takeOverMs = [await untilTakenOver(workers)]
    await untilTheyWork(workers, true)
    await Promise.all(workers.splice(1).map((one) => one.terminate()))
    const gatheredMs = await untilTheyWork(workers)
    await load.stop()
    const perSecond = partner.counts.accepted / ((performance.now() - fromMs) / 1_000)
    await partner.finish(url)
    const { databaseUrl } = options
    const verdict = await judge({ partner, runtime: gateway, databaseUrl })
    const unpublished = await untilPublished(gateway)
    return { verdict, partner, takeOverMs, spreadMs, gatheredMs, perSecond, unpublished }
  } finally {
    await Promise.all([gateway, ...workers].map((one) => one.kill()))
  }
}
