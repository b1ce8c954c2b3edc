import { type ContractCaseReport, expectKept, holds, told } from './contract-case.ts'
import {
  type ConsumerSubject,
  effectsIn,
  expectHandled,
  type GoodData,
  publishKeyed,
} from './consumer-subject.ts'
import { CRASH_CASES } from './crash-cases.ts'
import { isDone, InjectedFailure, type HandlerRun, runsOf } from './observed-consumer.ts'
import { POISON_CASE } from './poison-case.ts'
import { REPLAY_CASE } from './replay-case.ts'
import { attemptsOf, RETRY_CASE } from './retry-cases.ts'

/** One thing that is tried with every consumer. */
export interface ConsumerCase {
  readonly case: string
  readonly label: string
  /** Whether the user's handler has to take a message for it. */
  readonly needsHandler: boolean
  /** `data` is what the handler takes, or an example where it is not needed. */
  run(subject: ConsumerSubject, data: unknown): Promise<ContractCaseReport>
}

const TAKES_CASE: ConsumerCase = {
  case: 'takes',
  label: 'takes a message',
  needsHandler: false,
  async run(subject) {
    const { consumer } = subject
    const good = await subject.good()
    expectKept(good.ok, ...reasonsOf(good))
    const { run } = good
    if (consumer.idempotency === 'transaction') {
      expectKept(
        run.txs === 1,
        "It declares idempotency: 'transaction', and its handler did not use ctx.tx for any example.",
        "Write its effect in ctx.tx, declare idempotency: 'natural' if it has none, or give data for which it has one.",
      )
      return holds('Its handler takes a valid message and completes it in ctx.tx.')
    }
    if (consumer.idempotency === 'once' && !consumer.handleBatch) {
      expectKept(
        run.onceEffects.length > 0,
        "It declares idempotency: 'once', and its handler did not use ctx.once for any example.",
        "Make its calls in ctx.once, declare idempotency: 'natural' if it has none, or give data for which it makes one.",
      )
      return holds(`Its handler takes a valid message: ctx.once ${run.onceEffects.join(', ')}.`)
    }
    return holds('Its handler takes a valid message.')
  },
}

const reasonsOf = (good: GoodData): readonly [string, string?] =>
  good.ok ? [''] : [good.problem, good.fix]

const KEYS = 3
const PER_KEY = 4

const ORDER_CASE: ConsumerCase = {
  case: 'order',
  label: 'order per key',
  needsHandler: true,
  async run(subject, from) {
    const { consumer } = subject
    if (consumer.ordering === 'none') return told('It declares no order.')
    if (consumer.on.key.length === 0) return told(`${consumer.on.name} has no key, so no order.`)
    const fails = attemptsOf(consumer) > 1
    const seen = new Set<string>()
    const world = await subject.open({
      before: ({ messages }) => {
        // The first of each key fails once, while the others of its key are there already.
        const first = messages.find(({ key }) => fails && !seen.has(key))
        if (!first) return
        // A batch that fails is run again one by one, and that is where it counts.
        if (messages.length === 1) seen.add(first.key)
        throw new InjectedFailure('a contract test lets the first attempt fail')
      },
    })
    const messages = await publishKeyed(subject, world, { from, keys: KEYS, perKey: PER_KEY })
    const byKey = Map.groupBy(messages, ({ key }) => key)
    const lists = [...byKey.values()].filter((list) => list.length > 1)
    if (lists.length === 0) {
      return told('A key has one message only: its facts cannot differ within one key.')
    }
    await world.bench.pass(60_000 + (consumer.retry?.delayMsMax ?? 0))
    const all = messages.map(({ id }) => id)
    expectHandled(world, all, 'within a minute of their last retry')
    const done = doneInOrder(world.runs)
    for (const list of lists) checkOrder(list, done)
    const how = seen.size > 0 ? ', also where one of them is tried again' : ''
    return holds(`${messages.length} messages of ${byKey.size} keys, each key in its order${how}.`)
  },
}

const doneInOrder = (runs: readonly HandlerRun[]): readonly string[] =>
  runs
    .filter(({ outcome }) => outcome === 'done')
    .flatMap(({ messages }) => messages.map(({ id }) => id))

function checkOrder(list: readonly { readonly id: string }[], done: readonly string[]): void {
  const places = list.map(({ id }) => done.indexOf(id))
  const kept = places.every((place, index) => index === 0 || place > (places[index - 1] ?? 0))
  const numbers = [...list.keys()].sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0))
  const came = numbers.map((number) => number + 1).join(', ')
  expectKept(kept, `Messages 1 to ${list.length} of one key were handled in the order ${came}.`)
}

const ONCE_CASE: ConsumerCase = {
  case: 'second-attempt',
  label: 'second attempt',
  needsHandler: true,
  async run(subject, data) {
    const { consumer } = subject
    if (attemptsOf(consumer) < 2) return told('A failure has no second attempt.')
    let failed = false
    const world = await subject.open({
      after: ({ messages }) => {
        if (failed && messages.length > 0) return
        failed = true
        throw new InjectedFailure('a contract test lets the first attempt fail at its end')
      },
    })
    const [id = ''] = await world.publish([data])
    await world.bench.pass(60_000 + (consumer.retry?.delayMsMax ?? 0))
    const runs = runsOf(world.runs, id)
    const good = await subject.good()
    if (good.ok && good.run.txs > 0) {
      const effects = await effectsIn(world.bench, id)
      expectKept(
        effects === 1 && runs.length === 1,
        `An attempt failed after ctx.tx: it ran ${runs.length} times, and there are ${effects} effects.`,
      )
      return holds('A failure after ctx.tx changes nothing: one effect, and no second attempt.')
    }
    expectKept(isDone(world.runs, id), 'It failed once at its end and was not done afterwards.')
    const names = runs.flatMap(({ onceEffects }) => onceEffects)
    const twice = names.filter((name, index) => names.indexOf(name) !== index)
    expectKept(twice.length === 0, `ctx.once did ${twice.join(', ')} again on the second attempt.`)
    return names.length > 0
      ? holds(`A second attempt does not do ${names.join(', ')} again: ctx.once has kept it.`)
      : told(
          `A second attempt ran the handler again, ${runs.length} times in all; it declares that this changes nothing.`,
        )
  },
}

/** In the order in which they are shown. */
export const CONSUMER_CASES: readonly ConsumerCase[] = [
  TAKES_CASE,
  RETRY_CASE,
  POISON_CASE,
  ...CRASH_CASES,
  ONCE_CASE,
  ORDER_CASE,
  REPLAY_CASE,
]
