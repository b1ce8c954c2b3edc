// A disk whose every sync takes longer, up to what a dying one or an overloaded volume needs.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type AttackLine, faultsOf, figuresOf } from './attack.ts'
import { createPartner } from './partner.ts'
import { memoryMiB } from './process-memory.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, startRuntime } from './runtime-process.ts'
import { readTrace, slowSyncArguments } from './strace.ts'
import { judge, type Verdict } from './verdict.ts'

export const SYNC_DELAYS_MS = [0, 1, 5, 200] as const

export interface SlowDiskResult {
  readonly verdict: Verdict
  readonly delayMs: number
  readonly syncs: number
  /** Acknowledged in a second. */
  readonly rate: number
  /** From sending to the answer. */
  readonly ackMsP99: number
  readonly memoryMiBMax: number
  readonly faults: readonly string[]
}

const CONNECTIONS = 32
const START_MS_MAX = 60_000

export const runSlowDisk = async (options: {
  readonly folder: string
  readonly seed: number
  readonly delayMs: number
  readonly loadMs: number
}): Promise<SlowDiskResult> => {
  const { folder, seed, delayMs, loadMs } = options
  const dataDir = join(folder, 'data')
  const trace = join(folder, 'trace')
  const partner = createPartner({ random: createRandom(seed), giveUpShare: 0 })
  const runtime = await startRuntime({
    dataDir,
    integration: ROUGH_ORDERS,
    wrapper: slowSyncArguments(trace, delayMs),
    readyMsMax: START_MS_MAX,
  })
  try {
    const load = partner.startLoad(`${runtime.url}/webhooks/acme`, CONNECTIONS)
    await delay(loadMs)
    await load.stop()
    const acked = partner.messages.filter(({ ackedMs }) => ackedMs !== undefined)
    const waits = acked
      .map(({ firstSentMs = 0, ackedMs = 0 }) => ackedMs - firstSentMs)
      .toSorted((one, other) => one - other)
    await partner.finish(`${runtime.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime, dataDir })
    const memoryMiBMax = memoryMiB(runtime.pid).peak
    await runtime.kill()
    return {
      verdict,
      delayMs,
      syncs: (await readTrace(trace)).length,
      rate: Math.round((acked.length * 1_000) / loadMs),
      ackMsP99: Math.round(waits[Math.floor(waits.length * 0.99)] ?? 0),
      memoryMiBMax,
      faults: faultsOf(verdict, partner),
    }
  } finally {
    await runtime.kill()
  }
}

export const describeSlowDisk = (result: SlowDiskResult): AttackLine => ({
  what: `disk with ${result.delayMs} ms more for each sync`,
  figures: figuresOf(result.verdict),
  recovery:
    `${result.rate} acknowledged a second, 99 % within ${result.ackMsP99} ms, ` +
    `${result.memoryMiBMax} MiB`,
  faults: result.faults,
})
