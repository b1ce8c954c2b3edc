import { LIMITS } from '../../kernel/index.ts'
import { type ContractCaseReport, expectKept, holds, told } from './contract-case.ts'
import type { ConsumerCase } from './consumer-cases.ts'
import {
  type ConsumerBench,
  type ConsumerSubject,
  effectsIn,
  expectHandled,
  publishKeyed,
} from './consumer-subject.ts'
import { isDone, runsOf } from './observed-consumer.ts'
import { lettersOf } from './retry-cases.ts'
import { type DeathPoint, supervise } from './test-bench.ts'

/** Time for what a restarted process has to do again. */
const RECOVERS_WITHIN_MS = 60_000

const CRASH_CASE: ConsumerCase = {
  case: 'crash',
  label: 'crash at the effect',
  needsHandler: true,
  async run(subject, data) {
    const { consumer } = subject
    const good = await subject.good()
    const usesTx = good.ok && good.run.txs > 0
    if (consumer.on.guarantee === 'at-most-once') return lostInCrash(subject, data)
    if (!usesTx) return crashOutsideTx(subject, data)
    const before = await crashInTx(subject, data, 'before-commit')
    const after = await crashInTx(subject, data, 'after-commit')
    expectKept(
      before.effects === 1,
      `The process died before the commit of ctx.tx: ${effectsWord(before.effects)} after the restart, and it must be one.`,
    )
    expectKept(
      after.effects === 1,
      `The process died after the commit of ctx.tx: ${effectsWord(after.effects)} after the restart, and it must be one.`,
    )
    expectKept(
      after.runs === 1,
      `The commit of ctx.tx was on the disk, and the handler ran ${after.runs} times.`,
    )
    return holds('The process dies before and after the commit of ctx.tx: one effect each time.')
  },
}

const effectsWord = (count: number): string => (count === 1 ? '1 effect' : `${count} effects`)

async function crashInTx(
  subject: ConsumerSubject,
  data: unknown,
  point: DeathPoint,
): Promise<{ readonly effects: number; readonly runs: number }> {
  let armed = true
  const world = await subject.open({
    inTx: () => {
      if (armed) world.bench.dieAt(point)
      armed = false
    },
  })
  const id = await dieOver(world, subject, data)
  return { effects: await effectsIn(world.bench, id), runs: runsOf(world.runs, id).length }
}

/** Publishes one message, lets the process die over it, and starts another one. */
async function dieOver(
  world: ConsumerBench,
  { consumer }: ConsumerSubject,
  data: unknown,
): Promise<string> {
  const { bench } = world
  const [id = ''] = await world.publish([data])
  await bench.pass((consumer.batch?.maxAgeMs ?? 0) + consumer.timeoutMs + 1_000)
  expectKept(bench.deaths === 1, 'The handler did not come to the point where the process dies.')
  expectKept(await supervise(bench), 'No process stays up after the crash.')
  await bench.pass(RECOVERS_WITHIN_MS)
  return id
}

/** Effects outside of the store cannot be in its commit. */
async function crashOutsideTx(
  subject: ConsumerSubject,
  data: unknown,
): Promise<ContractCaseReport> {
  const { consumer } = subject
  let armed = true
  const die = (): void => {
    if (armed) world.bench.crash()
    armed = false
  }
  const isOnce = consumer.idempotency === 'once' && !consumer.handleBatch
  const world = await subject.open(isOnce ? { afterOnce: die } : { after: die })
  const id = await dieOver(world, subject, data)
  expectKept(isDone(world.runs, id), 'It was not done after the process had died over it.')
  const runs = runsOf(world.runs, id)
  const names = runs.flatMap(({ onceEffects }) => onceEffects)
  const again = isOnce
    ? `${names[0] ?? 'ctx.once'} happened ${names.filter((name) => name === names[0]).length} times: at-least-once, so the other side needs ctx.message.id as its key.`
    : `The handler ran ${runs.length} times: at-least-once, and it declares '${consumer.idempotency ?? ''}'.`
  return told(`The process dies between the effect and its record. ${again}`)
}

async function lostInCrash(subject: ConsumerSubject, data: unknown): Promise<ContractCaseReport> {
  const world = await subject.open({ before: () => world.bench.crash() })
  const [id = ''] = await world.publish([data])
  await world.bench.pass((subject.consumer.batch?.maxAgeMs ?? 0) + 1_000)
  await supervise(world.bench)
  await world.bench.pass(RECOVERS_WITHIN_MS)
  const runs = runsOf(world.runs, id).length
  expectKept(runs <= 1, `An at-most-once message was run ${runs} times.`)
  return told(`${subject.consumer.on.name} is at-most-once: what a crash interrupts is lost.`)
}

const KILLER_CASE: ConsumerCase = {
  case: 'killer',
  label: 'kills the process',
  needsHandler: true,
  async run(subject, from) {
    const { consumer } = subject
    if (consumer.on.guarantee === 'at-most-once') {
      return told(`${consumer.on.name} is at-most-once: it is gone with the process.`)
    }
    const state = { killer: '' }
    const world = await subject.open({
      before: ({ messages }) => {
        state.killer ||= messages[0]?.id ?? ''
        if (messages.some(({ id }) => id === state.killer)) world.bench.crash()
      },
    })
    const { bench } = world
    const messages = await publishKeyed(subject, world, { from, keys: 3, perKey: 1 })
    await bench.pass((consumer.batch?.maxAgeMs ?? 0) + 1_000)
    expectKept(bench.deaths > 0, 'No message was handled.')
    expectKept(await supervise(bench), 'A message that kills the process is run for ever.')
    await bench.pass(RECOVERS_WITHIN_MS)
    const letters = await lettersOf(world, consumer)
    const [letter] = letters
    expectKept(
      letters.length === 1 && letter?.messageId === state.killer,
      `One message kills the process, and there are ${letters.length} dead letters.`,
    )
    expectKept(
      letter.crashes <= LIMITS.crashesMax,
      `It was run ${letter.crashes} times alone; ${LIMITS.crashesMax} are enough.`,
    )
    const neighbours = messages.filter(({ id }) => id !== state.killer).map(({ id }) => id)
    expectHandled(world, neighbours, 'beside a message that kills the process')
    return holds(
      `A message that kills the process is set aside after ${bench.deaths} deaths; its ${neighbours.length} neighbours are done.`,
    )
  },
}

export const CRASH_CASES: readonly ConsumerCase[] = [CRASH_CASE, KILLER_CASE]
