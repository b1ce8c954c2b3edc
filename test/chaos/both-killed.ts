// kill -9 of the partner and of the runtime at one moment, again and again: the answer that was on
// its way is lost on both sides, and neither remembers more than what it wrote down.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type AttackLine, faultsOf, figuresOf, spread } from './attack.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface BothKilledResult {
  readonly verdict: Verdict
  readonly partner: Partner
  readonly recoveryMs: readonly number[]
}

const PARTNER = join(import.meta.dirname, 'partner-process.ts')
/** Counted from the first that the partner writes down: its own start takes a while. */
const LOAD_MS_MAX = 800
const START_MS_MAX = 20_000

export const runBothKilled = async (options: {
  readonly folder: string
  readonly seed: number
  readonly rounds: number
}): Promise<BothKilledResult> => {
  const { folder, seed, rounds } = options
  const dataDir = join(folder, 'data')
  const journal = join(folder, 'partner.jsonl')
  const random = createRandom(seed)
  const recoveryMs: number[] = []
  for (let round = 0; round < rounds; round++) {
    const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
    recoveryMs.push(runtime.startMs)
    const before = sizeOf(journal)
    const partner = startPartner(journal, runtime, `${seed + round}`)
    const deadlineMs = performance.now() + START_MS_MAX
    while (sizeOf(journal) === before && performance.now() < deadlineMs) await delay(5)
    await delay(random.between(0, LOAD_MS_MAX))
    process.kill(partner.pid ?? 0, 'SIGKILL')
    await Promise.all([runtime.kill(), once(partner, 'close')])
  }
  const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  try {
    const partner = createPartner({ random, giveUpShare: 0, journal })
    await partner.finish(`${runtime.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime, dataDir })
    return { verdict, partner, recoveryMs: [...recoveryMs, runtime.startMs] }
  } finally {
    await runtime.kill()
  }
}

export const describeBothKilled = (result: BothKilledResult): AttackLine => ({
  what: 'kill -9 of partner and runtime together',
  figures: figuresOf(result.verdict),
  recovery: `${spread(result.recoveryMs)}; ${result.recoveryMs.length - 1} rounds`,
  faults: faultsOf(result.verdict, result.partner),
})

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0

const startPartner = (journal: string, runtime: RuntimeProcess, seed: string) =>
  spawn(process.execPath, [PARTNER, journal, `${runtime.url}/webhooks/acme`, seed, '8'], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
