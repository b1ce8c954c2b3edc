import { cpus } from 'node:os'
import { startPostgres } from '../../test/engines/postgres.ts'
import { measure, median, perSecond, type Row, type Suite } from '../harness.ts'

/** CPU for one message, in microseconds. */
interface Cost {
  readonly perSecond: number
  readonly cpuUs: number
  readonly serverCpuUs: number
}

interface Shared extends Cost {
  /** Of what the busiest process handled. */
  readonly share: number
}

interface Parts {
  readonly publishing: Cost
  /** One sender that waits for each: a commit of one message. */
  readonly single: Cost
  readonly handling: Cost
}

interface Round {
  readonly parts: Parts
  /** One that publishes with as many in flight as one of two, and of four, and one that handles. */
  readonly pairs: { readonly two: Cost; readonly four: Cost }
  readonly one: Shared
  readonly two: Shared
  readonly four: Shared
}

const COUNTS = ['one', 'two', 'four'] as const
const PROCESSES = { one: 1, two: 2, four: 4 } as const
const ROUNDS_MAX = 3

/** Several processes on one PostgreSQL store, and whether the parts explain the whole. */
export const processes: Suite = {
  name: 'processes',
  async run({ pairs, seconds }) {
    const server = await startPostgres({
      settings: { shared_buffers: '512MB', max_wal_size: '4GB', max_connections: '100' },
    })
    try {
      const load = <T>(...args: readonly string[]): Promise<T> =>
        measure<T>('processes-load.ts', server.url, ...args, '--seconds', String(seconds))
      const rounds: Round[] = []
      for (let round = 0; round < Math.min(ROUNDS_MAX, pairs); round++) {
        const one = await load<Shared>('all', '1')
        const two = await load<Shared>('all', '2')
        const four = await load<Shared>('all', '4')
        const pair = (count: number): Promise<Cost> =>
          load<Cost>('pair', '--in-flight', String(IN_FLIGHT / count))
        const pairs = { two: await pair(2), four: await pair(4) }
        rounds.push({ parts: await load<Parts>('parts'), pairs, one, two, four })
      }
      return { rounds, rows: rowsOf(rounds) }
    } finally {
      await server.stop()
    }
  },
}

/** CPU for one message, of all processes and of the server. */
const totalOf = ({ cpuUs, serverCpuUs }: Cost): number => cpuUs + serverCpuUs

/**
 * Where the cores are what there is too little of, several processes take as long as what a message
 * costs them: less is left within a process, and commits and pages are smaller. A pair shows that,
 * with as many in flight as each of them has.
 */
export const predictShared = ({ one, pairs }: Round, name: 'two' | 'four'): number =>
  (one.perSecond * totalOf(one)) / totalOf(pairs[name])

/**
 * Messages a second that the parts allow where every process has cores: the less of what the one
 * thread of the busiest process can do, and of what commits can, which follow one another. A commit
 * takes what one of a single message does, and then the server's time for each more.
 */
export function predict(
  { publishing, single, handling }: Parts,
  { count, share }: { readonly count: number; readonly share: number },
): number {
  const busiest = 1e6 / (publishing.cpuUs / count + handling.cpuUs * share)
  const commits = 1e6 / (publishing.serverCpuUs + 1e6 / single.perSecond / COMMIT_MESSAGES)
  return Math.min(busiest, commits)
}

/** Units of a full commit. */
const COMMIT_MESSAGES = 1_000
const LARGE = [16, 64] as const
/** Of `processes-load.ts`, altogether. */
const IN_FLIGHT = 512

function rowsOf(rounds: readonly Round[]): readonly Row[] {
  const cores = cpus().length
  const rateOf = (name: (typeof COUNTS)[number]): number =>
    median(rounds.map((round) => round[name].perSecond))
  const rows: Row[] = []
  for (const name of ['two', 'four'] as const) {
    const count = PROCESSES[name]
    const ratio = median(rounds.map((round) => round[name].perSecond / round.one.perSecond))
    rows.push({
      what: `${count} processes on one PostgreSQL store, 512 in flight altogether, ${cores} cores`,
      against: 'one process',
      ours: perSecond(rateOf(name)),
      theirs: perSecond(rateOf('one')),
      ratio,
      goal: '≥ 1: no loss of rate',
      holds: ratio >= 1,
    })
    const model = (round: Round): number => predictShared(round, name)
    const fit = median(rounds.map((round) => round[name].perSecond / model(round)))
    rows.push({
      what: `the same, measured`,
      against: 'predicted from the rate of one process and the CPU of a pair',
      ours: perSecond(rateOf(name)),
      theirs: perSecond(median(rounds.map(model))),
      ratio: fit,
      goal: '0.8 to 1.2',
      holds: fit >= 0.8 && fit <= 1.2,
    })
  }
  for (const count of LARGE) {
    const model = (share: number) => (round: Round) => predict(round.parts, { count, share })
    rows.push({
      what: `${count} processes with as many cores as they want, predicted: one handles everything`,
      against: 'the same, handling spread over all',
      ours: perSecond(median(rounds.map(model(1)))),
      theirs: perSecond(median(rounds.map(model(1 / count)))),
      goal: 'none: a prediction',
      holds: true,
    })
  }
  return rows
}
