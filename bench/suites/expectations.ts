import { inTurn, measure, median, perSecond, type Suite } from '../harness.ts'

interface Load {
  readonly cpuUs: number
  readonly perSecond: number
  /** The furthest that the sender was behind its rate. */
  readonly behindMs: number
  readonly memoryMb: number
  readonly sent: number
  readonly openNow: number
  readonly met: number
}

const RATE = 2_000

/** Events through an expectation with 100 K open keys, beside the same events with none. */
export const expectations: Suite = {
  name: 'expectations',
  async run({ pairs, seconds, isQuick }) {
    const open = isQuick ? 1_000 : 100_000
    const load = (which: string): Promise<Load> =>
      measure(
        'expectation-load.ts',
        which,
        '--seconds',
        String(seconds + 2),
        '--open',
        String(open),
        '--rate',
        String(RATE),
      )
    const rounds = await inTurn(
      pairs,
      () => load('one'),
      () => load('none'),
    )
    const taken = median(rounds.map(({ ours }) => ours.perSecond))
    const behindMs = median(rounds.map(({ ours }) => ours.behindMs))
    const more = median(rounds.map(({ ours, theirs }) => ours.cpuUs - theirs.cpuUs))
    return {
      rounds,
      rows: [
        {
          what: `${RATE} events/s through an expectation with ${open} open keys, SQLite`,
          against: 'the rate of the events',
          ours: `${Math.round(more)} µs of CPU more for each, ${Math.round(behindMs)} ms behind at most`,
          theirs: perSecond(RATE),
          ratio: Math.min(1, taken / RATE),
          goal: '≥ 0.7, reach 0.9',
          holds: taken >= 0.7 * RATE,
        },
        {
          what: 'the same, as fast as it goes',
          against: 'the same events without an expectation',
          ours: perSecond(taken),
          theirs: perSecond(median(rounds.map(({ theirs }) => theirs.perSecond))),
          ratio: median(rounds.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond)),
          goal: '',
          holds: true,
        },
      ],
    }
  },
}
