// A broker between the log and the consumers, under load, that is killed, frozen, restarted, wiped,
// cut off and slowed; now and then the runtime dies with it. The partner keeps the truth.
import { setTimeout as delay } from 'node:timers/promises'
import type { Overview } from 'junctura'
import { type ProxiedEngine, startProxiedEngine } from '../engines/engine.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom, type Random } from './random.ts'
import { type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export type BrokerName = 'nats' | 'kafka' | 'rabbitmq'

export const BROKER_FAULTS = ['kill', 'pause', 'restart', 'wipe', 'cut', 'slow', 'swallow'] as const

type BrokerFault = (typeof BROKER_FAULTS)[number]

export interface BrokerFaultsOptions {
  readonly broker: BrokerName
  readonly dataDir: string
  readonly seed: number
  /** Each of them has every fault once, in an order of its own. */
  readonly rounds: number
}

export interface BrokerFaultsResult {
  readonly verdict: Verdict
  readonly partner: Partner
  /** How long the broker was away or bad, and how long after that nothing waited any more. */
  readonly recoveryMs: readonly number[]
  /** Records that wait to be published when all is over; none should. */
  readonly unpublished: number | null
}

export const runBrokerFaults = async (
  options: BrokerFaultsOptions,
): Promise<BrokerFaultsResult> => {
  const random = createRandom(options.seed)
  const partner = createPartner({ random })
  const engine = await startProxiedEngine(options.broker)
  const start = (): Promise<RuntimeProcess> =>
    startRuntime({ dataDir: options.dataDir, more: ['--transport', engine.url] })
  let runtime: RuntimeProcess | undefined
  const recoveryMs: number[] = []
  try {
    runtime = await start()
    for (const fault of faultsIn(options.rounds, random)) {
      const most = partner.messages.length + MESSAGES_PER_FAULT
      const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 4, most)
      await delay(random.between(100, 400))
      await suffer(fault, engine, random)
      if (random.chance(0.2)) {
        await runtime.kill()
        await load.stop()
        runtime = await start()
      } else {
        await load.stop()
      }
      recoveryMs.push(await untilPublished(runtime))
    }
    await partner.finish(`${runtime.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime, dataDir: options.dataDir })
    await untilPublished(runtime)
    const { transport } = await runtime.get<Overview>('/api/v1/overview')
    await runtime.terminate()
    return { verdict, partner, recoveryMs, unpublished: transport.unpublished }
  } finally {
    await runtime?.kill()
    await engine.stop()
  }
}

/** Enough to be under way when it happens; what came before it is looked at as well. */
const MESSAGES_PER_FAULT = 300

const faultsIn = (rounds: number, random: Random): readonly BrokerFault[] =>
  Array.from({ length: rounds }, () =>
    BROKER_FAULTS.map((fault) => ({ fault, at: random.next() }))
      .toSorted((one, other) => one.at - other.at)
      .map(({ fault }) => fault),
  ).flat()

const suffer = async (fault: BrokerFault, engine: ProxiedEngine, random: Random): Promise<void> => {
  const forMs = random.between(300, 2_500)
  switch (fault) {
    case 'kill':
      await engine.kill()
      await delay(forMs)
      return engine.restart()
    case 'pause':
      await engine.pause()
      await delay(forMs)
      return engine.resume()
    case 'restart':
      return engine.restart()
    case 'wipe':
      return engine.wipe()
    case 'cut':
      await engine.proxy.cut()
      break
    case 'slow':
      engine.proxy.slow({ delayMs: 150 })
      break
    case 'swallow':
      engine.proxy.blackhole()
      break
  }
  await delay(forMs)
  await engine.proxy.heal()
}

const PUBLISHED_MS_MAX = 60_000

/** Until the broker has everything and no consumer has anything before it. */
const untilPublished = async (runtime: RuntimeProcess): Promise<number> => {
  const fromMs = performance.now()
  while (performance.now() - fromMs < PUBLISHED_MS_MAX) {
    const { transport, consumers } = await runtime.get<Overview>('/api/v1/overview')
    const isQuiet = consumers.every(({ lag, inFlight }) => lag + inFlight === 0)
    if (transport.connected === true && transport.unpublished === 0 && isQuiet) break
    await delay(20)
  }
  return performance.now() - fromMs
}
