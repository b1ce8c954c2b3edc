import { isJuncturaError } from '../../kernel/index.ts'
import type { OperationCommand } from '../../runtime/index.ts'
import { type ContractCaseReport, expectKept, holds, told } from './contract-case.ts'
import type { ConsumerCase } from './consumer-cases.ts'
import {
  type ConsumerBench,
  type ConsumerSubject,
  expectHandled,
  publishKeyed,
} from './consumer-subject.ts'
import { readLedger } from './observed-consumer.ts'

const MESSAGES = 3
const RUNS_WITHIN_MS = 60_000

/** What is done already is replayed: by its rule it is left alone, runs again, or is refused. */
export const REPLAY_CASE: ConsumerCase = {
  case: 'replay',
  label: 'replay',
  needsHandler: true,
  async run(subject, from) {
    const { consumer } = subject
    if (consumer.on.guarantee === 'at-most-once') {
      return told(`${consumer.on.name} is at-most-once: it is in no log, so nothing is replayed.`)
    }
    const world = await subject.open({})
    const messages = await publishKeyed(subject, world, { from, keys: MESSAGES, perKey: 1 })
    await world.bench.pass((consumer.batch?.maxAgeMs ?? 0) + 1_000)
    const ids = messages.map(({ id }) => id)
    expectHandled(world, ids, 'before the replay')
    if (consumer.replay === 'never') return refused(subject, world)
    const before = { runs: world.runs.length, effects: (await readLedger(world.bench)).length }
    const row = await plan(subject, world)
    const token = textOf(row, 'token')
    const runId = textOf(row, 'id')
    if (consumer.replay === 'guarded') {
      const answer = await attempt(world, { kind: 'replay.run', id: runId })
      expectKept(answer === 'refused', 'It declares guarded, and a replay ran without its token.')
    }
    await world.bench.operate({ kind: 'replay.run', id: runId, token })
    await world.bench.pass(RUNS_WITHIN_MS)
    const again = world.runs.slice(before.runs)
    if (consumer.replay === 'safe') {
      const effects = (await readLedger(world.bench)).length
      expectKept(
        again.length === 0 && effects === before.effects,
        `It declares safe, and a replay of done messages ran its handler ${again.length} times.`,
      )
      return holds(`A replay of ${messages.length} done messages runs none of them again.`)
    }
    const rerun = messages.filter((message) =>
      again.some(
        (run) => run.replayRunId === runId && run.messages.some((one) => one.id === message.id),
      ),
    )
    expectKept(
      rerun.length === messages.length,
      `It declares guarded, and ${rerun.length} of ${messages.length} messages ran again.`,
    )
    return holds(
      `A replay asks for the token of its plan; then ${messages.length} done messages run again, with their ids.`,
    )
  },
}

const planOf = ({ consumer }: ConsumerSubject): OperationCommand => ({
  kind: 'replay.plan',
  filter: { from: 'messages', consumer: consumer.name },
})

async function refused(
  subject: ConsumerSubject,
  world: ConsumerBench,
): Promise<ContractCaseReport> {
  const answer = await attempt(world, planOf(subject))
  expectKept(answer === 'refused', 'It declares never, and a replay of it was planned.')
  return holds('A replay of it is refused.')
}

const plan = (subject: ConsumerSubject, world: ConsumerBench): Promise<unknown> =>
  world.bench.operate(planOf(subject))

/** Asks for an operation that may be refused. */
export async function attempt(
  { bench }: ConsumerBench,
  command: OperationCommand,
): Promise<'done' | 'refused'> {
  try {
    await bench.operate(command)
    return 'done'
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_OPERATION_REFUSED')) return 'refused'
    throw error
  }
}

const textOf = (row: unknown, name: string): string => {
  const value: unknown =
    typeof row === 'object' && row !== null ? Reflect.get(row, name) : undefined
  return typeof value === 'string' ? value : ''
}
