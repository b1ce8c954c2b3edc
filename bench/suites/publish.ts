import { inTurn, measure, median, milliseconds, perSecond, type Suite } from '../harness.ts'

interface Load {
  readonly perSecond: number
  readonly ingestPerSecond: number
  readonly p50: number
  readonly p99: number
  readonly refused: number
}

const load = (which: string, seconds: number, ...more: readonly string[]): Promise<Load> =>
  measure('publish-load.ts', which, '--seconds', String(seconds), ...more)

const ratioOf = (rounds: readonly { readonly ours: Load; readonly theirs: Load }[]): number =>
  median(rounds.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond))

/** `publish` until its handler is done, in one process. */
export const publish: Suite = {
  name: 'publish',
  async run({ pairs, seconds }) {
    const ours = (...more: readonly string[]) => load('ours', seconds, ...more)
    const bare = await inTurn(pairs, ours, () => load('bare', seconds))
    const queue = await inTurn(pairs, ours, () => load('queue', seconds))
    const ten = await inTurn(
      pairs,
      () => ours('--consumers', '10'),
      () => ours('--consumers', '1'),
    )
    const fixed = await ours('--rate', '10000')
    const shape = ['--bytes', '200', '--many', '250', '--batch', '1000']
    const stream = await ours('--rate', '100000', ...shape)
    const bareRatio = ratioOf(bare)
    const queueRatio = ratioOf(queue)
    const fanOut = median(ten.map((one) => one.ours.ingestPerSecond / one.theirs.ingestPerSecond))
    const saturation = median(bare.map((one) => one.ours.perSecond))
    return {
      rounds: { bare, queue, ten, fixed, stream },
      rows: [
        {
          what: '`publish`, durable, handler, done; 1 KB, 512 in flight',
          against: 'a bare SQLite log, batches of 100, no handler, no dedupe',
          ours: perSecond(saturation),
          theirs: perSecond(median(bare.map((one) => one.theirs.perSecond))),
          ratio: bareRatio,
          goal: '≥ 0.30',
          holds: bareRatio >= 0.3,
        },
        {
          what: 'the same',
          against: 'a table of jobs on SQLite: unique key, status updates, one at a time',
          ours: perSecond(median(queue.map((one) => one.ours.perSecond))),
          theirs: perSecond(median(queue.map((one) => one.theirs.perSecond))),
          ratio: queueRatio,
          goal: '≥ 1.5',
          holds: queueRatio >= 1.5,
        },
        {
          what: `10 K/s, 1 KB, from when it was due until its handler ran; ${fixed.refused} refused`,
          against: '',
          ours: `p50 ${milliseconds(fixed.p50)}, p99 ${milliseconds(fixed.p99)}`,
          theirs: '',
          goal: 'p99 ≤ 10 ms',
          holds: fixed.p99 <= 10 && fixed.refused === 0,
        },
        {
          what: `100 K/s, 200 B, 250 at a time, one batch consumer, in order per key; ${stream.refused} refused`,
          against: '',
          ours: `${perSecond(stream.perSecond)}, p99 ${milliseconds(stream.p99)}`,
          theirs: '',
          goal: 'holds, p99 ≤ 20 ms',
          holds: stream.p99 <= 20 && stream.refused === 0,
        },
        {
          what: 'Ten consumers: messages taken in',
          against: 'one consumer',
          ours: perSecond(median(ten.map((one) => one.ours.ingestPerSecond))),
          theirs: perSecond(median(ten.map((one) => one.theirs.ingestPerSecond))),
          ratio: fanOut,
          goal: '≥ 0.6',
          holds: fanOut >= 0.6,
        },
      ],
    }
  },
}
