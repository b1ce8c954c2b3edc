import type { AnyCommand, CommandInput, ErrorsOf, OutputOf } from './command.ts'
import { isCommand } from './command.ts'
import {
  type Consumer,
  consumer,
  type ConsumerContext,
  type ConsumerPolicy,
  type Database,
} from './consumer.ts'
import { declarationError } from './declaration-error.ts'

/** A declared error, as a handler answers it. */
export class Declined<Name extends string = string> {
  readonly error: Name
  readonly data: unknown

  constructor(error: Name, data: unknown) {
    this.error = error
    this.data = data
  }
}

type ErrorName<C extends AnyCommand> = keyof ErrorsOf<C> & string

/** What a handler answers: the declared output, or a declared error. */
export type AnswerOf<C extends AnyCommand> = OutputOf<C> | Declined<ErrorName<C>>

/** What a handler of a command may do. */
export interface CommandContext<C extends AnyCommand> extends Omit<ConsumerContext, 'tx'> {
  /** The same on every repeat of one request: for the idempotency key of another system. */
  readonly idempotencyKey: string
  /** A declared error, to be returned as the answer. */
  decline<Name extends ErrorName<C>>(error: Name, data: ErrorsOf<C>[Name]): Declined<Name>
  /**
   * As `ctx.tx` of a consumer; what the callback gives is the answer, and commits with its
   * statements. The handler returns it.
   */
  tx<A extends AnswerOf<C>>(callback: (db: Database) => Promise<A>): Promise<A>
}

/** The handler of a command, as the runtime calls it. */
export type AnswerCommand = (input: unknown, ctx: CommandContext<AnyCommand>) => Promise<unknown>

export interface CommandHandlerOptions<C extends AnyCommand> extends ConsumerPolicy {
  readonly on: C
  readonly handle: (input: CommandInput<C>, ctx: CommandContext<C>) => Promise<AnswerOf<C>>
}

/**
 * Declares who does a command: a consumer of it that answers. The answer commits with what the
 * handler wrote through `ctx.tx` and with the progress, so whoever asked is told once it is
 * durable, and not before. A repeat of one request is given the first answer, without the handler.
 * An undeclared error is retried as the policy says; when the handler gives up, that is a dead
 * letter, and whoever asked is told in the same commit.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export function commandHandler<C extends AnyCommand>(
  name: string,
  options: CommandHandlerOptions<C>,
): Consumer
export function commandHandler(
  name: string,
  options: ConsumerPolicy & { readonly on: AnyCommand; readonly handle: AnswerCommand },
): Consumer {
  const { handle: answer, ...policy } = options
  if (!isCommand(options.on)) {
    const what = `command handler ${JSON.stringify(name)}.on`
    throw declarationError(what, 'it is no command', "write on: command('…', { input, output })")
  }
  const declared = consumer(name, {
    ...policy,
    handle: async (input, ctx) => void (await answer(input, new PlainCommandContext(ctx))),
  })
  return Object.freeze({ ...declared, answer })
}

/**
 * What a handler is given, over the context of its consumer. Without a runtime, for example in a
 * test, nobody has asked, and its answer goes nowhere.
 */
export class PlainCommandContext implements CommandContext<AnyCommand> {
  readonly #ctx: ConsumerContext

  constructor(ctx: ConsumerContext) {
    this.#ctx = ctx
  }

  get message(): ConsumerContext['message'] {
    return this.#ctx.message
  }

  get attempt(): number {
    return this.#ctx.attempt
  }

  get attemptsMax(): number {
    return this.#ctx.attemptsMax
  }

  get signal(): AbortSignal {
    return this.#ctx.signal
  }

  get idempotencyKey(): string {
    return this.message.envelope.idempotencykey ?? this.message.id
  }

  readonly once: ConsumerContext['once'] = (name, effect) => this.#ctx.once(name, effect)
  readonly emit: ConsumerContext['emit'] = (draft) => this.#ctx.emit(draft)
  readonly log: ConsumerContext['log'] = (message, fields) => this.#ctx.log(message, fields)
  tx<A>(callback: (db: Database) => Promise<A>): Promise<A> {
    return this.#ctx.tx(callback)
  }
  readonly decline: CommandContext<AnyCommand>['decline'] = (error, data) =>
    new Declined(error, data)
}
