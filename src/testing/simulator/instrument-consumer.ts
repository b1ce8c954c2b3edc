import {
  type AnswerCommand,
  type AnyCommand,
  type BatchItem,
  type CommandContext,
  type Consumer,
  type ConsumedMessage,
  type ConsumerContext,
  type Database,
  takenPush,
} from '../../contract/index.ts'
import { isJuncturaError } from '../../kernel/index.ts'
import type { FaultDice } from './fault-dice.ts'
import type { FaultName } from './faults.ts'
import type { NodeClock } from './node-clock.ts'
import type { HandlerCall, WorldObserver } from './observer.ts'
import { SimulatedFault } from './simulated-fault.ts'

export interface InstrumentOptions {
  /** The consumer as its author declared it. */
  readonly declared: Consumer
  readonly node: number
  readonly clock: NodeClock
  readonly dice: FaultDice
  readonly observer: WorldObserver
  /** Whether this message takes the process down whenever it is handled. */
  readonly isKiller: (consumer: string, position: number) => boolean
  readonly isAlive: (call: HandlerCall) => boolean
  /** The process dies; the promise never settles. */
  readonly die: () => Promise<never>
  /** The process does nothing else for that long. */
  readonly block: (ms: number) => Promise<void>
}

const TAKES_MS_MAX = 500
const BLOCK_MS_MAX = 20_000
const LATE_MS_MAX = 60_000

export const LEDGER_TABLE: string =
  'create table simulated_effects(seq integer primary key autoincrement, consumer text not null, ' +
  'message_id text not null, lane text not null, position integer not null, run text not null)'

/** A consumer whose handler has fates around it, and a ledger entry inside its transaction. */
export const instrumentConsumer = (consumer: Consumer, options: InstrumentOptions): Consumer => {
  const { handleBatch } = consumer
  if (!handleBatch) {
    const handle = (data: unknown, context: ConsumerContext): Promise<void> =>
      withFates(options, { messages: [context.message], context }, (calls) =>
        consumer.handle(data, watchContext(options, calls, context)),
      )
    const answer = instrumentAnswer(consumer, options)
    return { ...takenPush(consumer), handle, ...(answer && { answer }) }
  }
  const batch: NonNullable<Consumer['handleBatch']> = (items, context) => {
    const messages = items.map((item: BatchItem<unknown>) => item.message)
    return withFates(options, { messages, context }, (calls) =>
      handleBatch(items, { ...context, tx: ledgerTx(options, calls, context.tx) }),
    )
  }
  return { ...consumer, handleBatch: batch }
}

/** The same around the handler of a command; what it gives is the answer. */
function instrumentAnswer(
  { answer }: Consumer,
  options: InstrumentOptions,
): AnswerCommand | undefined {
  if (!answer) return undefined
  return async (input, context) => {
    let given: unknown
    await withFates(options, { messages: [context.message], context }, async (calls) => {
      const { message, attempt, attemptsMax, signal, idempotencyKey, replay } = context
      const watched: CommandContext<AnyCommand> = {
        message,
        attempt,
        attemptsMax,
        signal,
        idempotencyKey,
        ...(replay && { replay }),
        once: (name, effect) => context.once(name, effect),
        emit: (draft) => context.emit(draft),
        log: (text, fields) => context.log(text, fields),
        decline: (error, data) => context.decline(error, data),
        tx: ledgerTx(options, calls, (callback) => context.tx(callback)),
      }
      given = await answer(input, watched)
    })
    return given
  }
}

type Calls = readonly [HandlerCall, ...HandlerCall[]]

function callsOf(
  { node, declared }: InstrumentOptions,
  messages: readonly ConsumedMessage[],
  context: Pick<ConsumerContext, 'attempt' | 'replay'>,
): readonly HandlerCall[] {
  return messages.map(({ id, position, key }) => ({
    consumer: declared,
    messageId: id,
    position,
    key,
    attempt: context.attempt,
    isShared: messages.length > 1,
    run: context.replay?.runId,
    node,
  }))
}

async function withFates(
  options: InstrumentOptions,
  given: {
    readonly messages: readonly ConsumedMessage[]
    readonly context: Pick<ConsumerContext, 'attempt' | 'replay' | 'signal'>
  },
  handle: (calls: Calls) => Promise<void>,
): Promise<void> {
  const [first, ...rest] = callsOf(options, given.messages, given.context)
  if (!first) return
  const { observer, isAlive, dice } = options
  const calls: Calls = [first, ...rest]
  for (const call of calls) observer.handlerBegan(call)
  let isOver = false
  given.context.signal.addEventListener('abort', () => {
    if (isOver) return
    for (const call of calls) observer.handlerTimedOut(call)
  })
  try {
    await meetFates(options, calls)
    await handle(calls)
    if (dice.happens('handlerThrowsLate')) throw new SimulatedFault('the handler throws late')
    isOver = true
    for (const call of calls) observer.handlerEnded(call, 'done', isAlive(call))
  } catch (error) {
    isOver = true
    const outcome = isStoreTrouble(error) ? 'refused' : 'failed'
    for (const call of calls) observer.handlerEnded(call, outcome, isAlive(call))
    throw error
  }
}

/** What says nothing about the handler: the store did not take its transaction. */
const isStoreTrouble = (error: unknown): boolean =>
  isJuncturaError(error) &&
  (error.code.startsWith('JUNCTURA_STORE_') || error.code === 'JUNCTURA_CLOSED')

/** What may happen to a handler before it does anything. */
async function meetFates(options: InstrumentOptions, calls: Calls): Promise<void> {
  const { dice, clock, observer, isKiller } = options
  const { name } = calls[0].consumer
  const crashes = (fault: FaultName): boolean => dice.happens(fault)
  if (calls.some(({ position }) => isKiller(name, position)) || crashes('handlerCrashes')) {
    for (const call of calls) observer.handlerKilled(call)
    return options.die()
  }
  if (dice.happens('handlerTakes')) {
    const takesMs = dice.random('handlerTakes').next() * TAKES_MS_MAX
    await new Promise<void>((resolve) => clock.wake(takesMs, resolve))
  }
  if (dice.happens('handlerHangs')) await new Promise(() => undefined)
  if (dice.happens('handlerWakesLate')) {
    const lateMs = dice.random('handlerWakesLate').next() * LATE_MS_MAX
    await new Promise<void>((resolve) => clock.wake(lateMs, resolve))
  }
  if (dice.happens('handlerBlocks')) {
    await options.block(dice.random('handlerBlocks').next() * BLOCK_MS_MAX)
  }
  if (dice.happens('handlerThrows')) throw new SimulatedFault('the handler throws')
}

function watchContext(
  options: InstrumentOptions,
  calls: Calls,
  context: ConsumerContext,
): ConsumerContext {
  const once: ConsumerContext['once'] = async (name, effect) => {
    let ran = false
    const result = await context.once(name, () => {
      ran = true
      options.observer.onceRan(calls[0], name)
      return effect()
    })
    if (!ran) options.observer.onceReused(calls[0], name)
    return result
  }
  return { ...context, once, tx: ledgerTx(options, calls, context.tx) }
}

/** Every transaction of a handler also notes that it happened: the oracle of exactly once. */
function ledgerTx(
  { observer }: InstrumentOptions,
  calls: Calls,
  tx: ConsumerContext['tx'],
): ConsumerContext['tx'] {
  return async <T>(callback: (db: Database) => Promise<T>): Promise<T> => {
    for (const call of calls) observer.txCalled(call)
    try {
      return await tx(async (db) => {
        const result = await callback(db)
        observer.effectNoted()
        for (const call of calls) await noteEffect(db, call)
        return result
      })
    } catch (error) {
      const code = isJuncturaError(error) ? error.code : 'error'
      for (const call of calls) observer.txRefused(call, code)
      throw error
    }
  }
}

async function noteEffect(db: Database, call: HandlerCall): Promise<void> {
  await db.run(
    'insert into simulated_effects(consumer, message_id, lane, position, run) values ($1, $2, $3, $4, $5)',
    call.consumer.name,
    call.messageId,
    call.key,
    call.position,
    call.run ?? '',
  )
}
