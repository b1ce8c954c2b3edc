import type { Consumer } from '../../contract/index.ts'
import { formatDuration } from '../../kernel/index.ts'
import { describeRetryPolicy, type ResolvedRetryPolicy } from '../../policy/index.ts'
import type { DeadLetterRow } from '../../store/index.ts'
import { type ContractCaseReport, expectKept, holds, notTried, told } from './contract-case.ts'
import type { ConsumerCase } from './consumer-cases.ts'
import { type ConsumerBench, type ConsumerSubject, publishKeyed } from './consumer-subject.ts'
import { type HandlerRun, InjectedFailure, runsOf } from './observed-consumer.ts'

/** Messages that fail together, each on a key of its own. */
const FAILING = 3
/** Timers fire when they are due; more than this is a delay that nobody declared. */
const SLACK_MS = 50
/** A drawn delay is not below this, or below the curve where that is lower. */
const JITTER_FLOOR_MS = 50
const CURVE_START_MS = 1_000

const NO_RETRY: ResolvedRetryPolicy = {
  attempts: 1,
  firstDelayMs: 0,
  factor: 1,
  delayMsMax: 1,
  jitter: 'none',
}

/** The longest delay before retry number `retry`, worked out from the declaration once more. */
const curveMs = (
  { firstDelayMs, factor, delayMsMax }: ResolvedRetryPolicy,
  retry: number,
): number => {
  if (firstDelayMs > 0) return Math.min(delayMsMax, firstDelayMs * factor ** (retry - 1))
  return retry === 1 ? 0 : Math.min(delayMsMax, CURVE_START_MS * factor ** (retry - 2))
}

/** How long a failing message may take to its dead letter. */
export const retryHorizonOf = ({ retry = NO_RETRY, batch }: Consumer): number => {
  // A batch collects again before each attempt.
  let sum = FAILING * (batch?.maxAgeMs ?? 0) * (retry.attempts + 1)
  for (let number = 1; number < retry.attempts; number++) sum += curveMs(retry, number)
  return sum + 60_000
}

export const RETRY_CASE: ConsumerCase = {
  case: 'retry-curve',
  label: 'retry curve',
  needsHandler: false,
  async run(subject) {
    const { consumer } = subject
    const world = await subject.open({
      before: () => {
        throw new InjectedFailure('a contract test lets every attempt fail')
      },
    })
    const wanted = { from: subject.maker.example(), keys: FAILING, perKey: 1 }
    const messages = await publishKeyed(subject, world, wanted)
    await world.bench.pass(retryHorizonOf(consumer))
    if (world.runs.length === 0 && consumer.filter) {
      return notTried('Not tried: its filter lets no example through.')
    }
    if (consumer.on.guarantee === 'at-most-once') return oneAttempt(subject, world, messages)
    const attemptsMax = attemptsOf(consumer)
    const delays = messages.map(({ id }) => checkAttempts(runsOf(world.runs, id), attemptsMax))
    for (const list of delays)
      list.forEach((delay, index) => checkDelay(consumer, index + 1, delay))
    const letters = await lettersOf(world, consumer)
    expectKept(
      letters.length === messages.length,
      `${messages.length} messages failed for good, and there are ${letters.length} dead letters.`,
    )
    for (const letter of letters) checkLetter(consumer, letter, attemptsMax)
    checkAlert(world, consumer, letters)
    return holds(describeCurve(consumer, attemptsMax, delays[0] ?? []))
  },
}

/**
 * Attempts that an injected failure has. It is an ordinary Error, and a consumer may have declared
 * that none of those is worth a retry.
 */
export const attemptsOf = ({ permanent, retry = NO_RETRY, on }: Consumer): number => {
  if (on.guarantee === 'at-most-once') return 1
  const failure = new InjectedFailure('')
  const isPermanent = permanent.some((one) =>
    typeof one === 'string' ? one === failure.name : failure instanceof one,
  )
  return isPermanent ? 1 : retry.attempts
}

/** Whether a key is held after a dead letter. */
export const holdsKey = ({ afterDeadLetter, ordering, on }: Consumer): boolean =>
  afterDeadLetter === 'park' && ordering === 'key' && on.key.length > 0

/** Delays between the attempts of one message. */
function checkAttempts(runs: readonly HandlerRun[], attemptsMax: number): readonly number[] {
  const numbers = runs.map(({ attempt }) => attempt)
  // In a batch all are tried together first; which one is at fault is then found one by one.
  const attempts = runs.filter((run, index) => run.attempt !== runs[index + 1]?.attempt)
  expectKept(
    attempts.length === attemptsMax && attempts.every(({ attempt }, at) => attempt === at + 1),
    `Declared are ${attemptsMax} attempts; it was run ${attempts.length} times ` +
      `(attempts ${numbers.slice(0, 8).join(', ')}${numbers.length > 8 ? ', …' : ''}).`,
  )
  return attempts
    .slice(1)
    .map(({ startedMs }, index) => startedMs - (attempts[index]?.endedMs ?? 0))
}

function checkDelay(
  { retry: policy = NO_RETRY, batch }: Consumer,
  retry: number,
  delayMs: number,
): void {
  const longest = Math.round(curveMs(policy, retry))
  const shortest = policy.jitter === 'none' ? longest : Math.min(longest, JITTER_FLOOR_MS)
  // Delays are whole milliseconds. A batch collects before it runs, and runs after those before it.
  const latest = longest + FAILING * (batch?.maxAgeMs ?? 0) + SLACK_MS
  const kept = delayMs >= shortest - 1 && delayMs <= latest
  const bounds =
    shortest === longest
      ? formatDuration(longest)
      : `${formatDuration(shortest)} to ${formatDuration(longest)}`
  expectKept(kept, `Retry ${retry} came after ${formatDuration(delayMs)}; declared is ${bounds}.`)
}

function checkLetter(consumer: Consumer, letter: DeadLetterRow, attempts: number): void {
  const owner = (consumer.deadLetter?.owner ?? consumer.owner)?.name ?? ''
  expectKept(
    letter.owner === owner,
    `Its dead letter belongs to "${letter.owner}"; declared is "${owner}".`,
  )
  expectKept(
    letter.attempts === attempts,
    `Its dead letter says ${letter.attempts} attempts, and there were ${attempts}.`,
  )
  const parks = consumer.afterDeadLetter === 'park' && consumer.ordering === 'key'
  expectKept(
    letter.parked === parks,
    `Its dead letter ${letter.parked ? 'holds' : 'does not hold'} its key; declared is ${consumer.afterDeadLetter ?? ''}.`,
  )
}

function checkAlert(
  { bench }: ConsumerBench,
  consumer: Consumer,
  letters: readonly DeadLetterRow[],
): void {
  const causes = new Set(letters.map(({ cause }) => cause))
  const opened = bench.sent.filter(
    ({ alert, notification }) => causes.has(alert.cause) && notification.kind === 'opened',
  )
  const owner = (consumer.deadLetter?.owner ?? consumer.owner)?.name ?? ''
  expectKept(
    opened.length === causes.size,
    `${causes.size} cause of dead letters was to be told once; it was told ${opened.length} times.`,
  )
  for (const { alert } of opened) {
    expectKept(alert.owner === owner, `The alert went to "${alert.owner}", not to "${owner}".`)
    const route = consumer.deadLetter?.alert?.kind ?? ''
    expectKept(alert.route === route, `The alert went by ${alert.route}; declared is ${route}.`)
  }
}

function describeCurve(consumer: Consumer, attempts: number, delays: readonly number[]): string {
  const owner = (consumer.deadLetter?.owner ?? consumer.owner)?.name ?? ''
  const route = consumer.deadLetter?.alert?.kind ?? ''
  const { retry = NO_RETRY } = consumer
  const shown = delays.slice(0, 6).map((delay) => formatDuration(delay))
  const came =
    shown.length === 0
      ? ''
      : ` They came after ${shown.join(', ')}${delays.length > 6 ? ', …' : ''}.`
  // An injected failure may be one that the consumer declares not worth a retry.
  const policy =
    attempts === retry.attempts ? describeRetryPolicy(retry) : '1 attempt, as permanent says'
  return `${policy}.${came} Then a dead letter of ${owner}, and one alert by ${route}.`
}

/** Without a place in the log there is nothing to try again. */
async function oneAttempt(
  { consumer }: ConsumerSubject,
  world: ConsumerBench,
  messages: readonly { readonly id: string }[],
): Promise<ContractCaseReport> {
  for (const { id } of messages) checkAttempts(runsOf(world.runs, id), 1)
  const letters = await lettersOf(world, consumer)
  expectKept(letters.length === 0, `${letters.length} dead letters of an at-most-once contract.`)
  return told(`${consumer.on.name} is at-most-once: one attempt, and what fails is dropped.`)
}

export const lettersOf = async (
  { bench }: ConsumerBench,
  consumer: Consumer,
): Promise<readonly DeadLetterRow[]> => {
  const page = await bench.drive(bench.runtime.deadLetters({ consumer: consumer.name }))
  return page?.items ?? []
}
