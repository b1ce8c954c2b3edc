import {
  type AnyCommand,
  type AnyContract,
  consumer,
  type Consumer,
  type ConsumerContext,
  type Draft,
  type Team,
  team,
} from '../../contract/index.ts'
import { readReplyTo, sagaContract } from '../../flow/index.ts'
import { compileValidator, type Validator } from '../../schema/index.ts'
import { isDeepStrictEqual } from 'node:util'
import { type ResolvedAnswer, resolveAnswer } from './stub-answer.ts'

/** Commands and how each is answered; without `answer` it is only done. */
export interface Stub {
  readonly command: AnyCommand
  readonly answer: unknown
  /** False where nobody said how, and the command has an output. */
  readonly isGiven: boolean
}

/** One request, as its owner saw it: repeats with its key are one. */
export interface StubRequest {
  readonly command: string
  /** `name#occurrence`, or `undo:name#occurrence` of the step that it takes back. */
  readonly step: string
  readonly key: string
  readonly idempotencyKey: string
  readonly input: unknown
  readonly atMs: number
  /** In the log. */
  readonly position: number
}

/**
 * The other systems of a scenario. They live outside the process under test, so what they have
 * seen and promised survives its crashes, and a repeat of a request is recognised.
 */
export interface StubDesk {
  readonly consumers: readonly Consumer[]
  /** In the order of the log. */
  requests(): readonly StubRequest[]
  /** What is wrong with the scenario or with what the saga asked, in sentences. */
  readonly problems: readonly string[]
  /** When the next answer is due; undefined when none is. */
  nextDueMs(): number | undefined
  /** Answers that are due, to be published and then removed. */
  due(nowMs: number): readonly DueAnswer[]
}

export interface DueAnswer {
  readonly draft: Draft
  done(): void
}

export const openStubDesk = (stubs: readonly Stub[], nowMs: () => number): StubDesk => {
  const owner = team('saga-test')
  const requests = new Map<string, StubRequest>()
  const promised = new Map<string, { readonly atMs: number; readonly given: ResolvedAnswer }>()
  const counts = new Map<string, number>()
  const waiting = new Map<string, { readonly atMs: number; readonly draft: Draft }>()
  const problems: string[] = []
  const tell = (problem: string): void => {
    if (!problems.includes(problem)) problems.push(problem)
  }

  const note = (request: StubRequest): void => {
    const known = requests.get(request.idempotencyKey)
    if (!known) requests.set(request.idempotencyKey, request)
    else if (!isDeepStrictEqual(known.input, request.input)) {
      tell(
        `${request.step} was asked twice under one idempotency key with different inputs: ${JSON.stringify(known.input)}, then ${JSON.stringify(request.input)}`,
      )
    }
  }

  const serve = (stub: Stub, check: (given: ResolvedAnswer) => void) => {
    return async (input: unknown, ctx: ConsumerContext): Promise<void> => {
      const { envelope, position, id } = ctx.message
      const to = envelope.replyto === undefined ? undefined : readReplyTo(envelope.replyto)
      if (!to) return
      const { step, key } = to
      const idempotencyKey = envelope.idempotencykey ?? id
      const atMs = nowMs()
      const command = stub.command.name
      note({ command, step, key, idempotencyKey, input, atMs, position })
      if (!stub.isGiven) tell(unstubbed(stub.command, step))
      const before = promised.get(id)
      const nth = counts.get(command) ?? 0
      if (!before) counts.set(command, nth + 1)
      const given = before?.given ?? resolveAnswer(stub.answer, { nth, input })
      if (!before) check(given)
      promised.set(id, before ?? { atMs, given })
      if (!given.answer) return
      const data = { kind: 'answer', key, step, ...given.answer }
      const draft = { contract: sagaContract(to.saga), data }
      const dueMs = (before?.atMs ?? atMs) + given.afterMs
      if (given.afterMs > 0) waiting.set(id, { atMs: dueMs, draft })
      else ctx.emit(draft)
    }
  }

  return {
    consumers: stubs.map((stub) => stubConsumer(owner, stub, serve(stub, checkOf(stub, tell)))),
    requests: () => [...requests.values()].toSorted((a, b) => a.position - b.position),
    problems,
    nextDueMs: () => {
      const times = [...waiting.values()].map(({ atMs }) => atMs)
      return times.length === 0 ? undefined : Math.min(...times)
    },
    due: (at) =>
      [...waiting]
        .filter(([, { atMs }]) => atMs <= at)
        .map(([id, { draft }]) => ({ draft, done: () => void waiting.delete(id) })),
  }
}

function stubConsumer(owner: Team, { command }: Stub, handle: Consumer['handle']): Consumer {
  const on: AnyContract = command
  return consumer(`stub-of-${command.name.replaceAll('.', '-')}`, {
    owner,
    on,
    from: 'earliest',
    idempotency: 'natural',
    retry: { attempts: 3, first: '1s', max: '10s' },
    deadLetter: { alert: owner.oncall },
    afterDeadLetter: 'skip',
    replay: 'safe',
    handle,
  })
}

/** Holds an answer to what the command declares, as the runtime does with that of a handler. */
function checkOf(
  { command }: Stub,
  tell: (problem: string) => void,
): (given: ResolvedAnswer) => void {
  const { output, errors } = command.answers
  const what = `the stub of ${command.name}`
  const validators = new Map<string, Validator>()
  const validatorOf = (error: string): Validator | undefined => {
    const schema = error === '' ? output : errors.get(error)
    const known = validators.get(error) ?? (schema && compileValidator(schema, what))
    if (known) validators.set(error, known)
    return known
  }
  return ({ answer }) => {
    if (!answer || answer.outcome === 'failed') return
    const error = answer.outcome === 'declined' ? answer.error : ''
    if (error !== '' && !errors.has(error)) {
      const known = [...errors.keys()].join(', ') || 'none'
      return tell(`${what} declines with ${error}; the command declares: ${known}`)
    }
    const verdict = validatorOf(error)?.validate(answer.data)
    if (!verdict || verdict.ok) return
    const fields = verdict.errors.map(({ message }) => message).join(' ')
    tell(`${what} answers what the command does not declare: ${fields}`)
  }
}

const unstubbed = ({ name }: AnyCommand, step: string): string =>
  `the saga asked for ${name} (${step}), and the scenario does not say what is answered: add .stub(…)`
