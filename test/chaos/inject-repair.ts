// A repair that is cut short, or whose n-th rename, sync, unlink or write fails, for every n; then
// a second one that nobody disturbs. What the first could read, the second must not have lost.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type AttackLine,
  type Figures,
  faultsOf,
  figuresOf,
  runAtOnce,
  spread,
  sumFigures,
} from './attack.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, runCommandLine, startRuntime } from './runtime-process.ts'
import {
  injectArguments,
  type InjectionCase,
  INJECTIONS,
  nameOf,
  readTrace,
  traceArguments,
} from './strace.ts'
import { judge } from './verdict.ts'

export interface DamagedStore {
  readonly folder: string
  readonly partner: Partner
  /** How often a repair makes each call. */
  readonly counts: ReadonlyMap<string, number>
}

export interface RepairResult extends InjectionCase {
  readonly wasMet: boolean
  readonly figures: Figures
  readonly faults: readonly string[]
  readonly recoveryMs: number
}

const CALLS = ['rename', 'fsync', 'fdatasync', 'unlink', 'pwrite64'] as const
const MESSAGES = 30

/** A store whose first bytes are gone: a start refuses it, and a repair loses nothing. */
export const makeDamagedStore = async (folder: string): Promise<DamagedStore> => {
  const dataDir = join(folder, 'damaged')
  const partner = createPartner({ random: createRandom(3), prefixOf: () => 'A' })
  const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  const url = `${runtime.url}/webhooks/acme`
  await partner.startLoad(url, 8, MESSAGES).ended
  await judge({ partner, runtime, dataDir })
  await runtime.terminate()
  const file = join(dataDir, 'junctura.db')
  const bytes = readFileSync(file)
  writeFileSync(file, bytes.fill(0xff, 0, 64))
  return { folder, partner, counts: await countCalls(folder, dataDir) }
}

async function countCalls(folder: string, dataDir: string): Promise<ReadonlyMap<string, number>> {
  const trial = join(folder, 'trial')
  const trace = join(folder, 'trace')
  cpSync(dataDir, trial, { recursive: true })
  await runCommandLine(repairArguments(trial), traceArguments(trace, CALLS))
  const made = await readTrace(trace)
  return new Map(CALLS.map((call) => [call, made.filter((one) => one.call === call).length]))
}

/** Every rename, sync and unlink with every fault, and every so many of the writes. */
export const listRepairCases = (
  counts: ReadonlyMap<string, number>,
  writeStep: number,
): InjectionCase[] =>
  [...counts].flatMap(([call, count]) =>
    Array.from({ length: count }, (_, index) => index + 1)
      .filter((n) => call !== 'pwrite64' || n % writeStep === 0)
      .flatMap((n) => INJECTIONS.map((injection) => ({ call, n, injection }))),
  )

export const runRepairs = (
  store: DamagedStore,
  cases: readonly InjectionCase[],
  places: number,
): Promise<readonly RepairResult[]> => runAtOnce(cases, places, (one) => runRepair(store, one))

async function runRepair(store: DamagedStore, one: InjectionCase): Promise<RepairResult> {
  const folder = mkdtempSync(join(tmpdir(), 'junctura-repair-'))
  const dataDir = join(folder, 'data')
  const trace = join(folder, 'trace')
  const faults: string[] = []
  try {
    cpSync(join(store.folder, 'damaged'), dataDir, { recursive: true })
    const first = await runCommandLine(repairArguments(dataDir), injectArguments(trace, one))
    const wasMet = (await readTrace(trace)).some(({ isInjected }) => isInjected)
    // A repair that was disturbed may have been over already; one that says so must be.
    const second = await runCommandLine(repairArguments(dataDir))
    if (second.code !== 0) faults.push(`the second repair ended with ${second.output}`)
    if (wasMet && first.code !== 0 && first.code !== null && !/JUNCTURA_/.test(first.output)) {
      faults.push(`the first repair failed without a code: ${first.output}`)
    }
    const { verdict, startMs } = await startAndJudge(store, dataDir).catch((error: unknown) => {
      faults.push(`${String(error)} after a repair that said: ${second.output}`)
      return { verdict: undefined, startMs: 0 }
    })
    if (verdict) faults.push(...faultsOf(verdict, store.partner))
    return {
      ...one,
      wasMet,
      figures: verdict ? figuresOf(verdict) : sumFigures([]),
      faults: faults.map((fault) => `${nameOf(one)} of a repair: ${fault}`),
      recoveryMs: startMs,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function startAndJudge({ partner }: DamagedStore, dataDir: string) {
  const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  try {
    return { verdict: await judge({ partner, runtime, dataDir }), startMs: runtime.startMs }
  } finally {
    await runtime.kill()
  }
}

export const describeRepairs = (results: readonly RepairResult[]): AttackLine => {
  const recovery = spread(results.map(({ recoveryMs }) => recoveryMs))
  const met = results.filter(({ wasMet }) => wasMet).length
  return {
    what: 'SIGKILL, EIO, ENOSPC at every rename, sync and unlink of a repair, and some writes',
    figures: sumFigures(results.map(({ figures }) => figures)),
    recovery: `${recovery}; met ${met} times`,
    faults: results.flatMap(({ faults }) => faults),
  }
}

const repairArguments = (dataDir: string): readonly string[] => [
  'doctor',
  '--data',
  dataDir,
  '--repair',
  '--yes',
  '--port',
  '0',
  '--management-port',
  '0',
]
