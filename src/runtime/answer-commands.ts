import { actionsOfContext, type WorkItem } from '../consumer/index.ts'
import {
  type AnyCommand,
  type Consumer,
  type ConsumerContext,
  type Database,
  Declined,
  type Envelope,
  isCommand,
  PlainCommandContext,
} from '../contract/index.ts'
import { readReplyTo, sagaContract } from '../flow/index.ts'
import type { Inbox } from '../inbox/index.ts'
import { JuncturaError, must } from '../kernel/index.ts'
import { compileValidator, type Validator } from '../schema/index.ts'
import type { Append, Row, RowWrite, SagaAnswer } from '../store/index.ts'
import type { Foundations } from './pipeline.ts'

/** Runs the handlers of commands, and tells those who asked. */
export interface AnswerDesk {
  answer(consumer: Consumer, input: unknown, ctx: ConsumerContext): Promise<void>
  /** That a handler gave up, for who asked. */
  givenUp(consumer: Consumer, item: WorkItem, problem: string): readonly Append[]
}

export const createAnswerDesk = (
  parts: Pick<Foundations, 'store' | 'kernel' | 'integration'> & { readonly inbox: Inbox },
): AnswerDesk => {
  const { store, inbox, integration, kernel } = parts
  const validators = new Map<string, Validator>()
  for (const { on, answer } of integration.consumers) {
    if (!answer || !isCommand(on)) continue
    const { output, errors } = on.answers
    const what = `command "${on.name}"`
    if (output) validators.set(`${on.name}\n`, compileValidator(output, `${what}.output`))
    for (const [error, schema] of errors) {
      validators.set(`${on.name}\n${error}`, compileValidator(schema, `${what}.errors.${error}`))
    }
  }

  /** What a handler gave, as it is told; checked against what the command promises. */
  const toAnswer = (command: AnyCommand, given: unknown): SagaAnswer => {
    const isDeclined = given instanceof Declined
    const error = isDeclined ? given.error : ''
    const data = isDeclined ? given.data : given
    const validator = validators.get(`${command.name}\n${error}`)
    if (isDeclined && !command.answers.errors.has(error)) {
      const known = [...command.answers.errors.keys()].join(', ') || 'none'
      throw wrongAnswer(command, `it declines with ${error}; declared are: ${known}`)
    }
    const verdict = validator?.validate(data)
    if (verdict && !verdict.ok) {
      const fields = verdict.errors.map(({ message }) => message).join(' ')
      throw wrongAnswer(command, `its answer does not fit: ${fields}`)
    }
    return isDeclined
      ? { outcome: 'declined', error, data: data ?? null }
      : { outcome: 'output', data: data ?? null }
  }

  const appendsOf = (envelope: Envelope, answer: SagaAnswer): readonly Append[] => {
    const to = envelope.replyto === undefined ? undefined : readReplyTo(envelope.replyto)
    if (!to) return []
    const { traceparent } = envelope
    const { saga, ...step } = to
    const origin = {
      id: `${envelope.id}.${answer.outcome}`,
      source: `/commands/${envelope.type}`,
      correlationId: envelope.correlationid,
      causationId: envelope.id,
      ...(traceparent !== undefined && { traceparent }),
    }
    const data = { kind: 'answer', ...step, ...answer }
    return [inbox.ownAppend({ contract: sagaContract(saga), data }, origin)]
  }

  /** Also what it answered under an earlier name. */
  const findAnswer = async (
    { name, was }: Consumer,
    key: string,
  ): Promise<Row<'commandAnswers'> | undefined> => {
    for (const one of [name, ...was]) {
      const row = await store.row('commandAnswers', `${one}\n${key}`)
      if (row) return row
    }
    return undefined
  }

  return {
    async answer(consumer, input, ctx) {
      const command = must(isCommand(consumer.on) ? consumer.on : undefined, 'it handles a command')
      const handle = must(consumer.answer, 'it answers')
      const actions = actionsOfContext(ctx)
      const { envelope } = ctx.message
      const request = requestKey(command, input, envelope)
      const kept = request && `${consumer.name}\n${request.key}`
      // A first request of a saga cannot have been answered, as it is found in the log once; but
      // when it became a dead letter, a second one may have been before it is tried again.
      const mayBeKnown = request?.mayBeKnown === true || actions.isBroughtBack
      const known = mayBeKnown && request ? await findAnswer(consumer, request.key) : undefined
      if (known) {
        actions.write({ rows: [], appends: appendsOf(envelope, known.answer) })
        return
      }
      const write = (given: unknown): void => {
        const answer = toAnswer(command, given)
        const expiresAtMs = kernel.clock.now() + command.answers.answerRetentionMs
        const row = { consumer: consumer.name, answer, expiresAtMs }
        const rows: readonly RowWrite[] =
          kept === undefined ? [] : [{ collection: 'commandAnswers', key: kept, row }]
        actions.write({ rows, appends: appendsOf(envelope, answer) })
      }
      const context = new Answering(ctx, write)
      const given = await handle(input, context)
      if (!context.hasAnswered) write(given)
    },
    givenUp: (_consumer, { record }, problem) =>
      appendsOf(record.head.envelope, { outcome: 'failed', error: problem }),
  }
}

/** What names one request: its own key where the command has one, else that of who asked. */
function requestKey(
  command: AnyCommand,
  input: unknown,
  envelope: Envelope,
): { readonly key: string; readonly mayBeKnown: boolean } | undefined {
  const { idempotencyPaths } = command.answers
  if (idempotencyPaths.length > 0) {
    const values = idempotencyPaths.map((path) => valueAt(input, path))
    return { key: JSON.stringify(values), mayBeKnown: true }
  }
  const { idempotencykey, id } = envelope
  return idempotencykey === undefined
    ? undefined
    : { key: idempotencykey, mayBeKnown: id !== idempotencykey }
}

const valueAt = (value: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (inner, name) =>
        typeof inner === 'object' && inner !== null ? Reflect.get(inner, name) : undefined,
      value,
    )

const wrongAnswer = (command: AnyCommand, problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_EMIT_INVALID', { details: { type: command.name, problem } })

class Answering extends PlainCommandContext {
  readonly #write: (given: unknown) => void
  hasAnswered = false

  constructor(ctx: ConsumerContext, write: (given: unknown) => void) {
    super(ctx)
    this.#write = write
  }

  override async tx<A>(callback: (db: Database) => Promise<A>): Promise<A> {
    const given = await super.tx(async (db) => {
      const answer = await callback(db)
      this.#write(answer)
      return answer
    })
    this.hasAnswered = true
    return given
  }
}
