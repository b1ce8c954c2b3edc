import { startPostgres } from '../../test/engines/postgres.ts'
import {
  inTurn,
  measure,
  measureUnder,
  median,
  milliseconds,
  perSecond,
  type Row,
  type Suite,
} from '../harness.ts'

interface Rate {
  readonly perSecond: number
}

interface Drained extends Rate {
  readonly rssMiB: number
  readonly cpuUs: number
  readonly serverCpuUs: number
}

const middleOf = (numbers: readonly number[]): string => median(numbers).toFixed(1)

const cpuOf = (drained: readonly Drained[]): string =>
  `${middleOf(drained.map(({ cpuUs }) => cpuUs))} + ${middleOf(drained.map(({ serverCpuUs }) => serverCpuUs))} µs`

/** V8 grows its heap while there is memory; what is asked is whether the work needs it. */
const SMALL_HEAP = ['env', 'NODE_OPTIONS=--max-old-space-size=96 --max-semi-space-size=4']

/** A user's PostgreSQL: emitting in its transactions, and moving what they wrote. */
export const outbox: Suite = {
  name: 'outbox',
  async run({ pairs, seconds, isQuick }) {
    const server = await startPostgres()
    const load = <T>(mode: string, ...more: readonly string[]): Promise<T> =>
      measure('outbox-load.ts', server.url, mode, '--seconds', String(seconds), ...more)
    const count = isQuick ? '10000' : '100000'
    const filled = async (mode: string, rows: string = count): Promise<Drained> => {
      await load('fill', '--rows', rows)
      return measureUnder(SMALL_HEAP, 'outbox-load.ts', server.url, mode, '--rows', rows)
    }
    try {
      const emits = await inTurn(
        pairs,
        () => load<Rate>('emit'),
        () => load<Rate>('insert'),
      )
      const drains = await inTurn(
        pairs,
        () => filled('drain'),
        () => filled('copy'),
      )
      const backlog = await filled('drain', isQuick ? '20000' : '1000000')
      const late = await load<Late>('latency', '--rate', '500')
      const idle = await load<Late>('latency', '--rate', '5')
      return {
        rounds: { emits, drains, backlog, late, idle },
        rows: rowsOf({ emits, drains, backlog, late, idle, count }),
      }
    } finally {
      await server.stop()
    }
  },
}

interface Pair<T> {
  readonly ours: T
  readonly theirs: T
}

interface Late {
  readonly p50: number
  readonly p99: number
}

interface Measured {
  readonly emits: readonly Pair<Rate>[]
  readonly drains: readonly Pair<Drained>[]
  /** A million rows, once. */
  readonly backlog: Drained
  readonly late: Late
  readonly idle: Late
  readonly count: string
}

function rowsOf({ emits, drains, backlog, late, idle, count }: Measured): readonly Row[] {
  const time = median(emits.map(({ ours, theirs }) => theirs.perSecond / ours.perSecond))
  const rate = median(drains.map(({ ours }) => ours.perSecond))
  const ratio = median(drains.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond))
  return [
    {
      what: 'A transaction with an order and `outbox(tx).emit`, 1 KB: its time',
      against: 'the same with the INSERT written out, the record made before',
      ours: perSecond(median(emits.map(({ ours }) => ours.perSecond))),
      theirs: perSecond(median(emits.map(({ theirs }) => theirs.perSecond))),
      ratio: time,
      goal: '≤ 1.2',
      holds: time <= 1.2,
    },
    {
      what: `Relay: drains ${count} rows of 1 KB into SQLite`,
      against: 'select a thousand behind the last, insert them with the place, by hand',
      ours: perSecond(rate),
      theirs: perSecond(median(drains.map(({ theirs }) => theirs.perSecond))),
      ratio,
      goal: '≥ 0.8',
      holds: ratio >= 0.8,
    },
    {
      what: 'the same: CPU for one row, of the process and of the server',
      against: 'the same by hand',
      ours: cpuOf(drains.map(({ ours }) => ours)),
      theirs: cpuOf(drains.map(({ theirs }) => theirs)),
      goal: 'none: it explains the rate',
      holds: true,
    },
    {
      what: 'Relay: a backlog of a million rows, and memory of the process with a heap of 96 MiB',
      against: '',
      ours: `${perSecond(backlog.perSecond)}, ${backlog.rssMiB} MiB`,
      theirs: '',
      goal: '≥ 25 K/s in < 200 MiB',
      holds: backlog.perSecond >= 25_000 && backlog.rssMiB < 200,
    },
    {
      what: 'Commit answered until its handler runs, 500 transactions a second',
      against: '',
      ours: `p50 ${milliseconds(late.p50)}, p99 ${milliseconds(late.p99)}`,
      theirs: '',
      goal: 'p50 ≤ 4 ms, p99 ≤ 12 ms',
      holds: late.p50 <= 4 && late.p99 <= 12,
    },
    {
      what: 'the same, 5 transactions a second: asked at most 20 times a second meanwhile',
      against: '',
      ours: `p50 ${milliseconds(idle.p50)}, p99 ${milliseconds(idle.p99)}`,
      theirs: '',
      goal: 'p50 ≤ 50 ms',
      holds: idle.p50 <= 50,
    },
  ]
}
