import { startPostgres } from '../../test/engines/postgres.ts'
import { inTurn, measure, median, milliseconds, perSecond, type Suite } from '../harness.ts'

interface Load {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly refused: number
}

type Latency = Pick<Load, 'p50' | 'p99'>

/** PostgreSQL as the store: beside the same by hand, on one server, in one run. */
export const postgres: Suite = {
  name: 'postgres',
  async run({ pairs, seconds, isQuick }) {
    const server = await startPostgres({
      settings: { shared_buffers: '512MB', max_wal_size: '4GB', max_connections: '100' },
    })
    try {
      const { url } = server
      const args = ['--seconds', String(seconds)]
      const path = await inTurn(
        pairs,
        () => measure<Load>('publish-load.ts', 'ours', '--store', url, ...args),
        () => measure<Load>('postgres-hand.ts', url, ...args),
      )
      const fixed = await measure<Load>(
        'publish-load.ts',
        'ours',
        '--store',
        url,
        '--rate',
        '2000',
        ...args,
      )
      const messages = ['--messages', isQuick ? '50' : '200']
      const woken = await inTurn(
        pairs,
        () => measure<Latency>('wake-latency.ts', 'ours', url, ...messages),
        () => measure<Latency>('wake-latency.ts', 'hand', url, ...messages),
      )
      const ratio = median(path.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond))
      const p50 = median(woken.map(({ ours }) => ours.p50))
      const p99 = median(woken.map(({ ours }) => ours.p99))
      return {
        rounds: { path, fixed, woken },
        rows: [
          {
            what: '`publish` on PostgreSQL, durable, handler, done; 1 KB, 512 in flight',
            against: '`unnest` inserts of 512 and a cursor, by hand',
            ours: perSecond(median(path.map(({ ours }) => ours.perSecond))),
            theirs: perSecond(median(path.map(({ theirs }) => theirs.perSecond))),
            ratio,
            goal: '≥ 0.8',
            holds: ratio >= 0.8,
          },
          {
            what: `2 K/s, 1 KB, from when it was due until its handler ran; ${fixed.refused} refused`,
            against: '',
            ours: `p50 ${milliseconds(fixed.p50)}, p99 ${milliseconds(fixed.p99)}`,
            theirs: '',
            goal: 'p99 ≤ 20 ms',
            holds: fixed.p99 <= 20 && fixed.refused === 0,
          },
          {
            what: 'Durable in one process until handled in another, idle',
            against: '`LISTEN` and `NOTIFY` in the transaction, by hand',
            ours: `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}`,
            theirs: `p50 ${milliseconds(median(woken.map(({ theirs }) => theirs.p50)))}, p99 ${milliseconds(median(woken.map(({ theirs }) => theirs.p99)))}`,
            goal: 'p50 ≤ 5 ms, p99 ≤ 20 ms',
            holds: p50 <= 5 && p99 <= 20,
          },
        ],
      }
    } finally {
      await server.stop()
    }
  },
}
