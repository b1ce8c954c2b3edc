import type { Command } from 'commander'
import { JuncturaError } from '../kernel/index.ts'
import type { OperationCommand } from '../runtime/index.ts'
import type { CliIo } from './cli-io.ts'
import {
  type ClientOptions,
  type CommandContext,
  openSession,
  type ReasonOptions,
  withClient,
  withReason,
} from './command-context.ts'
import { confirm } from './confirm.ts'
import { EXIT } from './exit-codes.ts'
import { type DataOptions, parseGiven, readGivenBytes } from './json-input.ts'
import { runOperation } from './operation-output.ts'
import { quoted } from './saga-timeline.ts'

type ActOptions = ClientOptions & ReasonOptions
type DataActOptions = ActOptions & DataOptions
type ValueOptions = ActOptions & { readonly value?: string; readonly file?: string }
type EndOptions = ActOptions & { readonly yes?: boolean }

/** Adds what is done to one run. */
export const addSagaActs = (sagas: Command, { io, finish }: CommandContext): void => {
  const act = async (
    name: string,
    command: OperationCommand,
    options: ActOptions,
  ): Promise<void> => {
    const tell = toldOf(command)
    const ask = { name: `sagas ${name}`, command, options, tell }
    finish(await runOperation(openSession(io, options), ask))
  }

  withData(withReason(withClient(sagas.command('start <saga>'))))
    .description('Starts a run as its trigger would, for this saga alone.')
    .action(async (saga: string, options: DataActOptions) => {
      await act('start', { kind: 'saga.start', saga, data: await readData(io, options) }, options)
    })

  withData(withReason(withClient(sagas.command('signal <saga> <key> <type>'))))
    .description('Gives one run an event that the saga waits for.')
    .action(async (saga: string, key: string, type: string, options: DataActOptions) => {
      const data = await readData(io, options)
      await act('signal', { kind: 'saga.signal', saga, key, type, data }, options)
    })

  for (const [verb, what] of [
    ['pause', 'Keeps what comes for a run, and does nothing.'],
    ['resume', 'Goes on; a step that failed is tried anew.'],
  ] as const) {
    withReason(withClient(sagas.command(`${verb} <saga> <key>`)))
      .description(what)
      .action(async (saga: string, key: string, options: ActOptions) => {
        await act(verb, { kind: `saga.${verb}`, saga, key }, options)
      })
  }

  addEnds(sagas, { io, finish, act })
  addStepActs(sagas, { io, act })
}

interface Acts {
  readonly io: CliIo
  readonly act: (name: string, command: OperationCommand, options: ActOptions) => Promise<void>
}

function addEnds(sagas: Command, { io, finish, act }: Acts & Pick<CommandContext, 'finish'>): void {
  withReason(withClient(sagas.command('cancel <saga> <key>')))
    .description('Takes a run back: what was begun is compensated.')
    .action(async (saga: string, key: string, options: ActOptions) => {
      await act('cancel', { kind: 'saga.cancel', saga, key }, options)
    })

  withReason(withClient(sagas.command('terminate <saga> <key>')))
    .description('Ends a run as it is; nothing is compensated.')
    .option('--yes', 'without a question')
    .action(async (saga: string, key: string, options: EndOptions) => {
      const question = `End ${saga} ${key} and leave what it did as it is?`
      if (!(await confirm(io, question, options))) return finish(EXIT.findings)
      await act('terminate', { kind: 'saga.terminate', saga, key }, options)
    })
}

function addStepActs(sagas: Command, { io, act }: Acts): void {
  withReason(withClient(sagas.command('retry <saga> <key> <step>')))
    .description('Asks a step again: name#1, or undo:name#1 of a compensation.')
    .action(async (saga: string, key: string, step: string, options: ActOptions) => {
      await act('retry', { kind: 'saga.retry-step', saga, key, step }, options)
    })

  withValue(withReason(withClient(sagas.command('skip <saga> <key> <step>'))))
    .description('Says what a step gave, in its place; it needs a --reason.')
    .action(async (saga: string, key: string, step: string, options: ValueOptions) => {
      if (options.reason === undefined) throw usage('a skip has no reason', 'give --reason TEXT')
      const value = await readValue(io, options)
      const given = value === undefined ? {} : { value }
      await act('skip', { kind: 'saga.skip-step', saga, key, step, ...given }, options)
    })

  withValue(withReason(withClient(sagas.command('edit <saga> <key> <step>'))))
    .description('Asks a step again with another input.')
    .action(async (saga: string, key: string, step: string, options: ValueOptions) => {
      const value = await readValue(io, options)
      if (value === undefined) throw usage('there is no input', 'give --value JSON, or --file PATH')
      await act('edit', { kind: 'saga.edit-step', saga, key, step, value }, options)
    })
}

const withData = (command: Command): Command =>
  command
    .option('--data <json>', 'the data, in the latest version of its contract')
    .option('--file <path>', 'the data, from a file; - reads stdin')

const withValue = (command: Command): Command =>
  command
    .option('--value <json>', 'the value')
    .option('--file <path>', 'the value, from a file; - reads stdin')

const readData = async (io: CliIo, options: DataOptions): Promise<unknown> => {
  const bytes = await readGivenBytes(io, options)
  if (bytes) return parseGiven(bytes)
  throw usage('there is no data', 'give --data JSON, or --file PATH')
}

const readValue = async (io: CliIo, { value, file }: ValueOptions): Promise<unknown> => {
  const bytes = await readGivenBytes(io, {
    ...(value !== undefined && { data: value }),
    ...(file !== undefined && { file }),
  })
  return bytes && parseGiven(bytes)
}

/** It is done in the run's own lane, after what came before it. */
const toldOf =
  (command: OperationCommand) =>
  ({ saga, key }: Readonly<Record<string, unknown>>): string =>
    `${command.kind.replace('saga.', '')} was given to ${String(saga)} ${String(key)}; ` +
    `what came of it: junctura sagas show ${quoted(String(saga))} ${quoted(String(key))}`

const usage = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem, fix } })
