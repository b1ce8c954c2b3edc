import { type Command, InvalidArgumentError } from 'commander'
import type { CliIo } from './cli-io.ts'
import type { ExitCode } from './exit-codes.ts'
import { createManagementClient, type ManagementClient } from './management-client.ts'
import type { ManagementOptions, OperationBy } from './management-client.ts'
import { createOutput, type Output } from './output.ts'

/** What every command is given when the command line is put together. */
export interface CommandContext {
  readonly io: CliIo
  /** The exit code of the command that ran. */
  finish(code: ExitCode): void
}

export interface JsonOption {
  readonly json?: boolean
}

export interface ClientOptions extends JsonOption, ManagementOptions {}

export interface ReasonOptions {
  readonly reason?: string
  readonly actor?: string
  readonly operationId?: string
}

/** A command that talks to a running integration. */
export interface Session {
  readonly io: CliIo
  readonly out: Output
  readonly client: ManagementClient
}

export const openSession = (io: CliIo, options: ClientOptions): Session => ({
  io,
  out: createOutput(io, options.json === true),
  client: createManagementClient(io, options),
})

/** Who does it and why, for the record that is kept of it. */
export const operatorOf = (io: CliIo, options: ReasonOptions, command: string): OperationBy => ({
  actor: options.actor ?? `cli:${io.user}`,
  reason: options.reason ?? `junctura ${command}`,
  ...(options.operationId !== undefined && { operationId: options.operationId }),
})

export const withJson = (command: Command): Command =>
  command.option('--json', 'print one JSON object instead of text')

/** The options of every command that talks to a running integration. */
export const withClient = (command: Command): Command =>
  withJson(command)
    .option('--management-url <url>', 'of the management listener (or JUNCTURA_MANAGEMENT_URL)')
    .option('--management-port <port>', 'its port on this machine (default: 7071)', parsePort)
    .option('--token-env <name>', 'variable that holds the token (default: JUNCTURA_TOKEN)')

/** The options of every command that changes something. */
export const withReason = (command: Command): Command =>
  command
    .option('--reason <text>', 'why, for the record (default: the command itself)')
    .option('--actor <name>', 'who, for the record (default: cli:<user>)')
    .option('--operation-id <id>', 'runs once under this id; a repeat gets the first result')

/** The options of every list. */
export const withPage = (command: Command): Command =>
  command
    .option('--limit <n>', 'rows at most (default: 50, maximum: 500)', parseCount(1, 500))
    .option('--after <key>', 'go on after the `next` of the page before')

export const parsePort = (text: string): string => {
  parseCount(0, 65_535)(text)
  return text
}

/** A whole number within bounds. */
export const parseCount =
  (minimum: number, maximum: number) =>
  (text: string): number => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value
    throw new InvalidArgumentError(`Write a whole number from ${minimum} to ${maximum}.`)
  }

/** A rate such as `100`, `100/s` or `30/m`, in messages per second. */
export const parseRate = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?)(?:\/(s|m|h))?$/.exec(text)
  const perSecond = Number(match?.[1]) / (match?.[2] === 'h' ? 3600 : match?.[2] === 'm' ? 60 : 1)
  if (match && perSecond > 0 && perSecond <= 100_000) return perSecond
  throw new InvalidArgumentError('Write a rate such as 100/s.')
}

/** As the management API takes it. */
export const wholeRate = (perSecond: number): number => Math.max(1, Math.round(perSecond))

/** Collects an option that may be given several times. */
export const collect = (text: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  text,
]
