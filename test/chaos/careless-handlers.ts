// Handlers that block the loop, and handlers that leak until the process is out of memory, with a
// supervisor that starts it again.
import { setTimeout as delay } from 'node:timers/promises'
import { type AttackLine, faultsOf, figuresOf, spread } from './attack.ts'
import { createPartner, type OrderPrefix } from './partner.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface CarelessResult {
  readonly prefix: OrderPrefix
  readonly verdict: Verdict
  /** Processes it took. */
  readonly lives: number
  readonly recoveryMs: readonly number[]
  /** The worst lag of the loop that the metrics told, in seconds. */
  readonly lagSecondsMax: number
  readonly faults: readonly string[]
}

const MESSAGES = 120
const KEYS = 20
const LIVES_MAX = 30
const LIFE_MS_MAX = 60_000
/** A few leaks or so; what the process needs for itself is half of it. */
const HEAP_MIB = 96

export const runCareless = async (options: {
  readonly dataDir: string
  readonly seed: number
  readonly prefix: 'BLOCK' | 'LEAK'
}): Promise<CarelessResult> => {
  const { dataDir, seed, prefix } = options
  const partner = createPartner({
    random: createRandom(seed),
    giveUpShare: 0,
    keys: KEYS,
    prefixOf: (order) => (order % KEYS === 3 ? prefix : 'A'),
  })
  const recoveryMs: number[] = []
  let lagSecondsMax = 0
  for (let lives = 1; lives <= LIVES_MAX; lives++) {
    const runtime = await startRuntime({
      dataDir,
      integration: ROUGH_ORDERS,
      env: prefix === 'LEAK' ? { NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` } : {},
    }).catch(() => undefined)
    // It ran out of memory while it recovered: the next one goes on from there.
    if (!runtime) continue
    recoveryMs.push(runtime.startMs)
    const died = runtime.ended.then(() => undefined)
    try {
      const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 4, MESSAGES)
      const watched = watchLag(runtime, (lag) => (lagSecondsMax = Math.max(lagSecondsMax, lag)))
      await Promise.race([died, load.ended])
      await load.stop()
      await Promise.race([died, partner.finish(`${runtime.url}/webhooks/acme`)])
      const judging = judge({ partner, runtime, dataDir, settleMsMax: LIFE_MS_MAX })
      const verdict = await Promise.race([died, judging.catch(() => undefined)])
      watched.stop()
      if (!verdict) continue
      return {
        prefix,
        verdict,
        lives,
        recoveryMs,
        lagSecondsMax,
        faults: faultsOf(verdict, partner),
      }
    } finally {
      await runtime.kill()
    }
  }
  throw new Error(`the process was still dying after ${LIVES_MAX} starts`)
}

export const describeCareless = (result: CarelessResult): AttackLine => ({
  what:
    result.prefix === 'BLOCK'
      ? 'handlers that block the loop for 1.2 s'
      : 'handlers that leak until the process is out of memory',
  figures: figuresOf(result.verdict),
  recovery:
    `${spread(result.recoveryMs)}; ${result.lives} starts, ` +
    `${result.lagSecondsMax.toFixed(1)} s of lag told`,
  faults: result.faults,
})

const LAG = /^junctura_event_loop_lag_seconds\{percentile="max"\} ([\d.e+-]+)/m

function watchLag(runtime: RuntimeProcess, note: (lagSeconds: number) => void) {
  let isOver = false
  const watch = async (): Promise<void> => {
    while (!isOver) {
      const answer = await fetch(`${runtime.managementUrl}/metrics`).catch(() => undefined)
      const page = await answer?.text().catch(() => undefined)
      if (page !== undefined) note(Number(LAG.exec(page)?.[1] ?? 0))
      await delay(200)
    }
  }
  void watch()
  return { stop: (): void => void (isOver = true) }
}
