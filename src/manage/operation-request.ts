import { LIMITS } from '../kernel/index.ts'
import type { OperationCommand, ReplayFilter, SagaFilter } from '../runtime/index.ts'
import { SAGA_STATES } from '../store/index.ts'
import { invalidParameter } from './parameters.ts'
import { checkMembers, type MemberSpec, type MemberSpecs } from './read-members.ts'
import { isJsonObject, type JsonObject } from './read-json-body.ts'

/** The body of `POST /api/v1/operations`, checked. */
export interface OperationRequest {
  readonly command: OperationCommand
  readonly reason: string
  readonly actor?: string
  readonly operationId?: string
}

const text = (summary: string): MemberSpec => ({ kind: 'text', summary })
const name: MemberSpec = { kind: 'text', isRequired: true, summary: 'Name of the consumer.' }
const id: MemberSpec = { kind: 'text', isRequired: true, summary: 'Id of what it is about.' }
const ids: MemberSpec = {
  kind: 'ids',
  maximum: LIMITS.operationIdsMax,
  summary: 'Those named, in this order.',
}
const run: MemberSpecs = {
  saga: { kind: 'text', isRequired: true, summary: 'Name of the saga.' },
  key: { kind: 'text', isRequired: true, summary: 'Key of the run.' },
}
const step: MemberSpec = { kind: 'text', isRequired: true, summary: 'The step, as `name#1`.' }
const any = (summary: string): MemberSpec => ({ kind: 'any', summary })
const cause = text('All open ones of this cause.')
const selection: MemberSpecs = { ids, cause }
const position = (summary: string): MemberSpec => ({ kind: 'integer', minimum: 1, summary })
const timeMs = (summary: string): MemberSpec => ({ kind: 'integer', minimum: 0, summary })
const rate: MemberSpec = {
  kind: 'integer',
  minimum: 1,
  maximum: LIMITS.ratePerSecondMax,
  summary: 'How many a second at most.',
}

const replayFilter: Readonly<Record<keyof ReplayFilter, MemberSpec>> = {
  from: {
    kind: 'text',
    allowed: ['dead-letters', 'messages'],
    summary: 'What gave up (the default), or the log once more.',
  },
  consumer: text('Only for this consumer.'),
  cause: text('Only dead letters of this cause.'),
  type: text('Only messages of this type.'),
  key: text('Only messages of this key.'),
  fromPosition: position('First position of the log, for messages.'),
  toPosition: position('Last position of the log, for messages.'),
  sinceMs: timeMs('Received at or after, epoch milliseconds.'),
  untilMs: timeMs('Received before, epoch milliseconds.'),
}

const sagaFilter: Readonly<Record<keyof SagaFilter, MemberSpec>> = {
  saga: text('Only runs of this saga.'),
  state: { kind: 'text', allowed: SAGA_STATES, summary: 'Only runs in this state.' },
  owner: text('Only runs of sagas of this team.'),
  step: text('Only runs that stand at this step: `name`, or `name#2`.'),
  startedBeforeMs: timeMs('Only runs started before, epoch milliseconds.'),
}

/** Every command and what it takes beside `kind`. */
export const COMMANDS: Readonly<Record<OperationCommand['kind'], MemberSpecs>> = {
  'dead-letter.retry': selection,
  'dead-letter.drop': selection,
  'replay.plan': {
    filter: {
      kind: 'object',
      isRequired: true,
      members: replayFilter,
      summary: 'What the replay takes; frozen with the plan.',
    },
    ratePerSecond: rate,
  },
  'replay.run': { id, token: text('The token of the plan, where the consumer is guarded.') },
  'replay.pause': { id },
  'replay.resume': { id },
  'replay.abort': { id },
  'invalid.readmit': {
    ...selection,
    webhook: text('All open ones of this webhook.'),
    planOnly: { kind: 'boolean', summary: 'Only count what would be admitted.' },
    ratePerSecond: rate,
  },
  'invalid.drop': selection,
  'alert.acknowledge': { id },
  'expectation.settle': { name, key: text('Only this key; without it, all that were missed.') },
  'consumer.pause': { name },
  'consumer.resume': { name },
  'consumer.retire': { name },
  'saga.cancel': run,
  'saga.terminate': run,
  'saga.pause': run,
  'saga.resume': run,
  'saga.retry-step': { ...run, step },
  'saga.skip-step': { ...run, step, value: any('What the step gives in its place.') },
  'saga.edit-step': { ...run, step, value: any('What the step is asked with from now on.') },
  'saga.start': {
    saga: { kind: 'text', isRequired: true, summary: 'Name of the saga.' },
    data: { kind: 'any', isRequired: true, summary: 'Data of the contract that starts it.' },
  },
  'saga.plan': {
    act: {
      kind: 'text',
      isRequired: true,
      allowed: ['cancel', 'terminate', 'pause', 'resume', 'retry-step'],
      summary: 'What is to be done to each run.',
    },
    filter: {
      kind: 'object',
      isRequired: true,
      members: sagaFilter,
      summary: 'Which runs; frozen with the plan.',
    },
  },
  'saga.run-plan': {
    id: { kind: 'text', isRequired: true, summary: 'Operation id of the plan.' },
    token: { kind: 'text', isRequired: true, summary: 'The token of the plan.' },
  },
  'saga.signal': {
    ...run,
    type: { kind: 'text', isRequired: true, summary: 'Name of an event that the saga waits for.' },
    data: any('Data of the event.'),
  },
}

/** Members beside the command. */
export const OPERATION_MEMBERS: MemberSpecs = {
  command: { kind: 'any', isRequired: true, summary: 'What to do: `kind` and its members.' },
  reason: {
    kind: 'text',
    isRequired: true,
    maximum: LIMITS.reasonCharsMax,
    summary: 'Why; it is journaled.',
  },
  actor: {
    kind: 'text',
    maximum: 200,
    summary: 'Who says it is them; the token is the actor where one is set. Default local.',
  },
  operationId: {
    kind: 'text',
    maximum: 200,
    summary: 'The same id runs once; a repeat gets the first result.',
  },
}

/** @throws JUNCTURA_PARAMETER_INVALID naming the member, what is allowed, and the fix. */
export const readOperationRequest = (body: JsonObject): OperationRequest => {
  checkMembers(body, OPERATION_MEMBERS)
  const { command, reason, actor, operationId } = body
  if (!isJsonObject(command) || !isChecked(command)) {
    throw invalidParameter('command', {
      problem: 'it is no object',
      allowed: 'an object with `kind`',
      fix: 'Send { "kind": …, … }.',
    })
  }
  return {
    command,
    reason: String(reason),
    ...(typeof actor === 'string' && { actor }),
    ...(typeof operationId === 'string' && { operationId }),
  }
}

/** True, or it has thrown: everything a command says was held against the table of its kind. */
function isChecked(command: JsonObject): command is JsonObject & OperationCommand {
  const { kind, ...members } = command
  const allowed = Object.keys(COMMANDS)
  const specs = typeof kind === 'string' && isCommandKind(kind) ? COMMANDS[kind] : undefined
  if (!specs) {
    throw invalidParameter('command.kind', {
      problem: 'there is no such command',
      allowed,
      fix: `Use one of: ${allowed.join(', ')}.`,
    })
  }
  checkMembers(members, specs, 'command')
  checkSelection(String(kind), members)
  return true
}

const isCommandKind = (kind: string): kind is OperationCommand['kind'] =>
  Object.hasOwn(COMMANDS, kind)

/** "All" is never meant by accident: what a selection is about has to be named. */
function checkSelection(kind: string, members: JsonObject): void {
  if (!/^(dead-letter|invalid)\./.test(kind)) return
  const choices = kind === 'invalid.readmit' ? ['ids', 'cause', 'webhook'] : ['ids', 'cause']
  const given = choices.filter((choice) => members[choice] !== undefined)
  if (given.length === 1) return
  throw invalidParameter('command', {
    problem: given.length === 0 ? 'it names nothing' : `${given.join(' and ')} exclude each other`,
    allowed: choices,
    fix: `Give exactly one of: ${choices.join(', ')}.`,
  })
}
