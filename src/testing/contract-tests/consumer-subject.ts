import { crc32 } from 'node:zlib'
import type { Consumer, Draft, Integration } from '../../contract/index.ts'
import { createSeededRandom, formatDuration, type Random } from '../../kernel/index.ts'
import { createDataMaker, type DataMaker, makeKeyedData } from './example-data.ts'
import {
  describeThrown,
  type HandlerRun,
  InjectedFailure,
  type Interference,
  isDone,
  observeConsumer,
  readLedger,
  runsOf,
  withConsumer,
} from './observed-consumer.ts'
import { expectKept } from './contract-case.ts'
import { type BenchSeams, createTestBench, type TestBench } from './test-bench.ts'

/** What the cases of one consumer are tried on. */
export interface ConsumerSubject {
  readonly consumer: Consumer
  readonly random: Random
  /** Of the contract's latest version, which is what is published. */
  readonly maker: DataMaker
  /** Data that the handler takes, or why there is none. Searched for once. */
  good(): Promise<GoodData>
  /** A process with this consumer alone. */
  open(interference: Interference): Promise<ConsumerBench>
}

export type GoodData =
  | { readonly ok: true; readonly data: unknown; readonly run: HandlerRun }
  | { readonly ok: false; readonly problem: string; readonly fix: string }

export interface ConsumerBench {
  readonly bench: TestBench
  readonly runs: readonly HandlerRun[]
  /** Publishes in order, in one commit; their ids. */
  publish(data: readonly unknown[]): Promise<readonly string[]>
}

export interface SubjectOptions {
  readonly integration: Integration
  readonly consumer: Consumer
  readonly seed: number
  /** Names the stream of chance: a case is the same alone and among others. */
  readonly stream: string
  readonly given: unknown
  readonly seams: BenchSeams
  /** The search of another subject, so that it is made once. @default its own */
  readonly good?: () => Promise<GoodData>
}

/** Examples that are tried until the handler takes one. */
const EXAMPLES_MAX = 20

export const createConsumerSubject = (options: SubjectOptions): ConsumerSubject => {
  const { consumer, integration, seams } = options
  const seed = crc32(`${options.seed}/consumer/${consumer.name}/${options.stream}`)
  const random = createSeededRandom(seed)
  let found: Promise<GoodData> | undefined
  let maker: DataMaker | undefined
  const subject: ConsumerSubject = {
    consumer,
    random,
    get maker() {
      const { given } = options
      const filter = filterOf(consumer)
      maker ??= createDataMaker(consumer.on, consumer.on.latest, {
        random,
        given,
        ...(filter && { filter }),
      })
      return maker
    },
    good: () => options.good?.() ?? (found ??= findGoodData(subject, options.given !== undefined)),
    async open(interference) {
      const observed = observeConsumer(consumer, { bench: () => bench, interference })
      const bench = createTestBench({
        integration: withConsumer(integration, observed.consumer),
        seed,
        seams,
      })
      await bench.start()
      return {
        bench,
        runs: observed.runs,
        async publish(data) {
          const drafts = data.map((one): Draft => ({ contract: consumer.on, data: one }))
          return (await bench.drive(bench.runtime.publishMany(drafts))) ?? []
        },
      }
    },
  }
  return subject
}

/** What is made passes the filter too: of the latest version, which nothing lifts. */
function filterOf({ filter }: Consumer): Consumer['filter'] {
  if (!filter) return undefined
  return (data) => {
    try {
      return filter(data)
    } catch {
      // A filter that throws is a failure of the attempt, as the handler's would be.
      return true
    }
  }
}

/**
 * Examples are valid and otherwise arbitrary: the first one is taken that the handler ends well on,
 * in the way that the declaration says.
 */
async function findGoodData(subject: ConsumerSubject, isGiven: boolean): Promise<GoodData> {
  const { consumer } = subject
  const world = await subject.open({})
  let done: GoodData | undefined
  let trouble: GoodData | undefined
  const used = new Set<string>()
  for (let time = 0; time < (isGiven ? 1 : EXAMPLES_MAX); time++) {
    const data = freshExample(subject, used)
    if (data === undefined) break
    const [id = ''] = await world.publish([data])
    const run = await firstRun(world, id, consumer)
    if (run?.outcome === 'done') {
      const good = { ok: true, data, run } as const
      if (hasDeclaredEffect(consumer, run)) return good
      done ??= good
    } else trouble ??= await explain(world, consumer, run)
    // One that hangs would hang on the next example too.
    if (run && !run.outcome) break
  }
  return done ?? trouble ?? explain(world, consumer, undefined)
}

/** An example with a key of its own, so that one that fails does not hold the next one. */
function freshExample({ consumer, maker }: ConsumerSubject, used: Set<string>): unknown {
  const from = maker.example()
  const [first, ...more] = makeKeyedData(consumer.on, maker, { from, keys: 2, perKey: 1 })
  for (const one of [first, ...more]) {
    const text = JSON.stringify(one?.data)
    if (one === undefined || used.has(text)) continue
    used.add(text)
    return one.data
  }
  return undefined
}

async function firstRun(
  { bench, runs }: ConsumerBench,
  id: string,
  consumer: Consumer,
): Promise<HandlerRun | undefined> {
  await bench.pass((consumer.batch?.maxAgeMs ?? 0) + 100)
  const [first] = runsOf(runs, id)
  if (first && !first.outcome) await bench.pass(consumer.timeoutMs + 100)
  return runsOf(runs, id).find(({ outcome }) => outcome === 'done') ?? first
}

const hasDeclaredEffect = (consumer: Consumer, run: HandlerRun): boolean =>
  consumer.idempotency === 'transaction'
    ? run.txs > 0
    : consumer.idempotency === 'once'
      ? run.onceEffects.length > 0
      : true

const BETTER_DATA =
  "Give data that it takes (`--example FILE`, the option `examples`, or `examples` in the contract's schema)"
const STAND_IN =
  'or a stand-in for a handler that needs the outside (`--handlers FILE`, the option `handlers`).'

async function explain(
  { bench }: ConsumerBench,
  consumer: Consumer,
  run: HandlerRun | undefined,
): Promise<GoodData> {
  if (!run) {
    const letters = await bench.drive(bench.runtime.deadLetters({ consumer: consumer.name }))
    const [letter] = letters?.items ?? []
    const problem = letter
      ? `It cannot read an example: ${letter.errorName}: ${letter.errorMessage}`
      : consumer.filter
        ? 'Its filter lets no example through.'
        : 'Its handler was not run.'
    return { ok: false, problem, fix: `${BETTER_DATA}.` }
  }
  if (!run.outcome) {
    const deadline = formatDuration(consumer.timeoutMs)
    const problem =
      `Its handler did not come to its end within its deadline of ${deadline}. ` +
      'It waits for something outside of virtual time: a call, or a timer of its own.'
    return { ok: false, problem, fix: `Hand such things in; ${STAND_IN.slice(3)}` }
  }
  const problem = `Its handler throws on example data: ${describeThrown(run.error)}`
  return { ok: false, problem, fix: `${BETTER_DATA}, ${STAND_IN}` }
}

/** How often the effect of a message is in the store. */
export const effectsIn = async (bench: TestBench, id: string): Promise<number> =>
  (await readLedger(bench)).filter((one) => one === id).length

/** Publishes keyed data; ends the case when the border of our own contract does not take it. */
export const publishKeyed = async (
  subject: ConsumerSubject,
  world: ConsumerBench,
  wanted: { readonly from: unknown; readonly keys: number; readonly perKey: number },
): Promise<readonly { readonly id: string; readonly key: number }[]> => {
  const made = makeKeyedData(subject.consumer.on, subject.maker, wanted)
  const ids = await world.publish(made.map(({ data }) => data))
  expectKept(
    new Set(ids).size === ids.length,
    `${made.length} messages that differ were published, and ${new Set(ids).size} were taken.`,
  )
  return made.map(({ key }, index) => ({ id: ids[index] ?? '', key }))
}

/**
 * Ends the case unless all were handled. What the user's own handler threw at data that was made
 * for the case is told as that.
 */
export const expectHandled = (world: ConsumerBench, ids: readonly string[], when: string): void => {
  const open = ids.filter((id) => !isDone(world.runs, id))
  const thrown = open
    .flatMap((id) => runsOf(world.runs, id))
    .find(({ outcome, error }) => outcome === 'failed' && !(error instanceof InjectedFailure))
  expectKept(
    thrown === undefined,
    `Its handler throws on an example with another key: ${describeThrown(thrown?.error)}`,
    `${BETTER_DATA}, ${STAND_IN}`,
  )
  expectKept(
    open.length === 0,
    `${open.length} of ${ids.length} messages were not handled ${when}.`,
  )
}
