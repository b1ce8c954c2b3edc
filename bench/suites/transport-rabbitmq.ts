import { startEngine } from '../../test/engines/engine.ts'
import { inTurn, measure, median, perSecond, type Row, type Suite } from '../harness.ts'

interface Load {
  readonly publishPerSecond: number
  readonly publishCpuUs: number
  readonly readPerSecond: number
  readonly readCpuUs: number
}

const GOAL = 0.9
const BY_HAND = 'amqplib by hand: pipelined batches with confirms, prefetch of two batches'

/** The port alone, without a store: a durable quorum queue, which syncs each write to disk. */
export const transportRabbitmq: Suite = {
  name: 'transport-rabbitmq',
  async run({ pairs, seconds }) {
    const engine = await startEngine('rabbitmq')
    const load = (which: string) =>
      measure<Load>('rabbitmq-load.ts', which, engine.url, String(seconds))
    try {
      const rounds = await inTurn(
        pairs,
        () => load('ours'),
        () => load('hand'),
      )
      const rowOf = (
        what: string,
        rate: 'publishPerSecond' | 'readPerSecond',
        cpu: 'publishCpuUs' | 'readCpuUs',
      ): Row => {
        const ratio = median(rounds.map(({ ours, theirs }) => ours[rate] / theirs[rate]))
        const said = (side: 'ours' | 'theirs'): string => {
          const microseconds = median(rounds.map((round) => round[side][cpu])).toFixed(1)
          return `${perSecond(median(rounds.map((round) => round[side][rate])))}, ${microseconds} µs CPU each`
        }
        return {
          what,
          against: BY_HAND,
          ours: said('ours'),
          theirs: said('theirs'),
          ratio,
          goal: `≥ ${GOAL}`,
          holds: ratio >= GOAL,
        }
      }
      return {
        rounds,
        rows: [
          rowOf(
            '`publish`, 1 KB and 14 attributes, quorum queue, confirmed, 2 x 512',
            'publishPerSecond',
            'publishCpuUs',
          ),
          rowOf('`read`, the same, batches of 500, acknowledged', 'readPerSecond', 'readCpuUs'),
        ],
      }
    } finally {
      await engine.stop()
    }
  },
}
