// A disk that turns read-only under load, as the kernel makes it after an error; a start while it
// is; and one after it was mended.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type AttackLine, faultsOf, figuresOf } from './attack.ts'
import { createPartner } from './partner.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, runCommandLine, startArguments, startRuntime } from './runtime-process.ts'
import { readOnlyDisk } from './small-disk.ts'
import { injectArguments } from './strace.ts'
import { judge, type Verdict } from './verdict.ts'

export interface ReadOnlyResult {
  readonly verdict: Verdict
  /** How the process ended that saw the disk turn; undefined when it went on and refused. */
  readonly end: string | undefined
  /** What a start said on the disk while it was read-only, and how it ended. */
  readonly refusal: { readonly code: number | null; readonly output: string }
  readonly recoveryMs: number
  readonly faults: readonly string[]
}

/** Writes to the store before the disk turns: all of a start, and some of the load. */
const WRITES = 600
const LOAD_MS_MAX = 10_000

export const runReadOnlyDisk = async (options: {
  readonly folder: string
  readonly seed: number
}): Promise<ReadOnlyResult> => {
  const { folder, seed } = options
  const dataDir = join(folder, 'data')
  const partner = createPartner({ random: createRandom(seed), giveUpShare: 0 })
  const onWrites = { call: 'pwrite64', n: WRITES, injection: 'EROFS', isForGood: true } as const
  const first = await startRuntime({
    dataDir,
    integration: ROUGH_ORDERS,
    wrapper: injectArguments(join(folder, 'trace'), onWrites),
  })
  const load = partner.startLoad(`${first.url}/webhooks/acme`, 8)
  const died = first.ended.then(({ code, signal }) => signal ?? `exit ${code}`)
  await Promise.race([died, until(() => partner.counts.unavailable > 50)])
  await load.stop()
  const end = await Promise.race([died, delay(0, undefined)])
  await first.kill()
  const mounted = join(folder, 'disk')
  const arguments_ = startArguments({ dataDir: mounted, integration: ROUGH_ORDERS })
  const refusal = await runCommandLine(arguments_, readOnlyDisk(mounted, dataDir))
  const second = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  try {
    await partner.finish(`${second.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime: second, dataDir })
    const faults = [...faultsOf(verdict, partner), ...faultsOfRefusal(refusal, mounted)]
    return { verdict, end, refusal, recoveryMs: second.startMs, faults }
  } finally {
    await second.kill()
  }
}

export const describeReadOnly = (result: ReadOnlyResult): AttackLine => ({
  what: 'disk turns read-only under load, then is mended',
  figures: figuresOf(result.verdict),
  recovery: `${Math.round(result.recoveryMs)} ms; met it: ${result.end ?? 'answered 503'}`,
  faults: result.faults,
})

function faultsOfRefusal(
  { code, output }: ReadOnlyResult['refusal'],
  folder: string,
): readonly string[] {
  const isNamed = output.includes(folder) && /JUNCTURA_\w+/.test(output)
  if (code !== 0 && code !== null && isNamed) return []
  return [`a start on a read-only disk ended with ${code} and said: ${output}`]
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + LOAD_MS_MAX
  while (!isTrue() && performance.now() < deadlineMs) await delay(20)
}
