import { startEngine } from '../../test/engines/engine.ts'
import { inTurn, measure, median, perSecond, type Row, type Suite } from '../harness.ts'

interface Load {
  readonly perSecond: number
  readonly cpuMicros: number
}

const ENGINES = {
  kafka: 'Kafka, one broker, `acks=all`, idempotent, not synced to disk',
  nats: 'JetStream, one server, file storage, batches atomic',
} as const

const BY_HAND = {
  kafka: '`@platformatic/kafka`, a consumer group, the same batches by hand',
  nats: '`@nats-io/jetstream`, a durable consumer, the same batches by hand',
} as const

/** End to end with `record: 'transport'`: publish, broker, handler, progress. */
export const record: Suite = {
  name: 'record',
  needs: { java: 'apt-get install default-jre-headless', mvn: 'apt-get install maven' },
  async run({ pairs, seconds }) {
    const rows: Row[] = []
    const rounds: unknown[] = []
    for (const engine of ['kafka', 'nats'] as const) {
      const server = await startEngine(engine)
      const args = ['--engine', engine, '--url', server.url, '--seconds', String(seconds)]
      const load = (which: string): Promise<Load> => measure('record-load.ts', which, ...args)
      try {
        const measured = await inTurn(
          pairs,
          () => load('ours'),
          () => load('theirs'),
        )
        const of = (side: 'ours' | 'theirs'): string =>
          `${perSecond(median(measured.map((one) => one[side].perSecond)))}, ` +
          `${median(measured.map((one) => one[side].cpuMicros)).toFixed(1)} µs CPU`
        const ratio = median(measured.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond))
        rows.push({
          what: `End to end with \`record: 'transport'\`, 1 KB, 4 × 512; ${ENGINES[engine]}`,
          against: BY_HAND[engine],
          ours: of('ours'),
          theirs: of('theirs'),
          ratio,
          goal: '≥ 0.7',
          holds: ratio >= 0.7,
        })
        rounds.push({ engine, measured })
      } finally {
        await server.stop()
      }
    }
    return { rounds, rows }
  },
}
