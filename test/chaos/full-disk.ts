// A disk that fills up under load, and gets room again, while the runtime goes on.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Overview } from 'junctura'
import { createPartner, type Partner, type PartnerCounts } from './partner.ts'
import { createRandom } from './random.ts'
import { type RuntimeProcess, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface FullDiskResult {
  readonly verdict: Verdict
  readonly partner: Partner
  /** What was answered until the disk was full, while it was, and afterwards. */
  readonly whileFull: PartnerCounts
  readonly afterwards: PartnerCounts
  /** What the management API said while the disk was full. */
  readonly statusWhileFull: Overview['status']
  readonly readyWhileFull: number
  /** From the moment there was room to the next 202. */
  readonly recoveryMs: number
}

const FULL_MS_MAX = 40_000

export const runFullDisk = async (options: {
  readonly dataDir: string
  readonly wrapper: readonly string[]
  readonly seed: number
}): Promise<FullDiskResult> => {
  const { dataDir, wrapper, seed } = options
  const partner = createPartner({ random: createRandom(seed), giveUpShare: 0 })
  const runtime = await startRuntime({ dataDir, wrapper })
  try {
    // Only inside its namespace is the disk to be seen; this is the way in.
    const inside = join(`/proc/${runtime.pid}/root`, dataDir)
    const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 8)
    await until(() => partner.counts.unavailable >= 20, FULL_MS_MAX)
    const atFull = { ...partner.counts }
    await delay(1_000)
    const statusWhileFull = (await runtime.get<Overview>('/api/v1/overview')).status
    const readyWhileFull = (await fetch(`${runtime.managementUrl}/readyz`)).status
    const atRelief = { ...partner.counts }
    rmSync(join(inside, 'ballast'))
    const fromMs = performance.now()
    await until(() => partner.counts.accepted > atRelief.accepted, FULL_MS_MAX)
    const recoveryMs = Math.round(performance.now() - fromMs)
    await delay(1_000)
    await load.stop()
    await partner.finish(`${runtime.url}/webhooks/acme`)
    await untilQuiet(runtime)
    const copy = copyOf(inside)
    const verdict = await judge({ partner, runtime, dataDir: copy })
    rmSync(copy, { recursive: true })
    return {
      verdict,
      partner,
      whileFull: difference(atRelief, atFull),
      afterwards: difference(partner.counts, atRelief),
      statusWhileFull,
      readyWhileFull,
      recoveryMs,
    }
  } finally {
    await end(runtime)
  }
}

/** SQLite follows the link out of the namespace again; a copy of its files stands outside. */
function copyOf(inside: string): string {
  const outside = mkdtempSync(join(tmpdir(), 'junctura-full-disk-'))
  for (const name of ['junctura.db', 'junctura.db-wal']) {
    copyFileSync(join(inside, name), join(outside, name))
  }
  return outside
}

async function untilQuiet(runtime: RuntimeProcess): Promise<void> {
  const deadlineMs = performance.now() + FULL_MS_MAX
  while (performance.now() < deadlineMs) {
    const { consumers } = await runtime.get<Overview>('/api/v1/overview')
    if (consumers.every((one) => one.lag === 0 && one.retrying === 0)) return
    await delay(250)
  }
}

async function end(runtime: RuntimeProcess): Promise<void> {
  await Promise.race([runtime.terminate(), delay(15_000)])
  await runtime.kill()
}

async function until(isTrue: () => boolean, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  while (!isTrue()) {
    if (performance.now() > deadlineMs)
      throw new Error(`not within ${timeoutMs} ms: ${isTrue.toString()}`)
    await delay(20)
  }
}

const difference = (later: PartnerCounts, earlier: PartnerCounts): PartnerCounts => ({
  requests: later.requests - earlier.requests,
  accepted: later.accepted - earlier.accepted,
  duplicates: later.duplicates - earlier.duplicates,
  refused: later.refused - earlier.refused,
  broken: later.broken - earlier.broken,
  unavailable: later.unavailable - earlier.unavailable,
})
