import { type Command, Option } from 'commander'
import { SAGA_STATES } from '../store/index.ts'
import type { CliIo } from './cli-io.ts'
import { parseLength } from './human-time.ts'

/** Which runs, as every command that selects some takes it. */
export interface SagaFilterOptions {
  readonly saga?: string
  readonly state?: string
  readonly owner?: string
  readonly step?: string
  readonly olderThan?: string
}

export const withSagaFilter = (command: Command): Command =>
  command
    .option('--saga <name>', 'only of this saga')
    .addOption(new Option('--state <state>', 'only in this state').choices([...SAGA_STATES]))
    .option('--owner <team>', 'only of sagas of this team')
    .option('--step <step>', 'only those that stand at this step: name, or name#2')
    .option('--older-than <time>', 'only those started longer ago: 2h, 3d')

/** @throws JUNCTURA_USAGE when the age is none. */
export const startedBeforeMs = (
  { kernel }: Pick<CliIo, 'kernel'>,
  { olderThan }: SagaFilterOptions,
): number | undefined =>
  olderThan === undefined ? undefined : kernel.clock.now() - parseLength(olderThan, '--older-than')
