import { isJuncturaError, JuncturaError, type Kernel, messageOf } from '../kernel/index.ts'
import type { Committer, OperationRow, Store } from '../store/index.ts'
import type { OperationCommand, OperationResult, Operator } from './commands.ts'
import type { EventHub } from './events.ts'

/** Does one kind of thing a person asked for. Throws JUNCTURA_OPERATION_REFUSED when it may not. */
export type OperationHandler = (command: OperationCommand, by: Operator) => Promise<unknown>

export interface OperationsOptions {
  readonly store: Store
  readonly committer: Committer
  readonly kernel: Kernel
  readonly events: EventHub
  readonly handle: OperationHandler
}

/**
 * The one door for what people do. The record is durable before anything is done; a second call
 * with the same id gives the first result. An operation that was cut off by a crash stays
 * `started`, and a repeat of its id runs it again: every handler is safe to run twice.
 */
export const createOperations = (
  options: OperationsOptions,
): { operate(command: OperationCommand, by: Operator): Promise<OperationResult> } => {
  const { store, committer, kernel, events } = options

  const write = async (row: OperationRow): Promise<void> => {
    const outcome = await committer.submit({
      rows: [{ collection: 'operations', key: row.id, row }],
      isInternal: true,
    })
    if (outcome.status === 'failed') throw outcome.error
    events.publish({
      kind: 'operation',
      operationId: row.id,
      command: row.command,
      actor: row.actor,
      state: row.state,
    })
  }

  /** Asked for and not finished: whoever repeats one waits for it. */
  const underWay = new Map<string, Promise<OperationResult>>()

  const perform = async (
    id: string,
    command: OperationCommand,
    by: Operator,
  ): Promise<OperationResult> => {
    const known = await store.row('operations', id)
    if (known && known.state !== 'started') {
      const state = known.state
      return { operationId: id, state, repeated: true, result: known.result }
    }
    const started: OperationRow = {
      id,
      command: command.kind,
      parameters: command,
      actor: by.actor,
      reason: by.reason,
      origin: by.origin,
      atMs: known?.atMs ?? kernel.clock.now(),
      state: 'started',
      result: null,
    }
    await write(started)
    let result: unknown
    try {
      result = (await options.handle(command, { ...by, operationId: id })) ?? null
    } catch (error) {
      const isRefused = isJuncturaError(error, 'JUNCTURA_OPERATION_REFUSED')
      const problem = {
        code: isJuncturaError(error) ? error.code : 'error',
        message: messageOf(error),
      }
      const state = isRefused ? 'refused' : 'failed'
      await write({ ...started, state, result: problem, finishedAtMs: kernel.clock.now() })
      throw error
    }
    await write({ ...started, state: 'done', result, finishedAtMs: kernel.clock.now() })
    return { operationId: id, state: 'done', repeated: false, result }
  }

  const operate = async (command: OperationCommand, by: Operator): Promise<OperationResult> => {
    requireText(by.actor, 'actor')
    requireText(by.reason, 'reason')
    const id = by.operationId ?? kernel.ids.next('op')
    const earlier = underWay.get(id)
    if (earlier) return { ...(await earlier), repeated: true }
    const running = perform(id, command, by)
    underWay.set(id, running)
    try {
      return await running
    } finally {
      underWay.delete(id)
    }
  }
  return { operate }
}

function requireText(value: string, field: string): void {
  if (value.trim().length > 0 && value.length <= 500) return
  throw new JuncturaError('JUNCTURA_OPERATION_REFUSED', {
    details: {
      problem: `the operation has no ${field}`,
      fix: `give a ${field} of 1 to 500 characters`,
    },
  })
}

/** A refusal that says what to do instead. */
export const refused = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_OPERATION_REFUSED', { details: { problem, fix } })
