import { Command } from 'commander'
import { addAlertCommands } from './alert-commands.ts'
import type { CommandContext } from './command-context.ts'
import { addConsumerCommands } from './consumer-commands.ts'
import { addDeadLetterCommands } from './dead-letter-commands.ts'
import { addDevCommand } from './dev-command.ts'
import { addDoctorCommand } from './doctor-command.ts'
import { addEmitCommand } from './emit-command.ts'
import { addExplainCommand } from './explain-command.ts'
import { addExpectationCommands } from './expectation-commands.ts'
import { addFlowCommand } from './flow-command.ts'
import { addInvalidCommands } from './invalid-commands.ts'
import { addModelCommand } from './model-command.ts'
import { addNewCommand } from './new-command.ts'
import { addOutboxCommands } from './outbox-commands.ts'
import { addTopicCommands } from './topic-commands.ts'
import { addOperationsCommand } from './operations-command.ts'
import { readOwnVersion } from './own-version.ts'
import { addReplayCommands } from './replay-commands.ts'
import { addSagaCommands } from './saga-commands.ts'
import { addSchedulesCommand } from './schedules-command.ts'
import { addSendCommand } from './send-command.ts'
import { addStartCommand } from './start-command.ts'
import { addStoreCommand } from './store-command.ts'
import { addTailCommand } from './tail-command.ts'
import { addTestCommand } from './test-command.ts'
import { addTraceCommand } from './trace-command.ts'

const AFTER_HELP = `
Exit codes: 0 as asked, 1 findings, 64 usage, 69 unreachable, 70 crash, 130 Ctrl-C.
Every command prints JSON with --json. docs/reference/cli.md describes all of them.`

/** The whole command line. Heavy rooms are loaded by the command that needs them, when it runs. */
export const createProgram = (context: CommandContext, json = false): Command => {
  const { stdout, stderr } = context.io
  const program = new Command('junctura')
    .description('Runs, drives and looks into an integration.')
    .version(readOwnVersion(), '-V, --version')
    .addHelpText('after', AFTER_HELP)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      // Under --json the one object on stdout says it.
      writeErr: (text) => (json ? undefined : stderr.write(text)),
      getOutHelpWidth: () => stdout.columns,
      getErrHelpWidth: () => stderr.columns,
    })
  for (const add of COMMANDS) add(program, context)
  return program
}

const COMMANDS: readonly ((program: Command, context: CommandContext) => void)[] = [
  addNewCommand,
  addDevCommand,
  addStartCommand,
  addTestCommand,
  addSendCommand,
  addEmitCommand,
  addTailCommand,
  addTraceCommand,
  addDeadLetterCommands,
  addInvalidCommands,
  addReplayCommands,
  addAlertCommands,
  addExpectationCommands,
  addSagaCommands,
  addFlowCommand,
  addSchedulesCommand,
  addConsumerCommands,
  addOutboxCommands,
  addTopicCommands,
  addOperationsCommand,
  addModelCommand,
  addStoreCommand,
  addDoctorCommand,
  addExplainCommand,
]
