import type { Command } from 'commander'
import { createSeededRandom, randomInteger } from '../kernel/index.ts'
import {
  type ClientOptions,
  collect,
  type CommandContext,
  openSession,
  parseCount,
  type Session,
  withClient,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { applySettings, parseGiven, readGivenBytes } from './json-input.ts'
import { fetchModel, findPart, type ModelParts } from './model-parts.ts'

export interface EmitOptions extends ClientOptions {
  readonly data?: string
  readonly file?: string
  readonly set?: readonly string[]
  readonly count?: number
  readonly seed?: number
}

/** Adds `emit TYPE`: a message of our own, past the border. */
export const addEmitCommand = (program: Command, { io, finish }: CommandContext): void => {
  withClient(program.command('emit <type>'))
    .description('Publishes an event or a command of ours; an example, or your data.')
    .option('--data <json>', 'the data, in the latest version of its contract')
    .option('--file <path>', 'the data, from a file; - reads stdin')
    .option('--set <path=value>', 'puts a value into it; {n} counts; may be given again', collect)
    .option('--count <n>', 'so many (default: 1)', parseCount(1, 100_000))
    .option('--seed <n>', 'makes the same examples again', parseCount(0, 2 ** 31 - 1))
    .action(async (type: string, options: EmitOptions) => {
      const session = openSession(io, options)
      finish(await emit(session, await fetchModel(session.client), type, options))
    })
}

export const emit = async (
  session: Session,
  model: ModelParts,
  type: string,
  options: EmitOptions,
): Promise<ExitCode> => {
  const { io, out, client } = session
  const { makeExample } = await import('../schema/index.ts')
  const contract = findPart(model.contracts, type, 'contract')
  const schema = contract.versions.find(({ version }) => version === contract.latest)?.schema
  const given = await readGivenBytes(io, options)
  const seed = options.seed ?? randomInteger(io.kernel.random, 0, 2 ** 30)
  const ids: string[] = []
  for (let n = 1; n <= (options.count ?? 1); n++) {
    const base = given ? parseGiven(given) : makeExample(schema ?? {}, createSeededRandom(seed + n))
    const data = applySettings(base, options.set ?? [], n)
    const { id } = await client.post<{ readonly id: string }>('/api/v1/publish', { type, data })
    ids.push(id)
  }
  out.result('emit', { type, ids }, () =>
    [
      `${ids.length} published`,
      ...ids.slice(0, 20).map((id) => out.paint('gray', `junctura trace ${id}`)),
    ].join('\n'),
  )
  return EXIT.ok
}
