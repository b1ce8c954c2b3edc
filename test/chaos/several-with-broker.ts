// The attacks on several processes, with a broker between the log and the consumers, while a reader
// of another system takes everything from that broker.
import { type AttackLine, faultsOf, figuresOf, spread, sumFigures } from './attack.ts'
import type { BrokerName } from './broker-faults.ts'
import { startOutsideReader } from './outside-reader.ts'
import {
  runRollingRestart,
  runScale,
  runSeveralKilled,
  runZombie,
  type SeveralOptions,
  type SeveralResult,
} from './several-processes.ts'
import { startEngine } from '../engines/engine.ts'
import { startPostgres } from '../engines/postgres.ts'
import { createPostgresBench } from '../engines/postgres-bench.ts'

export interface WithReader<T> {
  readonly result: T
  /** What the reader of another system did not get, and what it got out of the order of a key. */
  readonly outside: { readonly missing: readonly string[]; readonly outOfOrder: readonly string[] }
}

export const withOutsideReader = async <T>(
  name: BrokerName,
  options: SeveralOptions,
  work: (options: SeveralOptions) => Promise<T>,
): Promise<WithReader<T>> => {
  const read = await startOutsideReader(name, options.transport ?? '', ['orders', 'warehouse'])
  try {
    const result = await work(options)
    const missing = await read.missing(options.databaseUrl)
    return { result, outside: { missing, outOfOrder: read.outOfOrder } }
  } finally {
    await read.close()
  }
}

export const SOUND_OUTSIDE: WithReader<unknown>['outside'] = { missing: [], outOfOrder: [] }

const TAKE_OVER_MS_MAX = 10_000

/** Kills, a process that sleeps past its leases, a rolling restart, and one to eight and back. */
export const runSeveralWithBroker = async (
  name: BrokerName,
  parts: { readonly newFolder: () => string; readonly seed: number; readonly rounds: number },
): Promise<AttackLine> => {
  const { newFolder, seed, rounds } = parts
  const database = await startPostgres({ settings: { max_connections: '100' } })
  const results: SeveralResult[] = []
  const faults: string[] = []
  try {
    const works: Readonly<Record<string, (options: SeveralOptions) => Promise<SeveralResult>>> = {
      killed: (options) => runSeveralKilled({ ...options, rounds: Math.min(rounds, 3) }),
      zombie: runZombie,
      rolling: runRollingRestart,
      scale: (options) => runScale({ ...options, partitions: 8 }),
    }
    for (const [work, run] of Object.entries(works)) {
      // Each on an empty broker: what is in it is of one store.
      const broker = await startEngine(name)
      try {
        const { url } = await createPostgresBench(database.url, `several_${name}_${work}`)
        const options = { databaseUrl: url, dataDir: newFolder(), seed, transport: broker.url }
        const { result, outside } = await withOutsideReader(name, options, run)
        results.push(result)
        faults.push(...faultsOf(result.verdict, result.partner))
        faults.push(...outside.missing.map((one) => `${work}: not in the broker: ${one}`))
        faults.push(...outside.outOfOrder.map((one) => `${work}: a reader elsewhere got ${one}`))
        const late = result.takeOverMs.filter((ms) => ms >= TAKE_OVER_MS_MAX)
        faults.push(...late.map((ms) => `${work}: taken over after ${ms} ms`))
      } finally {
        await broker.stop()
      }
    }
  } finally {
    await database.stop()
  }
  return {
    what: `several processes on PostgreSQL over ${name}: killed, frozen, restarted, 1 to 8 to 1`,
    figures: sumFigures(results.map(({ verdict }) => figuresOf(verdict))),
    recovery: `${spread(results.flatMap(({ takeOverMs }) => takeOverMs))} until taken over`,
    faults,
  }
}
