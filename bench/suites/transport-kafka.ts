import { startEngine } from '../../test/engines/engine.ts'
import { inTurn, measure, median, perSecond, type Suite } from '../harness.ts'

interface Half {
  readonly perSecond: number
  readonly cpuMicros: number
}

interface Load {
  readonly publish: Half
  readonly read: Half
}

/** The port of brokers alone on one Kafka broker, without a store. */
export const transportKafka: Suite = {
  name: 'transport-kafka',
  needs: { java: 'apt-get install default-jre-headless', mvn: 'apt-get install maven' },
  async run({ pairs, seconds }) {
    const engine = await startEngine('kafka')
    const load = (which: string): Promise<Load> =>
      measure('kafka-load.ts', which, '--url', engine.url, '--seconds', String(seconds))
    try {
      const rounds = await inTurn(
        pairs,
        () => load('ours'),
        () => load('theirs'),
      )
      const row = (half: 'publish' | 'read', what: string, against: string) => {
        const of = (side: 'ours' | 'theirs') =>
          `${perSecond(median(rounds.map((one) => one[side][half].perSecond)))}, ` +
          `${median(rounds.map((one) => one[side][half].cpuMicros)).toFixed(1)} µs CPU`
        const ratio = median(
          rounds.map(({ ours, theirs }) => ours[half].perSecond / theirs[half].perSecond),
        )
        const [ours, theirs] = [of('ours'), of('theirs')]
        return { what, against, ours, theirs, ratio, goal: '≥ 0.9', holds: ratio >= 0.9 }
      }
      return {
        rounds,
        rows: [
          row(
            'publish',
            'Kafka port, one broker, `acks=all`, idempotent, not synced to disk; publish 1 KB, 4 × 512',
            '`@platformatic/kafka`, the same settings and batches by hand',
          ),
          row('read', 'the same, read', 'its consumer as a stream'),
        ],
      }
    } finally {
      await engine.stop()
    }
  },
}
