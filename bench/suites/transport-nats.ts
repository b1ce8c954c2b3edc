import { startEngine } from '../../test/engines/engine.ts'
import { inTurn, measure, median, perSecond, type Row, type Suite } from '../harness.ts'

interface Rate {
  readonly perSecond: number
  readonly cpuMicros: number
}

interface Load {
  readonly publish: Rate
  readonly read: Rate
}

/** Before each answer, and the server's default. */
const SYNC_INTERVALS = ['always', '2m']

/** Whichever of the two ways by hand is the faster at this moment. */
async function bestByHand(load: (which: string) => Promise<Load>): Promise<Load> {
  const [batches, acks] = [await load('batches'), await load('acks')]
  const faster = (part: keyof Load): Rate =>
    batches[part].perSecond > acks[part].perSecond ? batches[part] : acks[part]
  return { publish: faster('publish'), read: faster('read') }
}

/** The port of brokers on NATS JetStream beside its client by hand, with no store. */
export const transportNats: Suite = {
  name: 'transport-nats',
  async run({ pairs, seconds }) {
    const rows: Row[] = []
    const rounds: Record<string, unknown> = {}
    for (const sync of SYNC_INTERVALS) {
      const server = await startEngine('nats', { settings: { sync_interval: sync } })
      try {
        const load = (which: string): Promise<Load> =>
          measure('nats-load.ts', which, '--url', server.url, '--seconds', String(seconds))
        const measured = await inTurn(
          pairs,
          () => load('ours'),
          () => bestByHand(load),
        )
        rounds[sync] = measured
        const where = `1 KB, one stream, sync_interval ${sync}`
        rows.push(
          rowOf(
            `Publish, ${where}`,
            'the client by hand, the faster of atomic batches and answers in flight',
            measured,
            'publish',
          ),
        )
        rows.push(rowOf(`Read, ${where}`, 'the client by hand, pulls of 1000', measured, 'read'))
      } finally {
        await server.stop()
      }
    }
    return { rounds, rows }
  },
}

function rowOf(
  what: string,
  against: string,
  measured: readonly { readonly ours: Load; readonly theirs: Load }[],
  part: keyof Load,
): Row {
  const ratio = median(
    measured.map(({ ours, theirs }) => ours[part].perSecond / theirs[part].perSecond),
  )
  const told = (whose: 'ours' | 'theirs'): string => {
    const rate = perSecond(median(measured.map((one) => one[whose][part].perSecond)))
    const cpu = median(measured.map((one) => one[whose][part].cpuMicros))
    return `${rate}, ${cpu.toFixed(0)} µs of CPU each`
  }
  return {
    what,
    against,
    ours: told('ours'),
    theirs: told('theirs'),
    ratio,
    goal: '≥ 0.9',
    holds: ratio >= 0.9,
  }
}
