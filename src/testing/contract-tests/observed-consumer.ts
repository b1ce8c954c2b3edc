import {
  type BatchItem,
  type ConsumedMessage,
  type Consumer,
  type ConsumerContext,
  type Integration,
  sql,
  type SqlMigration,
  takenPush,
} from '../../contract/index.ts'
import { messageOf } from '../../kernel/index.ts'
import { never, type TestBench } from './test-bench.ts'

/** One run of a handler, as it was seen from around it. */
export interface HandlerRun {
  readonly messages: readonly ConsumedMessage[]
  readonly attempt: number
  readonly startedMs: number
  readonly replayRunId: string | undefined
  endedMs?: number
  /** Undefined while it runs, and for ever when the process died meanwhile. */
  outcome?: 'done' | 'failed'
  error?: unknown
  /** Transactions whose callback came to its end. */
  txs: number
  /** Effects of `ctx.once` that were run, by name. */
  readonly onceEffects: string[]
}

/** What a case does to a handler; everything else is the user's own. */
export interface Interference {
  /** Throws, or takes the process down, before the handler is called. */
  readonly before?: (run: HandlerRun) => void
  /** Inside the transaction, after the user's statements. */
  readonly inTx?: (run: HandlerRun) => void
  /** Right after an effect of `ctx.once` has happened, before it is kept. */
  readonly afterOnce?: (run: HandlerRun) => void
  /** After the handler has returned, before its progress is saved. */
  readonly after?: (run: HandlerRun) => void
}

/** What a failing handler of a user throws: an ordinary error, with no code of ours. */
export class InjectedFailure extends Error {
  override readonly name: string = 'InjectedFailure'
}

type BatchContext = Parameters<NonNullable<Consumer['handleBatch']>>[1]

export interface ObservedConsumer {
  readonly consumer: Consumer
  readonly runs: readonly HandlerRun[]
}

/** The oracle of exactly once: a row in the same transaction as the user's own statements. */
const EFFECT_LEDGER: SqlMigration = sql({
  name: 'contract-test-effects',
  sqlite:
    'create table contract_test_effects(seq integer primary key autoincrement, ' +
    'message_id text not null, run_id text)',
})

/** The integration with one consumer alone, and the ledger beside its tables. */
export const withConsumer = (integration: Integration, consumer: Consumer): Integration => ({
  ...integration,
  webhooks: [],
  consumers: [consumer],
  // Others are compiled when they are emitted: a world costs what it needs.
  contracts: new Map([[consumer.on.name, consumer.on]]),
  tables: [...integration.tables, EFFECT_LEDGER],
})

/** Ids of the messages whose effect is in the store, in the order in which they were written. */
export const readLedger = async (bench: TestBench): Promise<readonly string[]> => {
  const rows = await bench.disk.query('select message_id from contract_test_effects order by seq')
  return rows.map((row) => String(row['message_id']))
}

/** The consumer with its own handler, seen from around it. */
export const observeConsumer = (
  declared: Consumer,
  options: { readonly bench: () => TestBench; readonly interference: Interference },
): ObservedConsumer => {
  const runs: HandlerRun[] = []
  const { bench, interference } = options
  const observe = async (
    messages: readonly ConsumedMessage[],
    context: BatchContext,
    handle: (run: HandlerRun) => Promise<void>,
  ): Promise<void> => {
    const { clock, deaths } = bench()
    const run: HandlerRun = {
      messages,
      attempt: context.attempt,
      startedMs: clock.monotonicMs(),
      replayRunId: context.replay?.runId,
      txs: 0,
      onceEffects: [],
    }
    runs.push(run)
    const end = (outcome: 'done' | 'failed', error?: unknown): void => {
      Object.assign(run, { outcome, error, endedMs: clock.monotonicMs() })
    }
    try {
      interference.before?.(run)
      await stopIfDead(bench(), deaths)
      await bench().attend(handle(run))
      await stopIfDead(bench(), deaths)
      interference.after?.(run)
      await stopIfDead(bench(), deaths)
      end('done')
    } catch (error) {
      await stopIfDead(bench(), deaths)
      end('failed', error)
      throw error
    }
  }
  const observedTx = (run: HandlerRun, context: BatchContext): Pick<ConsumerContext, 'tx'> => ({
    tx: (callback) =>
      context.tx(async (db) => {
        const result = await callback(db)
        const insert = 'insert into contract_test_effects(message_id, run_id) values ($1, $2)'
        for (const { id } of run.messages) await db.run(insert, id, run.replayRunId ?? null)
        run.txs += 1
        interference.inTx?.(run)
        return result
      }),
  })
  const { handleBatch } = declared
  const consumer: Consumer = {
    ...takenPush(declared),
    // A fresh store has nothing behind its head, and what is tried comes after the start.
    from: 'earliest',
    handle: (data, context) =>
      observe([context.message], context, (run) =>
        declared.handle(data, {
          ...context,
          ...observedTx(run, context),
          once: (name, effect) =>
            context.once(name, async () => {
              const { deaths } = bench()
              const result = await effect()
              run.onceEffects.push(name)
              interference.afterOnce?.(run)
              await stopIfDead(bench(), deaths)
              return result
            }),
        }),
      ),
    ...(handleBatch && {
      handleBatch: (items: readonly BatchItem<unknown>[], context: BatchContext) =>
        observe(
          items.map(({ message }) => message),
          context,
          (run) => handleBatch(items, { ...context, ...observedTx(run, context) }),
        ),
    }),
  }
  return { consumer, runs }
}

/** In a process that is gone, nothing goes on. */
async function stopIfDead(bench: TestBench, deathsBefore: number): Promise<void> {
  if (bench.deaths !== deathsBefore) await never()
}

/** Runs of a message, in order. */
export const runsOf = (runs: readonly HandlerRun[], id: string): readonly HandlerRun[] =>
  runs.filter(({ messages }) => messages.some((message) => message.id === id))

export const isDone = (runs: readonly HandlerRun[], id: string): boolean =>
  runsOf(runs, id).some(({ outcome }) => outcome === 'done')

/** What a handler threw, for people. */
export const describeThrown = (error: unknown): string => {
  const name = error instanceof Error ? error.name : typeof error
  return `${name}: ${messageOf(error)}`
}
