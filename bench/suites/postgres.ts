import pg from 'pg'
import { startEngine } from '../../test/engines/engine.ts'
import { startPostgres } from '../../test/engines/postgres.ts'
import {
  inTurn,
  measure,
  median,
  milliseconds,
  perSecond,
  type Row,
  type Scale,
  type Suite,
} from '../harness.ts'

interface Load {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly refused: number
  readonly cpuUs: number
  readonly serverCpuUs: number
}

interface Pair {
  readonly ours: Load
  readonly theirs: Load
}

/** CPU for one message, of the process and of the server: what a busy machine does not change. */
function cpuRow(path: readonly Pair[]): Row {
  const total = ({ cpuUs, serverCpuUs }: Load): number => cpuUs + serverCpuUs
  const shown = (loads: readonly Load[]): string => {
    const own = median(loads.map(({ cpuUs }) => cpuUs))
    const server = median(loads.map(({ serverCpuUs }) => serverCpuUs))
    return `${own.toFixed(1)} + ${server.toFixed(1)} µs`
  }
  return {
    what: 'the same: CPU for one message, of the process and of the server',
    against: 'the same by hand',
    ours: shown(path.map(({ ours }) => ours)),
    theirs: shown(path.map(({ theirs }) => theirs)),
    ratio: median(path.map(({ ours, theirs }) => total(theirs) / total(ours))),
    goal: 'none: it explains the rate',
    holds: true,
  }
}

/** A transaction of somebody else's that has written, has a snapshot, and stays open. */
async function besideNeighbour<T>(url: string, work: () => Promise<T>): Promise<T> {
  const neighbour = new pg.Client({ connectionString: url })
  await neighbour.connect()
  try {
    await neighbour.query('create table if not exists neighbour (n integer)')
    await neighbour.query('begin isolation level repeatable read')
    await neighbour.query('insert into neighbour values (1)')
    await neighbour.query('select count(*) from neighbour')
    return await work()
  } finally {
    await neighbour.end()
  }
}

const NEIGHBOUR_PAIRS_MAX = 3

async function neighbours(url: string, { pairs, seconds }: Scale): Promise<readonly Pair[]> {
  const load = (): Promise<Load> =>
    measure<Load>('publish-load.ts', 'ours', '--store', url, '--seconds', String(seconds))
  return await inTurn(Math.min(NEIGHBOUR_PAIRS_MAX, pairs), () => besideNeighbour(url, load), load)
}

function neighbourRow(rounds: readonly Pair[]): Row {
  const ratio = median(rounds.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond))
  return {
    what: '`publish` on PostgreSQL while a neighbour keeps a transaction open',
    against: 'without it',
    ours: perSecond(median(rounds.map(({ ours }) => ours.perSecond))),
    theirs: perSecond(median(rounds.map(({ theirs }) => theirs.perSecond))),
    ratio,
    goal: '≥ 0.9',
    holds: ratio >= 0.9,
  }
}

type Latency = Pick<Load, 'p50' | 'p99'>

/** The same with NATS JetStream between the log and the handler, each with a server of its own. */
async function throughNats(
  url: string,
  pairs: number,
  messages: readonly string[],
): Promise<readonly Latency[]> {
  const nats = await startEngine('nats')
  try {
    const took: Latency[] = []
    while (took.length < pairs) {
      took.push(await measure<Latency>('wake-latency.ts', 'nats', url, nats.url, ...messages))
    }
    return took
  } finally {
    await nats.stop()
  }
}

function natsRow(passed: readonly Latency[]): Row {
  const p50 = median(passed.map((one) => one.p50))
  const p99 = median(passed.map((one) => one.p99))
  return {
    what: 'Durable on PostgreSQL until handled with NATS JetStream as the transport, idle',
    against: '',
    ours: `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}`,
    theirs: '',
    goal: 'p50 ≤ 5 ms, p99 ≤ 20 ms',
    holds: p50 <= 5 && p99 <= 20,
  }
}

/** PostgreSQL as the store: beside the same by hand, on one server, in one run. */
export const postgres: Suite = {
  name: 'postgres',
  async run(scale) {
    const { pairs, seconds, isQuick } = scale
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
      const passed = await throughNats(url, pairs, messages)
      const beside = await neighbours(url, scale)
      const ratio = median(path.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond))
      const p50 = median(woken.map(({ ours }) => ours.p50))
      const p99 = median(woken.map(({ ours }) => ours.p99))
      return {
        rounds: { path, fixed, woken, passed, beside },
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
          cpuRow(path),
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
          natsRow(passed),
          neighbourRow(beside),
        ],
      }
    } finally {
      await server.stop()
    }
  },
}
