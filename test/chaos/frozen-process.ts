// SIGSTOP under load, as a paused machine or a debugger does it, then SIGCONT: to the process no
// time has passed, to everybody else a lot.
import { setTimeout as delay } from 'node:timers/promises'
import { type AttackLine, faultsOf, figuresOf } from './attack.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, runCommandLine, startArguments, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface FrozenResult {
  readonly verdict: Verdict
  readonly partner: Partner
  readonly frozenMs: number
  /** What a second process on the same directory said meanwhile. */
  readonly refusal: string
  /** From SIGCONT to the next 202. */
  readonly recoveryMs: number
}

const LOAD_MS = 800
const RECOVERY_MS_MAX = 20_000

export const runFrozen = async (options: {
  readonly dataDir: string
  readonly seed: number
  readonly frozenMs: number
}): Promise<FrozenResult> => {
  const { dataDir, seed, frozenMs } = options
  const partner = createPartner({ random: createRandom(seed), giveUpShare: 0 })
  const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  try {
    const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 8)
    await delay(LOAD_MS)
    process.kill(runtime.pid, 'SIGSTOP')
    const [{ output }] = await Promise.all([
      runCommandLine(startArguments({ dataDir, integration: ROUGH_ORDERS })),
      delay(frozenMs),
    ])
    const before = partner.counts.accepted
    process.kill(runtime.pid, 'SIGCONT')
    const fromMs = performance.now()
    while (partner.counts.accepted === before && performance.now() - fromMs < RECOVERY_MS_MAX) {
      await delay(5)
    }
    const recoveryMs = Math.round(performance.now() - fromMs)
    await delay(LOAD_MS)
    await load.stop()
    await partner.finish(`${runtime.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime, dataDir })
    return { verdict, partner, frozenMs, refusal: output, recoveryMs }
  } finally {
    await runtime.kill()
  }
}

export const describeFrozen = (result: FrozenResult): AttackLine => ({
  what: 'SIGSTOP under load, then SIGCONT',
  figures: figuresOf(result.verdict),
  recovery: `${result.recoveryMs} ms after ${result.frozenMs / 1_000} s`,
  faults: [
    ...faultsOf(result.verdict, result.partner),
    ...(result.refusal.includes('JUNCTURA_STORE_LOCKED')
      ? []
      : [`a second process was not kept out: ${result.refusal}`]),
  ],
})
