import { rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  inFolder,
  inTurn,
  measure,
  median,
  milliseconds,
  perSecond,
  type Row,
  type Scale,
  type Suite,
} from '../harness.ts'

/** Beside the layout of the log, which it writes past the store. */
const SPARSE_LOG = join('..', 'src', 'store', 'sqlite', 'make-sparse-log.fixture.ts')

interface Load {
  readonly readyMs: number
  readonly perSecond: number
}

interface Rounds {
  readonly rounds: readonly { readonly ours: Load; readonly theirs: Load }[]
}

/** A store that has grown beside an empty one, in turn. Both keep what is published into them. */
async function besideEmpty(
  { pairs, seconds }: Scale,
  grow: (directory: string) => Promise<unknown>,
): Promise<Rounds> {
  return inFolder(async (folder) => {
    const full = join(folder, 'full')
    const empty = join(folder, 'empty')
    const load = (directory: string): Promise<Load> =>
      measure('publish-load.ts', 'ours', '--seconds', String(seconds), '--directory', directory)
    await measure('publish-load.ts', 'park', '--directory', full)
    await grow(full)
    const rounds = await inTurn(
      pairs,
      () => load(full),
      async () => {
        // Begun and closed once, as the other: making the tables is no part of a start.
        await measure('publish-load.ts', 'park', '--directory', empty)
        const measured = await load(empty)
        rmSync(empty, { recursive: true, force: true })
        return measured
      },
    )
    return { rounds }
  })
}

const rowsOf = ({ rounds }: Rounds, what: string): readonly Row[] => {
  const throughput = median(rounds.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond))
  const start = median(rounds.map(({ ours, theirs }) => theirs.readyMs / ours.readyMs))
  return [
    {
      what: `${what}: \`publish\` of other keys until done; 1 KB, 512 in flight`,
      against: 'the same with an empty store',
      ours: perSecond(median(rounds.map(({ ours }) => ours.perSecond))),
      theirs: perSecond(median(rounds.map(({ theirs }) => theirs.perSecond))),
      ratio: throughput,
      goal: '≥ 0.8',
      holds: throughput >= 0.8,
    },
    {
      what: `${what}: from the opening of the store until ready`,
      against: 'the same with an empty store; the ratio is of speeds',
      ours: milliseconds(median(rounds.map(({ ours }) => ours.readyMs))),
      theirs: milliseconds(median(rounds.map(({ theirs }) => theirs.readyMs))),
      ratio: start,
      goal: '≥ 0.8',
      holds: start >= 0.8,
    },
  ]
}

/** What has piled up must not slow down what goes on beside it. */
export const backlog: Suite = {
  name: 'backlog',
  async run(scale) {
    const successors = scale.isQuick ? 5_000 : 1_000_000
    const positions = scale.isQuick ? 1_000_000 : 100_000_000
    const parked = await besideEmpty(scale, (directory) =>
      measure('make-store.ts', 'parked', directory, String(successors)),
    )
    const sparse = await besideEmpty(scale, (directory) =>
      measure(SPARSE_LOG, directory, String(positions)),
    )
    return {
      rounds: { parked, sparse },
      rows: [
        ...rowsOf(parked, `One lane parked with ${successors} messages behind it`),
        ...rowsOf(sparse, `A log of ${positions} positions, most of them empty`),
      ],
    }
  },
}
