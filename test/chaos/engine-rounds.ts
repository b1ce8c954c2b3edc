// A broker as the transport, and everything that happens to brokers: it is killed, stopped, frozen,
// emptied, and its network is cut, slowed and swallowed, at random moments under load.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import type { Overview } from 'junctura'
import { type ProxiedEngine, startProxiedEngine } from '../engines/engine.ts'
import type { EngineName } from '../engines/engine-instance.ts'
import { type AttackLine, faultsOf, figuresOf, spread } from './attack.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom, type Random } from './random.ts'
import { ROUGH_ORDERS, type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export type BrokerName = Exclude<EngineName, 'postgres15' | 'postgres18'>

export type FaultName = 'kill' | 'restart' | 'pause' | 'wipe' | 'cut' | 'slow' | 'blackhole'

/** What befalls an engine; when it resolves, the engine is well again. */
type Fault = (engine: ProxiedEngine, random: Random) => Promise<void>

const FAULTS: Readonly<Record<FaultName, Fault>> = {
  kill: async (engine, random) => {
    await engine.kill()
    await delay(random.between(0, 2_000))
    await engine.restart()
  },
  restart: (engine) => engine.restart(),
  pause: async (engine, random) => {
    await engine.pause()
    await delay(random.between(500, 4_000))
    await engine.resume()
  },
  wipe: (engine) => engine.wipe(),
  cut: async ({ proxy }, random) => {
    await proxy.cut()
    await delay(random.between(0, 3_000))
    await proxy.heal()
  },
  slow: async ({ proxy }, random) => {
    proxy.slow({ delayMs: random.between(10, 200), bytesPerSecond: 100_000 })
    await delay(3_000)
    await proxy.heal()
  },
  blackhole: async ({ proxy }, random) => {
    proxy.blackhole()
    await delay(random.between(500, 4_000))
    await proxy.heal()
  },
}

export const FAULT_NAMES: readonly FaultName[] = [
  'kill',
  'restart',
  'pause',
  'wipe',
  'cut',
  'slow',
  'blackhole',
]

export interface EngineRoundsOptions {
  readonly engine: BrokerName
  readonly faults: readonly FaultName[]
  readonly rounds: number
  readonly dataDir: string
  readonly seed: number
  readonly connections: number
  readonly perSecond: number
}

export interface EngineRoundsResult {
  readonly engine: BrokerName
  readonly verdict: Verdict
  readonly partner: Partner
  /** From the moment the engine is well until all that was taken before it has its effects. */
  readonly effectsMs: Readonly<Record<string, readonly number[]>>
  /** From then until the runtime has the engine again and has published everything to it. */
  readonly carriesMs: Readonly<Record<string, readonly number[]>>
  /** What should not have been, one sentence each. */
  readonly complaints: readonly string[]
}

/** One process of ours that is never touched: it recovers by itself, or not. */
export const runEngineRounds = async (
  options: EngineRoundsOptions,
): Promise<EngineRoundsResult> => {
  const { engine: name, dataDir, seed, rounds, faults } = options
  const random = createRandom(seed)
  const partner = createPartner({ random, perSecondMax: () => options.perSecond })
  const effectsMs: Record<string, number[]> = {}
  const carriesMs: Record<string, number[]> = {}
  const complaints: string[] = []
  const engine = await startProxiedEngine(name)
  let runtime: RuntimeProcess | undefined
  try {
    const more = ['--transport', engine.url]
    runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS, more })
    const url = `${runtime.url}/webhooks/acme`
    for (let round = 0; round < rounds; round++) {
      for (const fault of faults) {
        const load = partner.startLoad(url, options.connections)
        await delay(random.between(200, 1_500))
        const acceptedBefore = partner.counts.accepted
        await FAULTS[fault](engine, random)
        if (partner.counts.accepted === acceptedBefore) complaints.push(`${fault}: none was taken`)
        const wellMs = performance.now()
        const effects = await waitForEffects(partner, dataDir)
        await load.stop()
        const carries = await waitForTransport(runtime, name)
        const late = `in ${RECOVERY_MS_MAX} ms`
        if (effects) (effectsMs[fault] ??= []).push(effects - wellMs)
        else complaints.push(`${fault}: not everything was done ${late}`)
        if (carries) (carriesMs[fault] ??= []).push(carries - wellMs)
        else complaints.push(`${fault}: the engine was not in use again ${late}`)
      }
    }
    await partner.finish(url)
    const verdict = await judge({ partner, runtime, dataDir })
    await runtime.terminate()
    return { engine: name, verdict, partner, effectsMs, carriesMs, complaints }
  } finally {
    await runtime?.kill()
    await engine.stop()
  }
}

export const describeEngineRounds = (result: EngineRoundsResult): readonly AttackLine[] =>
  Object.entries(result.effectsMs).map(([fault, ms], index) => ({
    what: `${result.engine} as transport: ${fault}`,
    // They share one run, so its figures stand once.
    ...(index === 0 && { figures: figuresOf(result.verdict) }),
    recovery:
      `effects ${spread(ms)}; engine in use again ${spread(result.carriesMs[fault] ?? [])}; ` +
      `${ms.length} rounds`,
    faults: index === 0 ? [...faultsOf(result.verdict, result.partner), ...result.complaints] : [],
  }))

const RECOVERY_MS_MAX = 60_000

/** When each message that is acknowledged by now has its effect in a consumer that never fails. */
async function waitForEffects(partner: Partner, dataDir: string): Promise<number | undefined> {
  const fromMs = performance.now()
  const open = new Set<string>()
  for (const { messageId } of partner.messages) if (messageId !== undefined) open.add(messageId)
  const db = new DatabaseSync(join(dataDir, 'junctura.db'), { readOnly: true, timeout: 10_000 })
  try {
    const query = db.prepare(
      `select seq, message_id from order_effects where consumer = 'warehouse' and seq > ?`,
    )
    let seq = 0
    while (performance.now() < fromMs + RECOVERY_MS_MAX) {
      for (const row of query.all(seq)) {
        seq = Math.max(seq, Number(row['seq']))
        open.delete(String(row['message_id']))
      }
      if (open.size === 0) return performance.now()
      await delay(20)
    }
    return undefined
  } finally {
    db.close()
  }
}

/** When the runtime says that it talks to the engine and keeps nothing back from it. */
async function waitForTransport(
  runtime: RuntimeProcess,
  engine: BrokerName,
): Promise<number | undefined> {
  const fromMs = performance.now()
  while (performance.now() < fromMs + RECOVERY_MS_MAX) {
    const { transport } = await runtime.get<Overview>('/api/v1/overview')
    if (transport.engine !== engine) throw new Error(`the transport is ${transport.engine}`)
    if (transport.connected === true && transport.unpublished === 0) return performance.now()
    await delay(50)
  }
  return undefined
}
