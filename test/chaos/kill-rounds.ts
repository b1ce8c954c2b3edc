// kill -9 at random moments under load, again and again on one directory.
import { setTimeout as delay } from 'node:timers/promises'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { killWhileStarting, type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface KillRoundsOptions {
  readonly dataDir: string
  readonly seed: number
  readonly rounds: number
  /** Load before the kill, at most. */
  readonly loadMsMax: number
  readonly connections: number
}

export interface KillRoundsResult {
  readonly verdict: Verdict
  readonly partner: Partner
  /** From the start of each process after a kill to the line that says it takes messages. */
  readonly recoveryMs: readonly number[]
}

export const runKillRounds = async (options: KillRoundsOptions): Promise<KillRoundsResult> => {
  const { dataDir, seed, rounds, loadMsMax, connections } = options
  const random = createRandom(seed)
  const partner = createPartner({ random })
  const recoveryMs: number[] = []
  let runtime: RuntimeProcess | undefined
  try {
    runtime = await startRuntime({ dataDir })
    for (let round = 0; round < rounds; round++) {
      const load = partner.startLoad(`${runtime.url}/webhooks/acme`, connections)
      await delay(random.between(50, loadMsMax))
      await runtime.kill()
      await load.stop()
      // One that dies while it recovers leaves the same work to the next.
      if (random.chance(0.2)) await killWhileStarting({ dataDir }, random.between(50, 600))
      runtime = await startRuntime({ dataDir })
      recoveryMs.push(Math.round(runtime.startMs))
    }
    await partner.finish(`${runtime.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime, dataDir })
    await runtime.terminate()
    return { verdict, partner, recoveryMs }
  } finally {
    await runtime?.kill()
  }
}

export const describeRounds = ({ verdict, partner, recoveryMs }: KillRoundsResult): string => {
  const { acknowledged, effects, lost, doubled, outOfOrder, deadLetters, parked } = verdict
  const { duplicates, refused, broken } = partner.counts
  const worst = Math.max(0, ...recoveryMs)
  return [
    `acknowledged ${acknowledged}, effects ${effects}`,
    `lost ${lost.length}, doubled ${doubled.length}, out of order ${outOfOrder.length}`,
    `dead letters ${deadLetters} with ${parked} parked behind them`,
    `duplicates answered ${duplicates}, refused ${refused}, broken ${broken}`,
    `recovery ms ${recoveryMs.join(' ')} (worst ${worst})`,
  ].join('; ')
}
