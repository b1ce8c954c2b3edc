import { startPostgres } from '../../test/engines/postgres.ts'
import { inTurn, measure, median, perSecond, type Row, type Suite } from '../harness.ts'
import { installPeers } from '../install-peers.ts'

interface Load {
  readonly perSecond: number
}

/** One call for each message, and one for many where they have it; ours is one for each always. */
const QUEUES = [
  { name: 'pg-boss', many: 1, atLeast: 10 },
  { name: 'graphile-worker', many: 1, atLeast: 10 },
  { name: 'dbos', many: 1, atLeast: 10 },
  { name: 'pg-boss', many: 256, atLeast: 1.5 },
  { name: 'graphile-worker', many: 256, atLeast: 1.5 },
] as const

/** They start slowly and work off slowly what they took in: shorter rounds, and fewer. */
const SECONDS_MAX = 2
const PAIRS_MAX = 3

/** Queues on PostgreSQL that people use, beside ours on the same server. */
export const postgresPeers: Suite = {
  name: 'postgres-peers',
  async run(scale) {
    installPeers()
    const seconds = String(Math.min(SECONDS_MAX, scale.seconds))
    const pairs = Math.min(PAIRS_MAX, scale.pairs)
    const server = await startPostgres({
      settings: { shared_buffers: '512MB', max_wal_size: '4GB', max_connections: '100' },
    })
    try {
      const { url } = server
      const rounds: Record<string, unknown> = {}
      const rows: Row[] = []
      for (const { name, many, atLeast } of QUEUES) {
        const measured = await inTurn(
          pairs,
          () => measure<Load>('publish-load.ts', 'ours', '--store', url, '--seconds', seconds),
          () => measure<Load>('peers/send-load.js', name, url, seconds, '512', '1000', `${many}`),
        )
        rounds[`${name}, ${many} at once`] = measured
        const ratio = median(measured.map((one) => one.ours.perSecond / one.theirs.perSecond))
        const call = many === 1 ? 'one call for each message' : `one call for ${many} messages`
        rows.push({
          what: 'One `publish` per message on PostgreSQL, durable, handler, done; 1 KB, 512 in flight',
          against: `${name} on the same server, ${call}`,
          ours: perSecond(median(measured.map((one) => one.ours.perSecond))),
          theirs: perSecond(median(measured.map((one) => one.theirs.perSecond))),
          ratio,
          goal: `≥ ${atLeast}`,
          holds: ratio >= atLeast,
        })
      }
      return { rounds, rows }
    } finally {
      await server.stop()
    }
  },
}
