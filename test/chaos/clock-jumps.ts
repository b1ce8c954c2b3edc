// The machine's wall clock jumps under the running process, an hour back and a day forward, and
// back by a day while it is down. Its monotonic clock goes on, as on a real machine.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type AttackLine, faultsOf, figuresOf } from './attack.ts'
import { needProgram } from './need-program.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface ClockJumpsResult {
  readonly verdict: Verdict
  readonly partner: Partner
  /** Wall time of the runtime against ours after each jump, in seconds. */
  readonly offSeconds: readonly number[]
  readonly recoveryMs: number
}

const HOUR_S = 3_600
const JUMPS_S = [0, -HOUR_S, 24 * HOUR_S] as const

export const runClockJumps = async (options: {
  readonly folder: string
  readonly seed: number
  readonly loadMs: number
}): Promise<ClockJumpsResult> => {
  const { folder, seed, loadMs } = options
  const dataDir = join(folder, 'data')
  const clock = join(folder, 'clock')
  const offSeconds: number[] = []
  let offS = 0
  const partner = createPartner({
    random: createRandom(seed),
    giveUpShare: 0,
    clockOffMs: () => offS * 1_000,
  })
  writeFileSync(clock, '+0s')
  const start = { dataDir, integration: ROUGH_ORDERS }
  let runtime = await startRuntime({ ...start, env: fakeClock(clock) })
  try {
    for (offS of JUMPS_S) {
      // Retries and the work of the load before are still under way.
      writeFileSync(clock, `${offS < 0 ? '-' : '+'}${Math.abs(offS)}s`)
      offSeconds.push(Math.round(((await serverTimeMs(runtime)) - Date.now()) / 1_000))
      await loadFor(partner, runtime, loadMs)
    }
    await runtime.kill()
    offS = 0
    runtime = await startRuntime(start)
    await loadFor(partner, runtime, loadMs)
    await partner.finish(`${runtime.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime, dataDir, settleMsMax: 20_000 })
    return { verdict, partner, offSeconds, recoveryMs: runtime.startMs }
  } finally {
    await runtime.kill()
  }
}

export const describeClockJumps = (result: ClockJumpsResult): AttackLine => ({
  what: 'wall clock back an hour, forward a day, and back while it is down',
  figures: figuresOf(result.verdict),
  recovery: `${Math.round(result.recoveryMs)} ms`,
  faults: faultsOf(result.verdict, result.partner),
})

async function loadFor(partner: Partner, runtime: RuntimeProcess, loadMs: number): Promise<void> {
  const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 8)
  await delay(loadMs)
  await load.stop()
}

/** The library that the program loads, read anew at every look at the clock. */
function fakeClock(file: string): Readonly<Record<string, string>> {
  needProgram('faketime', 'faketime')
  const asked = spawnSync('faketime', ['-f', '+0s', 'printenv', 'LD_PRELOAD'])
  return {
    LD_PRELOAD: asked.stdout.toString().trim(),
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  }
}

/** What the process takes for the time, by the header of an answer. */
async function serverTimeMs(runtime: RuntimeProcess): Promise<number> {
  // Node makes the header once a second.
  await delay(1_100)
  const response = await fetch(`${runtime.managementUrl}/readyz`)
  await response.text()
  return Date.parse(response.headers.get('date') ?? '')
}
