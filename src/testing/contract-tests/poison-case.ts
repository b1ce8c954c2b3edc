import type { Consumer } from '../../contract/index.ts'
import { type ContractCaseReport, expectKept, holds, told } from './contract-case.ts'
import type { ConsumerCase } from './consumer-cases.ts'
import { type ConsumerBench, expectHandled, publishKeyed } from './consumer-subject.ts'
import { InjectedFailure, isDone } from './observed-consumer.ts'
import { attempt } from './replay-case.ts'
import { holdsKey, lettersOf, retryHorizonOf } from './retry-cases.ts'

const NEIGHBOURS = 2
const FLOWS_WITHIN_MS = 1_000

/**
 * One message fails for good. What others of its consumer do meanwhile, what its key does after
 * the dead letter, and what comes when somebody has mended it.
 */
export const POISON_CASE: ConsumerCase = {
  case: 'poison',
  label: 'poison',
  needsHandler: true,
  async run(subject, from) {
    const { consumer } = subject
    const state = { poison: '', mended: false }
    const world = await subject.open({
      before: ({ messages }) => {
        // The first message that ever comes is the poison.
        state.poison ||= messages[0]?.id ?? ''
        if (!state.mended && messages.some(({ id }) => id === state.poison)) {
          throw new InjectedFailure('a contract test lets this message fail')
        }
      },
    })
    const wanted = { from, keys: 1 + NEIGHBOURS, perKey: 2 }
    const messages = await publishKeyed(subject, world, wanted)
    const [first, ...others] = messages
    const neighbours = others.filter(({ key }) => key !== first?.key).map(({ id }) => id)
    const successor = others.find(({ key }) => key === first?.key)?.id
    if (neighbours.length === 0) return told('Its key has one value only: there are no neighbours.')
    await world.bench.pass(FLOWS_WITHIN_MS + (consumer.batch?.maxAgeMs ?? 0))
    expectKept(state.poison === first?.id, 'The first message was not the first to be handled.')
    expectHandled(world, neighbours, `${FLOWS_WITHIN_MS} ms after a poison of another key`)
    await world.bench.pass(retryHorizonOf(consumer))
    const flows = `${neighbours.length} messages of other keys flow past it`
    if (consumer.on.guarantee === 'at-most-once') return told(`It is dropped; ${flows}.`)
    await expectSuccessor(world, consumer, successor)
    state.mended = true
    return mend(world, consumer, { poison: state.poison, successor, flows })
  },
}

async function expectSuccessor(
  world: ConsumerBench,
  consumer: Consumer,
  successor: string | undefined,
): Promise<void> {
  const letters = await lettersOf(world, consumer)
  expectKept(
    letters.length === 1,
    `One message failed for good, and there are ${letters.length} dead letters.`,
  )
  if (successor === undefined) return
  if (holdsKey(consumer)) {
    expectKept(
      !isDone(world.runs, successor),
      'It declares park, and a message behind the dead letter was handled.',
    )
    return
  }
  expectHandled(world, [successor], 'behind the dead letter, though its key goes on')
}

async function mend(
  world: ConsumerBench,
  consumer: Consumer,
  seen: {
    readonly poison: string
    readonly successor: string | undefined
    readonly flows: string
  },
): Promise<ContractCaseReport> {
  const { poison, successor, flows } = seen
  const ids = (await lettersOf(world, consumer)).map(({ id }) => id)
  const waiting = holdsKey(consumer) && successor !== undefined ? [successor] : []
  // One after the other: a batch collects for each.
  const settle = (): Promise<void> =>
    world.bench.pass(FLOWS_WITHIN_MS + 2 * (consumer.batch?.maxAgeMs ?? 0))
  if (consumer.replay === 'never') {
    // Nobody may run it again; what is behind it goes on once somebody has dropped it.
    const answer = await attempt(world, { kind: 'dead-letter.retry', ids })
    expectKept(answer === 'refused', 'It declares replay: never, and a dead letter was run again.')
    await world.bench.operate({ kind: 'dead-letter.drop', ids })
    await settle()
    expectHandled(world, waiting, 'after the dead letter was dropped')
    return holds(`A message that fails for good: ${flows}; it can be dropped, and never run again.`)
  }
  await world.bench.operate({ kind: 'dead-letter.retry', ids })
  await settle()
  expectHandled(world, [poison, ...waiting], 'after the dead letter was mended and tried again')
  const order = world.runs
    .filter(({ outcome }) => outcome === 'done')
    .flatMap(({ messages }) => messages.map(({ id }) => id))
  const kept = waiting.every((id) => order.indexOf(id) > order.indexOf(poison))
  expectKept(kept, 'The message behind the dead letter was handled before it.')
  const left = (await lettersOf(world, consumer)).length
  expectKept(left === 0, `${left} dead letters are open after all were mended.`)
  const behind =
    waiting.length > 0
      ? 'what is behind it waits, and follows it in order once it is mended'
      : 'its key goes on, and it is done once it is mended'
  return holds(`A message that fails for good: ${flows}; ${behind}.`)
}
