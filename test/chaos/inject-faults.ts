// Every system call that a short run of the runtime makes to keep or to send something, made to
// fail or to be the last one: the n-th, for every n.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Overview } from 'junctura'
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
import { ROUGH_ORDERS, type RuntimeProcess, startRuntime } from './runtime-process.ts'
import {
  type InjectionCase,
  INJECTIONS,
  injectArguments,
  nameOf,
  readTrace,
  traceArguments,
} from './strace.ts'
import { judge } from './verdict.ts'

const CALLS = ['fsync', 'fdatasync', 'pwrite64', 'write', 'writev', 'unlink', 'ftruncate']
export interface InjectionResult extends InjectionCase {
  /** What the call was made on: a file of the store, `socket`, `pipe`; undefined if never made. */
  readonly target: string | undefined
  readonly figures: Figures
  readonly faults: readonly string[]
  /** From the start of the next process to the line that says it takes messages. */
  readonly recoveryMs: number
  /** How the process that met the fault ended by itself; undefined when it went on. */
  readonly end: string | undefined
}

/** Enough that two keys fail, one of them for good, and that lanes hold several messages. */
const MESSAGES = 20
const KEYS = 6
const CONNECTIONS = 10
const READY_MS_MAX = 5_000
const RUN_MS_MAX = 4_000
/** One that answers no more has so long to end by itself. */
const DIE_MS_MAX = 2_000

/** How often each call is made in a run without faults, on the thread that runs JavaScript. */
export const countCalls = async (): Promise<ReadonlyMap<string, number>> =>
  inFolder(async (folder) => {
    const trace = join(folder, 'trace')
    const runtime = await startTraced(join(folder, 'data'), traceArguments(trace, CALLS))
    await useUntilQuiet(newPartner(), runtime)
    await runtime.kill()
    const made = (await readTrace(trace)).filter(({ thread }) => thread === runtime.pid)
    return new Map(CALLS.map((call) => [call, made.filter((one) => one.call === call).length]))
  })

/** Every n of every call, with every fault. */
export const listCases = (counts: ReadonlyMap<string, number>): InjectionCase[] =>
  INJECTIONS.flatMap((injection) =>
    [...counts].flatMap(([call, count]) =>
      Array.from({ length: count }, (_, index) => ({ call, n: index + 1, injection })),
    ),
  )

/** So many of each call, evenly spread over the run, at another n for each fault. */
export const sampleCases = (
  counts: ReadonlyMap<string, number>,
  perCall: number,
): InjectionCase[] => {
  const usual = [...counts].filter(([, count]) => count >= perCall * INJECTIONS.length)
  return INJECTIONS.flatMap((injection, fault) =>
    usual.flatMap(([call, count]) =>
      Array.from({ length: perCall }, (_, index) => {
        const share = (index + (fault + 1) / (INJECTIONS.length + 1)) / perCall
        return { call, n: Math.max(1, Math.floor(share * count)), injection }
      }),
    ),
  )
}

export const runInjections = (
  cases: readonly InjectionCase[],
  places: number,
): Promise<readonly InjectionResult[]> => runAtOnce(cases, places, runInjection)

/** Meets the fault, dies if it has not yet, starts again without it, and is judged. */
export const runInjection = async (one: InjectionCase): Promise<InjectionResult> =>
  inFolder(async (folder) => {
    const dataDir = join(folder, 'data')
    const trace = join(folder, 'trace')
    const partner = newPartner()
    const { end, target } = await meetFault({ partner, dataDir, trace, one })
    const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
    try {
      const load = partner.startLoad(`${runtime.url}/webhooks/acme`, CONNECTIONS, MESSAGES)
      await load.ended
      await partner.finish(`${runtime.url}/webhooks/acme`)
      const verdict = await judge({ partner, runtime, dataDir, settleMsMax: 15_000 })
      const faults = [...faultsOf(verdict, partner), ...faultsOfEnd(one, { target, end })]
      return {
        ...one,
        target,
        figures: figuresOf(verdict),
        faults: faults.map((fault) => `${nameOf(one)}: ${fault}`),
        recoveryMs: runtime.startMs,
        end,
      }
    } finally {
      await runtime.kill()
    }
  })

function faultsOfEnd(one: InjectionCase, { target, end }: Met): readonly string[] {
  if (end !== undefined || !mustEnd(one, target)) return []
  return [`the process went on after it at ${target}`]
}

const newPartner = (): Partner =>
  createPartner({
    random: createRandom(20_262),
    keys: KEYS,
    prefixOf: (order) => (['A', 'A', 'A', 'FLAKY', 'A', 'POISON'] as const)[order % KEYS] ?? 'A',
    giveUpShare: 0,
  })

interface Met {
  readonly end: string | undefined
  readonly target: string | undefined
}

async function meetFault(options: {
  readonly partner: Partner
  readonly dataDir: string
  readonly trace: string
  readonly one: InjectionCase
}): Promise<Met> {
  const { partner, dataDir, trace, one } = options
  let runtime: RuntimeProcess
  try {
    runtime = await startTraced(dataDir, injectArguments(trace, one))
  } catch {
    return { end: 'did not start', target: await targetIn(trace) }
  }
  const died = runtime.ended.then(({ code, signal }) => signal ?? `exit ${code}`)
  const isThere = await useUntilQuiet(partner, runtime)
  // Before it is killed: a call that this cuts off looks like one that was made to fail.
  const target = await targetIn(trace)
  const mayGoOn = isThere && !mustEnd(one, target)
  const end = await Promise.race([died, delay(mayGoOn ? 0 : DIE_MS_MAX, undefined)])
  await runtime.kill()
  return { end, target }
}

const targetIn = async (trace: string): Promise<string | undefined> =>
  (await readTrace(trace)).find(({ isInjected }) => isInjected)?.target

/**
 * Nobody knows what a failed sync left on the disk: the process may not go on (F21). The sync of a
 * folder, before there is anything in the store, is the engine's own care.
 */
const mustEnd = ({ call, injection }: InjectionCase, target: string | undefined): boolean =>
  target !== undefined &&
  (injection === 'SIGKILL' || (call.endsWith('sync') && target.startsWith('junctura.')))

const startTraced = (dataDir: string, wrapper: readonly string[]): Promise<RuntimeProcess> =>
  startRuntime({ dataDir, integration: ROUGH_ORDERS, wrapper, readyMsMax: READY_MS_MAX })

/** Sends everything and waits until it is worked off; false when nobody is there any more. */
async function useUntilQuiet(partner: Partner, runtime: RuntimeProcess): Promise<boolean> {
  const deadlineMs = performance.now() + RUN_MS_MAX
  const load = partner.startLoad(`${runtime.url}/webhooks/acme`, CONNECTIONS, MESSAGES)
  await Promise.race([load.ended, runtime.ended, delay(RUN_MS_MAX)])
  await load.stop()
  while (performance.now() < deadlineMs) {
    const overview = await runtime.get<Overview>('/api/v1/overview').catch(() => undefined)
    if (overview === undefined) return false
    if (overview.consumers.every((one) => one.lag === 0 && one.retrying === 0)) return true
    await delay(30)
  }
  return true
}

/** One line for each group of calls and each fault. */
export const describeInjections = (results: readonly InjectionResult[]): readonly AttackLine[] =>
  GROUPS.flatMap(([what, calls]) =>
    INJECTIONS.flatMap((injection) => {
      const of = results.filter((one) => one.injection === injection && calls.includes(one.call))
      return of.length === 0 ? [] : [describeGroup(`${injection} at every ${what}`, of)]
    }),
  )

const GROUPS: readonly (readonly [string, readonly string[]])[] = [
  ['sync of the store', ['fsync', 'fdatasync']],
  ['write to the store', ['pwrite64']],
  ['send and other write', ['write', 'writev']],
  ['unlink and truncate', ['unlink', 'ftruncate']],
]

function describeGroup(what: string, results: readonly InjectionResult[]): AttackLine {
  const reached = results.filter(({ target }) => target !== undefined)
  const sockets = reached.filter(({ target }) => target === 'socket').length
  const ended = reached.filter(({ end }) => end !== undefined).length
  const where = sockets > 0 ? `, ${sockets} of them on sockets` : ''
  const recovery = spread(results.map(({ recoveryMs }) => recoveryMs))
  return {
    what,
    figures: sumFigures(results.map(({ figures }) => figures)),
    recovery: `${recovery}; met ${reached.length} times${where}, ended ${ended} processes`,
    faults: results.flatMap(({ faults }) => faults),
  }
}

async function inFolder<Result>(run: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'junctura-inject-'))
  try {
    return await run(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
