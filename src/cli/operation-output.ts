import type { OperationCommand, OperationResult } from '../runtime/index.ts'
import { operatorOf, type ReasonOptions, type Session } from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'

export interface OperationAsk {
  /** As typed, for the record: `dlq retry`. */
  readonly name: string
  readonly command: OperationCommand
  readonly options: ReasonOptions
  /** What came of it, in a sentence; undefined shows the result's counts. */
  readonly tell?: (result: Readonly<Record<string, unknown>>) => string
}

/** Does one operation and prints what came of it. */
export const runOperation = async (session: Session, ask: OperationAsk): Promise<ExitCode> => {
  const { io, out, client } = session
  const by = operatorOf(io, ask.options, ask.name)
  const operation = await client.operate(ask.command, by)
  out.result('operation', { command: ask.command.kind, ...operation }, () => {
    const told = (ask.tell ?? countsOf)(resultOf(operation))
    const again = operation.repeated ? ' (this operation had run before; its first result)' : ''
    return `${told}${again}\n${out.paint('gray', operation.operationId)}`
  })
  return operation.state === 'done' ? EXIT.ok : EXIT.findings
}

/** What an operation gave, as a record whatever it was. */
const resultOf = (operation: OperationResult): Readonly<Record<string, unknown>> =>
  typeof operation.result === 'object' && operation.result !== null ? { ...operation.result } : {}

/** `12 started, 1 refused` of `{ started: 12, refused: 1 }`; lists are counted. */
const countsOf = (result: Readonly<Record<string, unknown>>): string => {
  const counts = Object.entries(result).flatMap(([name, value]) => {
    const count = Array.isArray(value) ? value.length : value
    return typeof count === 'number' ? [`${count} ${name}`] : []
  })
  return counts.length === 0 ? 'done' : counts.join(', ')
}
