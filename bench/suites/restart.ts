import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { inFolder, inTurn, measure, median, milliseconds, type Suite } from '../harness.ts'

interface Started {
  /** From the start of the process. */
  readonly readyMs: number
}

const start = (directory: string): Promise<Started> =>
  measure('publish-load.ts', 'start', '--directory', directory)

const mebibytesOf = (directory: string): number => {
  const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size)
  return Math.round(sizes.reduce((sum, size) => sum + size, 0) / 2 ** 20)
}

/** From the start of the process until ready, each time after kill -9. */
export const restart: Suite = {
  name: 'restart',
  async run({ pairs, isQuick }) {
    // Each with a record: ten million take a little over 1 GiB.
    const keys = isQuick ? 20_000 : 10_000_000
    return inFolder(async (folder) => {
      const full = join(folder, 'full')
      const empty = join(folder, 'empty')
      for (const directory of [full, empty]) {
        await measure('publish-load.ts', 'park', '--directory', directory)
      }
      await measure('make-store.ts', 'crashed', full, String(keys))
      const mebibytes = mebibytesOf(full)
      const rounds = await inTurn(
        pairs,
        () => start(full),
        () => start(empty),
      )
      const readyMs = median(rounds.map(({ ours }) => ours.readyMs))
      return {
        rounds: { keys, mebibytes, rounds },
        rows: [
          {
            what: `Ready after kill -9, from the start of the process; ${keys} live keys, ${mebibytes} MiB on disk`,
            against: 'an empty store; the ratio is of speeds',
            ours: milliseconds(readyMs),
            theirs: milliseconds(median(rounds.map(({ theirs }) => theirs.readyMs))),
            ratio: median(rounds.map(({ ours, theirs }) => theirs.readyMs / ours.readyMs)),
            goal: '≤ 8 s',
            holds: readyMs <= 8_000,
          },
        ],
      }
    })
  },
}
