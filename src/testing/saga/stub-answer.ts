import type { AnyCommand, ErrorsOf, InputOf, OutputOf } from '../../contract/index.ts'
import { type Duration, durationMs } from '../../kernel/index.ts'

const STUB: unique symbol = Symbol('stub')

/** The command is refused with an error that it declares. */
export interface Declines<Name extends string, Data> {
  readonly [STUB]: 'declines'
  readonly error: Name
  readonly data: Data
}

/** Whoever does the command has given up with an error that it does not declare. */
export interface Fails {
  readonly [STUB]: 'fails'
  readonly message: string
}

/** Nobody ever answers. */
export interface NoAnswer {
  readonly [STUB]: 'none'
}

/** The answer comes after a time; how often the command is asked again does not change it. */
export interface Late<Answer> {
  readonly [STUB]: 'late'
  readonly afterMs: number
  readonly answer: Answer
}

/** One answer for each request, in order; the last is for all that follow. */
export interface InTurn<Answer> {
  readonly [STUB]: 'turns'
  readonly answers: readonly Answer[]
}

type DeclinesOf<C extends AnyCommand> = {
  readonly [Name in keyof ErrorsOf<C> & string]: Declines<Name, ErrorsOf<C>[Name]>
}[keyof ErrorsOf<C> & string]

type Answered<C extends AnyCommand> = OutputOf<C> | DeclinesOf<C> | Fails
type Once<C extends AnyCommand> = Answered<C> | Late<Answered<C>> | NoAnswer
type OneOf<C extends AnyCommand> = Once<C> | ((input: InputOf<C>) => Once<C>)

/** How a stub answers a command: held to the output and the errors that the command declares. */
export type StubAnswer<C extends AnyCommand> = OneOf<C> | InTurn<OneOf<C>>

/** Refuses the command with a declared error. */
export const declines = <const Name extends string, Data>(
  error: Name,
  data: Data,
): Declines<Name, Data> => ({ [STUB]: 'declines', error, data })

/** Fails for good with an error that the command does not declare: the run pauses, or retries. */
export const fails = (message: string): Fails => ({ [STUB]: 'fails', message })

/** Never answers. */
export const neverAnswers: NoAnswer = { [STUB]: 'none' }

/**
 * Answers after a time, as its owner does after a bad day. The time counts from the first request
 * of a step, also over crashes of the process that asked.
 *
 * @throws JUNCTURA_DECLARATION when `duration` is none.
 */
export const answersAfter = <Answer>(duration: Duration, answer: Answer): Late<Answer> => ({
  [STUB]: 'late',
  afterMs: durationMs(duration, 'answersAfter'),
  answer,
})

/** Answers the first request with the first, the next with the next; the last one stays. */
export const inTurn = <Answers extends readonly [unknown, ...unknown[]]>(
  ...answers: Answers
): InTurn<Answers[number]> => ({ [STUB]: 'turns', answers })

type Planned = Declines<string, unknown> | Fails | NoAnswer | Late<unknown> | InTurn<unknown>

const plannedOf = (answer: unknown): Planned | undefined => (isPlanned(answer) ? answer : undefined)

const isPlanned = (answer: unknown): answer is Planned =>
  typeof answer === 'object' && answer !== null && STUB in answer

/** What is told to who asked, and when; without an `answer` never. */
export interface ResolvedAnswer {
  readonly afterMs: number
  readonly answer?:
    | { readonly outcome: 'output'; readonly data: unknown }
    | { readonly outcome: 'declined'; readonly error: string; readonly data: unknown }
    | { readonly outcome: 'failed'; readonly error: string }
}

/** What the `nth` request, from 0, is answered. */
export const resolveAnswer = (
  given: unknown,
  request: { readonly nth: number; readonly input: unknown },
): ResolvedAnswer => {
  if (typeof given === 'function') {
    const answer: unknown = Reflect.apply(given, undefined, [request.input])
    return resolveAnswer(answer, request)
  }
  const planned = plannedOf(given)
  if (!planned) return { afterMs: 0, answer: { outcome: 'output', data: given ?? null } }
  switch (planned[STUB]) {
    case 'none':
      return { afterMs: 0 }
    case 'fails':
      return { afterMs: 0, answer: { outcome: 'failed', error: planned.message } }
    case 'declines': {
      const { error, data } = planned
      return { afterMs: 0, answer: { outcome: 'declined', error, data } }
    }
    case 'late':
      return { ...resolveAnswer(planned.answer, request), afterMs: planned.afterMs }
    case 'turns': {
      const { answers } = planned
      return resolveAnswer(answers[Math.min(request.nth, answers.length - 1)], request)
    }
  }
}
