// Load at seven tenths of what the process can take, for a long time: memory has to stay flat, but
// for the idempotency keys that it is there to remember.
import { setTimeout as delay } from 'node:timers/promises'
import { type AttackLine, faultsOf, figuresOf } from './attack.ts'
import { createPartner, type Partner } from './partner.ts'
import { memoryMiB } from './process-memory.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface SoakResult {
  readonly verdict: Verdict
  readonly partner: Partner
  readonly seconds: number
  readonly perSecond: number
  /** Medians of the second and of the last quarter of the time. */
  readonly memoryMiBEarly: number
  readonly memoryMiBLate: number
  readonly faults: readonly string[]
}

const SATURATION_MS = 5_000
const SHARE = 0.7
const CONNECTIONS = 16
/** Two keys of each message, that of the sender and that of the fact, with their table. */
const BYTES_PER_MESSAGE = 400
const SLACK_MIB = 40
const HEAP_MIB = 192

export const runSoak = async (options: {
  readonly dataDir: string
  readonly seed: number
  readonly seconds: number
}): Promise<SoakResult> => {
  const { dataDir, seed, seconds } = options
  let perSecond = Infinity
  const random = createRandom(seed)
  const partner = createPartner({ random, giveUpShare: 0, perSecondMax: () => perSecond })
  const runtime = await startRuntime({
    dataDir,
    integration: ROUGH_ORDERS,
    // As in a small container: without a bound the engine would rather grow than collect.
    env: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` },
  })
  const url = `${runtime.url}/webhooks/acme`
  try {
    const load = partner.startLoad(url, CONNECTIONS)
    await delay(SATURATION_MS)
    perSecond = Math.floor((partner.counts.requests * SHARE * 1_000) / SATURATION_MS)
    const memory: number[] = []
    for (let second = 0; second < seconds; second++) {
      await delay(1_000)
      memory.push(memoryMiB(runtime.pid).now)
    }
    await load.stop()
    await partner.finish(url)
    const verdict = await judge({ partner, runtime, dataDir })
    const quarter = Math.floor(memory.length / 4)
    const memoryMiBEarly = median(memory.slice(quarter, quarter * 2))
    const memoryMiBLate = median(memory.slice(-quarter))
    const faults = [...faultsOf(verdict, partner)]
    const keysMiB = (verdict.acknowledged * BYTES_PER_MESSAGE) / 1_048_576
    if (memoryMiBLate > memoryMiBEarly + SLACK_MIB + keysMiB) {
      faults.push(`memory grew from ${memoryMiBEarly} to ${memoryMiBLate} MiB`)
    }
    return { verdict, partner, seconds, perSecond, memoryMiBEarly, memoryMiBLate, faults }
  } finally {
    await runtime.kill()
  }
}

export const describeSoak = (result: SoakResult): AttackLine => ({
  what: 'soak at 70 % of saturation',
  figures: figuresOf(result.verdict),
  recovery:
    `${result.seconds} s at ${result.perSecond} a second; memory ` +
    `${result.memoryMiBEarly} MiB early, ${result.memoryMiBLate} MiB late`,
  faults: result.faults,
})

const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
