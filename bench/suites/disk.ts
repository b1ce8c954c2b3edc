import { measureUnder, median, perSecond, type Row, type Suite } from '../harness.ts'

interface Load {
  readonly perSecond: number
}

const DELAYS_MS = [0, 1, 5] as const

/** Both run under the same tracer, which stops at syncs only: the delay is all that differs. */
const tracer = (delayMs: number): readonly string[] => {
  const calls = 'fdatasync,fsync'
  const slow = ['-e', `inject=${calls}:delay_exit=${delayMs * 1_000}`]
  const strace = ['strace', '-D', '-f', '-qq', '--seccomp-bpf', '-o', '/dev/null']
  return [...strace, '-e', 'signal=none', '-e', `trace=${calls}`, ...(delayMs > 0 ? slow : [])]
}

const load = (delayMs: number, seconds: number): Promise<Load> =>
  measureUnder(tracer(delayMs), 'publish-load.ts', 'ours', '--seconds', String(seconds))

/** `publish` until its handler is done, where no HTTP hides the disk, with slow syncs. */
export const disk: Suite = {
  name: 'disk',
  needs: { strace: 'apt-get install strace' },
  async run({ pairs, seconds }) {
    const rounds: Load[][] = []
    for (let pair = 0; pair < pairs; pair++) {
      const round: Load[] = []
      for (const delayMs of DELAYS_MS) round.push(await load(delayMs, seconds))
      rounds.push(round)
    }
    const rateAt = (delay: number): number =>
      median(rounds.map((round) => round[delay]?.perSecond ?? 0))
    const row = (delayMs: number, delay: number): Row => {
      const ratio = median(
        rounds.map((round) => (round[delay]?.perSecond ?? 0) / (round[0]?.perSecond ?? 0)),
      )
      return {
        what: `\`publish\` until done; 1 KB, 512 in flight; each sync takes ${delayMs} ms longer`,
        against: 'the same without the delay, under the same tracer',
        ours: perSecond(rateAt(delay)),
        theirs: perSecond(rateAt(0)),
        ratio,
        goal: '≥ 0.7',
        holds: ratio >= 0.7,
      }
    }
    return { rounds, rows: DELAYS_MS.map(row).slice(1) }
  },
}
