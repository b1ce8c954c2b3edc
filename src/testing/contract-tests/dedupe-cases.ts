import { type KeySource, type Mismatch, valueAt } from '../../contract/index.ts'
import { formatDuration } from '../../kernel/index.ts'
import { expectKept, holds, told } from './contract-case.ts'
import type { WebhookCase } from './webhook-cases.ts'
import type { TestAnswer } from './test-bench.ts'
import type { TestRequest } from './test-partner.ts'
import {
  describeAnswer,
  expectAccepted,
  expectProblem,
  expectRepeat,
  isKeySigned,
  otherBody,
  type WebhookBench,
  type WebhookSubject,
} from './webhook-subject.ts'

const MINUTE_MS = 60_000

/** A world in which one message was taken. */
async function openWithFirst(subject: WebhookSubject): Promise<
  WebhookBench & {
    readonly request: TestRequest
    readonly body: unknown
    readonly head: number
  }
> {
  const { body } = await subject.goodBody()
  const world = await subject.open()
  const request = subject.partner.request(world.bench.clock, { body, id: 'ct-first' })
  const answer = await world.bench.send(request)
  expectKept(answer !== undefined, 'No answer came.')
  await expectAccepted(subject, world, { answer, when: 'To a valid request' })
  return { ...world, request, body, head: await world.bench.head() }
}

async function sendBytes({ bench }: WebhookBench, request: TestRequest): Promise<TestAnswer> {
  const answer = await bench.send(request)
  expectKept(answer !== undefined, 'No answer came.')
  return answer
}

/** Somebody has listened on the way and sends the very same bytes. */
const REPLAYED_CASE: WebhookCase = {
  case: 'replayed-request',
  label: 'replayed request',
  async run(subject) {
    const { verify, idempotency } = subject.webhook
    const world = await openWithFirst(subject)
    const { request, head: headBefore } = world
    const soon = await sendBytes(world, request)
    const when = 'To the same signed request again'
    await expectRepeat(subject, world, { answer: soon, when, headBefore })
    const source = idempotency.key
    if (!isKeySigned(subject.webhook) && source?.from === 'header') {
      const headers = Object.entries(request.headers).map(([name, value]) =>
        value === request.id ? [name, 'ct-of-a-stranger'] : [name, value],
      )
      const forged = { ...request, headers: Object.fromEntries(headers) }
      const answer = await sendBytes(world, forged)
      const other = `To the same signed request under another ${source.name}, which nothing signs,`
      await expectRepeat(subject, world, { answer, when: other, headBefore })
    }
    if (verify.kind !== 'signed' || verify.timestampUnit === undefined) {
      return holds('The same request again is a repeat, as long as its key is remembered.')
    }
    const { pastMs, futureMs } = verify.tolerance
    await world.bench.pass(pastMs + futureMs + MINUTE_MS)
    const late = `To the same signed request after ${formatDuration(pastMs + futureMs + MINUTE_MS)}`
    expectProblem(await sendBytes(world, request), 'JUNCTURA_SIGNATURE_REFUSED', late)
    return holds('The same signed request again is a repeat; after the tolerance it is 401.')
  },
}

/** The partner has seen no answer and tries again, as long as it says that it does. */
const DUPLICATE_CASE: WebhookCase = {
  case: 'duplicate',
  label: 'duplicate',
  async run(subject) {
    const { retriesForMs } = subject.webhook
    const world = await openWithFirst(subject)
    const { body, request, head: headBefore } = world
    const startedMs = world.bench.clock.monotonicMs()
    // Just within: at the end itself the key may be forgotten.
    const lastMs = Math.max(1_000, retriesForMs - 1_000)
    for (const afterMs of [1_000, Math.max(1_000, lastMs / 2), lastMs]) {
      await world.bench.pass(Math.max(0, startedMs + afterMs - world.bench.clock.monotonicMs()))
      const answer = await world.ask({ body, id: request.id })
      const when = `To the same message, signed anew after ${formatDuration(afterMs)},`
      await expectRepeat(subject, world, { answer, when, headBefore })
    }
    await fiveAtOnce(subject)
    return holds(
      `One message, sent again for ${formatDuration(retriesForMs)} and five times at once, is in the log once.`,
    )
  },
}

const AT_ONCE = 5

async function fiveAtOnce(subject: WebhookSubject): Promise<void> {
  const { body } = await subject.goodBody()
  const { verify, idempotency } = subject.webhook
  const single = await openWithFirst(subject)
  const world = await subject.open()
  const request = subject.partner.request(world.bench.clock, { body, id: 'ct-at-once' })
  const answers = await Promise.all(
    Array.from({ length: AT_ONCE }, () => sendBytes(world, request)),
  )
  const head = await world.bench.head()
  expectKept(
    head === single.head,
    `Of ${AT_ONCE} equal requests at once ${head} records are stored, and of one ${single.head}.`,
  )
  const { accepted, duplicate } = verify.answer
  const allowed = idempotency.inFlight === 'conflict' ? [duplicate, 409] : [duplicate]
  const others = answers.filter(({ status }) => ![accepted, ...allowed].includes(status))
  const [other] = others
  expectKept(
    other === undefined,
    `One of ${AT_ONCE} equal requests at once is answered ${other ? describeAnswer(other) : ''}; allowed are ${[accepted, ...allowed].join(', ')}.`,
  )
}

const CHANGED_CASE: WebhookCase = {
  case: 'changed-body',
  label: 'changed body',
  async run(subject) {
    const { idempotency } = subject.webhook
    if (!idempotency.key) return told('It has no key of its own: another body is another message.')
    const world = await openWithFirst(subject)
    const keyless = keyPathsOf(idempotency.key).find((path) => isMissing(world.body, path))
    if (keyless !== undefined) return told(`The example has no ${keyless}, so it has no key.`)
    const body = otherBody(subject, world.body, true)
    if (body === undefined) return told('No other valid body can be made under the same key.')
    const answer = await world.ask({ body, id: world.request.id })
    await RULES[idempotency.mismatch](subject, { ...world, answer })
    const equal = await repeatOfEqualFields(subject)
    return holds(`${RULE_WORDS[idempotency.mismatch]}${equal}`)
  },
}

const keyPathsOf = (source: KeySource | undefined): readonly string[] =>
  source?.from === 'body' ? source.paths : []

const isMissing = (body: unknown, path: string): boolean =>
  [undefined, null, ''].some((nothing) => valueAt(body, path) === nothing)

interface Mismatched extends WebhookBench {
  readonly head: number
  readonly answer: TestAnswer
}

const WHEN = 'To another body under the same key'

/** What the webhook's rule for another body under a used key asks for. */
const RULES: Readonly<
  Record<Mismatch, (subject: WebhookSubject, seen: Mismatched) => Promise<void>>
> = {
  conflict: async (_, { bench, answer, head }) => {
    expectProblem(answer, 'JUNCTURA_KEY_CONFLICT', WHEN)
    expectKept((await bench.head()) === head, `${WHEN} it is stored; the rule is conflict.`)
    const kept = (await bench.drive(bench.runtime.invalid({})))?.items ?? []
    expectKept(
      kept.some(({ reason }) => reason === 'conflict'),
      `${WHEN} nothing is kept in quarantine.`,
    )
    const alerts = (await bench.drive(bench.runtime.alerts({ state: 'open' })))?.items ?? []
    expectKept(alerts.length > 0, `${WHEN} nobody is told.`)
  },
  'first-wins': (subject, seen) =>
    expectRepeat(subject, seen, { answer: seen.answer, when: WHEN, headBefore: seen.head }),
  'accept-as-new': async (subject, seen) => {
    const { answer } = seen
    const when = WHEN
    // The same fact in other words may still be one event; its receipt is stored all the same.
    const { duplicate } = subject.webhook.verify.answer
    if (answer.status !== duplicate) {
      return expectAccepted(subject, seen, { answer, when, headBefore: seen.head })
    }
    expectKept((await seen.bench.head()) > seen.head, `${when} nothing is stored.`)
  },
}

const RULE_WORDS: Readonly<Record<Mismatch, string>> = {
  conflict: 'The same key with another body is 409, kept in quarantine, and its owner is told.',
  'first-wins': 'The same key with another body is a repeat: the first one counts.',
  'accept-as-new': 'The same key with another body is a new message, as declared.',
}

/** Where only some fields count, a difference elsewhere is none. */
async function repeatOfEqualFields(subject: WebhookSubject): Promise<string> {
  if (subject.webhook.idempotency.compare === 'bytes') return ''
  const world = await openWithFirst(subject)
  const body = otherBody(subject, world.body, false)
  if (body === undefined) return ''
  const answer = await world.ask({ body, id: world.request.id })
  const when = 'To a body that differs where it is not compared'
  await expectRepeat(subject, world, { answer, when, headBefore: world.head })
  return ' Where it is not compared, a difference is a repeat.'
}

export const DEDUPE_CASES: readonly WebhookCase[] = [REPLAYED_CASE, DUPLICATE_CASE, CHANGED_CASE]
