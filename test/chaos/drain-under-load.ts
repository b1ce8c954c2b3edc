// SIGTERM under load, then a start on the same directory to see that nothing is missing.
import { setTimeout as delay } from 'node:timers/promises'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { type Ended, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface DrainOptions {
  readonly dataDir: string
  readonly seed: number
  readonly loadMs: number
  readonly connections: number
}

export interface DrainResult {
  readonly verdict: Verdict
  readonly partner: Partner
  readonly end: Ended & { readonly drainMs: number }
  /** Connections that broke before their answer, when the process was asked to leave. */
  readonly broken: number
  /** Answers of 503 on the way out: the sender keeps its message. */
  readonly unavailable: number
}

export const runDrain = async (options: DrainOptions): Promise<DrainResult> => {
  const { dataDir, seed, loadMs, connections } = options
  const partner = createPartner({ random: createRandom(seed), giveUpShare: 0 })
  const first = await startRuntime({ dataDir })
  try {
    const load = partner.startLoad(`${first.url}/webhooks/acme`, connections)
    await delay(loadMs)
    // The load goes on: senders do not know that somebody is leaving.
    const end = await first.terminate()
    await load.stop()
    const { broken, unavailable } = partner.counts
    const second = await startRuntime({ dataDir })
    try {
      await partner.finish(`${second.url}/webhooks/acme`)
      const verdict = await judge({ partner, runtime: second, dataDir })
      return { verdict, partner, end, broken, unavailable }
    } finally {
      await second.terminate()
    }
  } finally {
    await first.kill()
  }
}
