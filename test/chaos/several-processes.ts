// Several processes on one PostgreSQL store: gateways that take, and workers of which one has the
// consumers. They are killed, frozen and restarted under load; a partner keeps the truth.
import { setTimeout as delay } from 'node:timers/promises'
import { type Balancer, startBalancer } from './balancer.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { type Ended, type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface SeveralOptions {
  readonly databaseUrl: string
  /** Of every process; nothing is stored there. */
  readonly dataDir: string
  readonly seed: number
}

const start = ({ databaseUrl, dataDir }: SeveralOptions, role: string): Promise<RuntimeProcess> =>
  startRuntime({
    dataDir,
    more: ['--store', databaseUrl, '--role', role],
    // A standby says so in its log only.
    readyMsMax: 60_000,
  })

interface Consumers {
  readonly consumers: readonly { readonly mode: string }[]
}

const isActive = async (
  process: RuntimeProcess,
  modes: readonly string[] = ['running'],
): Promise<boolean> => {
  const { consumers } = await process.get<Consumers>('/api/v1/overview')
  return consumers.every(({ mode }) => modes.includes(mode))
}

/** Waits until one of them has the consumers; which, and how long it took. */
const whoHas = async (
  workers: readonly RuntimeProcess[],
  modes: readonly string[],
): Promise<{ readonly worker: RuntimeProcess; readonly tookMs: number }> => {
  const fromMs = performance.now()
  while (performance.now() - fromMs < 60_000) {
    for (const worker of workers) {
      if (await isActive(worker, modes).catch(() => false)) {
        return { worker, tookMs: Math.round(performance.now() - fromMs) }
      }
    }
    await delay(20)
  }
  throw new Error(`nobody took the consumers:\n${workers.map((one) => one.log()).join('\n')}`)
}

const whoWorks = (workers: readonly RuntimeProcess[]) => whoHas(workers, ['running'])

/** What was in flight runs alone first, which takes as long as its handlers do. */
const whoTakesOver = (workers: readonly RuntimeProcess[]) =>
  whoHas(workers, ['recovering', 'running'])

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
  const gateways = [await start(options, 'gateway'), await start(options, 'gateway')]
  const workers = [await start(options, 'worker'), await start(options, 'worker')]
  try {
    for (let round = 0; round < options.rounds; round++) {
      const { worker } = await whoWorks(workers)
      const loads = gateways.map(({ url }) => partner.startLoad(`${url}/webhooks/acme`, 4))
      await delay(random.between(100, 900))
      await worker.kill()
      await delay(random.between(0, 300))
      const at = random.between(0, 1)
      await gateways[at]?.kill()
      const left = workers.filter((one) => one !== worker)
      takeOverMs.push((await whoTakesOver(left)).tookMs)
      await whoWorks(left)
      await Promise.all(loads.map((load) => load.stop()))
      gateways[at] = await start(options, 'gateway')
      workers.splice(0, workers.length, ...left, await start(options, 'worker'))
    }
    const [gateway] = gateways
    if (!gateway) throw new Error('there is a gateway')
    await partner.finish(`${gateway.url}/webhooks/acme`)
    const { worker: runtime } = await whoWorks(workers)
    const verdict = await judge({ partner, runtime, databaseUrl: options.databaseUrl })
    return { verdict, partner, takeOverMs }
  } finally {
    await Promise.all([...gateways, ...workers].map((one) => one.kill()))
  }
}

export interface ZombieResult extends SeveralResult {
  /** How the one that slept ended after it woke. */
  readonly zombieEnd: Ended
  readonly zombieLog: string
}

/** SIGSTOP of the worker past its lease, and SIGCONT while another one works. */
export const runZombie = async (options: SeveralOptions): Promise<ZombieResult> => {
  const partner = createPartner({
    random: createRandom(options.seed),
    perSecondMax: () => PER_SECOND,
  })
  const gateway = await start(options, 'gateway')
  const workers = [await start(options, 'worker'), await start(options, 'worker')]
  try {
    const { worker: zombie } = await whoWorks(workers)
    const load = partner.startLoad(`${gateway.url}/webhooks/acme`, 8)
    await delay(700)
    process.kill(zombie.pid, 'SIGSTOP')
    const others = workers.filter((one) => one !== zombie)
    const { tookMs } = await whoTakesOver(others)
    const { worker: runtime } = await whoWorks(others)
    await delay(700)
    process.kill(zombie.pid, 'SIGCONT')
    const zombieEnd = await Promise.race([
      zombie.ended,
      delay(20_000).then((): Ended => ({ code: null, signal: null })),
    ])
    await delay(700)
    await load.stop()
    await partner.finish(`${gateway.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime, databaseUrl: options.databaseUrl })
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
  const gateways = [await start(options, 'gateway'), await start(options, 'gateway')]
  const workers = [await start(options, 'worker'), await start(options, 'worker')]
  const takeOverMs: number[] = []
  let balancer: Balancer | undefined
  try {
    await whoWorks(workers)
    balancer = await startBalancer()
    for (const gateway of gateways) balancer.add(gateway)
    const load = partner.startLoad(`${balancer.url}/webhooks/acme`, 8)
    for (const old of gateways.slice()) {
      await delay(400)
      const next = await start(options, 'gateway')
      gateways.push(next)
      balancer.add(next)
      await old.terminate()
      balancer.remove(old)
    }
    for (const old of workers.slice()) {
      const wasActive = await isActive(old)
      await old.terminate()
      workers.splice(workers.indexOf(old), 1)
      if (wasActive) takeOverMs.push((await whoTakesOver(workers)).tookMs)
      workers.push(await start(options, 'worker'))
    }
    await delay(400)
    await load.stop()
    await partner.finish(`${balancer.url}/webhooks/acme`)
    const { worker: runtime } = await whoWorks(workers)
    const verdict = await judge({ partner, runtime, databaseUrl: options.databaseUrl })
    return { verdict, partner, takeOverMs }
  } finally {
    await balancer?.close()
    await Promise.all([...gateways, ...workers].map((one) => one.kill()))
  }
}
