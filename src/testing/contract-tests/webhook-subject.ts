import { crc32 } from 'node:zlib'
import { type Integration, secret, valueAt, type Webhook } from '../../contract/index.ts'
import { createSeededRandom, ERROR_CODES, type ErrorCode, type Random } from '../../kernel/index.ts'
import type { DeadLetterRow } from '../../store/index.ts'
import { expectKept } from './contract-case.ts'
import { createDataMaker, type DataMaker, scalarPaths, valuesAt } from './example-data.ts'
import { type BenchSeams, createTestBench, type TestAnswer, type TestBench } from './test-bench.ts'
import { createTestPartner, type RequestPlan, type TestPartner } from './test-partner.ts'

/** What the cases of one webhook are tried on. */
export interface WebhookSubject {
  readonly webhook: Webhook
  readonly random: Random
  readonly partner: TestPartner
  maker(version: number): DataMaker
  /** A body that the border takes and the transform makes something of, where there is one. */
  goodBody(version?: number): Promise<GoodBody>
  /** A process with this webhook alone. */
  open(): Promise<WebhookBench>
}

export interface GoodBody {
  readonly body: unknown
  /** What the transform threw on every example. */
  readonly trouble?: string
}

export interface WebhookBench {
  readonly bench: TestBench
  /** Makes a request and sends it; ends the case when no answer comes. */
  ask(plan: RequestPlan): Promise<TestAnswer>
}

export interface WebhookSubjectOptions {
  readonly integration: Integration
  readonly webhook: Webhook
  readonly seed: number
  /** Names the stream of chance: a case is the same alone and among others. */
  readonly stream: string
  /** Data that was given for a version of what it accepts. */
  readonly given: (version: number) => unknown
  readonly seams: BenchSeams
  /** The search of another subject, so that it is made once. @default its own */
  readonly good?: WebhookSubject['goodBody']
}

/** Examples that are tried until the transform takes one. */
const EXAMPLES_MAX = 20

export const createWebhookSubject = (options: WebhookSubjectOptions): WebhookSubject => {
  const { integration, seams } = options
  const webhook = withOwnCertificate(options.webhook)
  const seed = crc32(`${options.seed}/webhook/${webhook.name}/${options.stream}`)
  const random = createSeededRandom(seed)
  const partner = createTestPartner(webhook, random)
  const makers = new Map<number, DataMaker>()
  const found = new Map<number, Promise<GoodBody>>()
  const subject: WebhookSubject = {
    webhook,
    random,
    partner,
    maker(version) {
      const known = makers.get(version)
      if (known) return known
      const given = options.given(version)
      const made = createDataMaker(webhook.accepts, version, { random, given })
      makers.set(version, made)
      return made
    },
    goodBody(version = webhook.accepts.latest) {
      const known = options.good?.(version) ?? found.get(version)
      if (known) return known
      const search = findGoodBody(subject, version)
      found.set(version, search)
      return search
    },
    async open() {
      const bench = createTestBench({
        // Others are compiled when they are emitted: a world costs what it needs.
        integration: {
          ...integration,
          webhooks: [webhook],
          consumers: [],
          contracts: new Map([[webhook.accepts.name, webhook.accepts]]),
        },
        seed,
        env: partner.env,
        files: partner.files,
        seams,
      })
      await bench.start()
      return {
        bench,
        async ask(plan) {
          const answer = await bench.send(partner.request(bench.clock, plan))
          expectKept(answer !== undefined, 'No answer came.')
          return answer
        },
      }
    },
  }
  return subject
}

/**
 * Nobody here has the private key of a sender's certificate: the webhook is given a public key
 * whose other half is known.
 */
function withOwnCertificate(webhook: Webhook): Webhook {
  const { verify } = webhook
  if (verify.kind !== 'signed' || !verify.certificate) return webhook
  const { certificate: _, ...scheme } = verify
  const secrets = [secret.env('CONTRACT_TEST_CERTIFICATE')]
  return { ...webhook, verify: { ...scheme, secrets } }
}

async function findGoodBody(subject: WebhookSubject, version: number): Promise<GoodBody> {
  const { webhook } = subject
  let first: GoodBody | undefined
  for (let time = 0; time < EXAMPLES_MAX; time++) {
    const body = exampleBody(subject, version)
    const { bench, ask } = await subject.open()
    const answer = await ask({ body, version })
    if (answer.status !== webhook.verify.answer.accepted) first ??= { body }
    const letter = await transformLetter(bench)
    if (!letter) return first ?? { body }
    const trouble = `${letter.errorName}: ${letter.errorMessage}`
    first = { body, trouble }
  }
  return first ?? { body: exampleBody(subject, version) }
}

const transformLetter = async (bench: TestBench): Promise<DeadLetterRow | undefined> =>
  (await bench.drive(bench.runtime.deadLetters({})))?.items[0]

/** An example that says its version where the webhook looks for it. */
const exampleBody = ({ webhook, maker }: WebhookSubject, version: number): unknown => {
  const example = maker(version).example()
  const path = webhook.version?.from === 'body' ? webhook.version.paths[0] : undefined
  if (path === undefined || String(valueAt(example, path)) === String(version)) return example
  return maker(version).put(example, path, version) ?? example
}

/** Paths of the body that say what a request is about: its key and its version. */
const fixedPaths = ({ version, idempotency }: Webhook): readonly string[] =>
  [version, idempotency.key].flatMap((source) => (source?.from === 'body' ? source.paths : []))

/**
 * Another body under the same key: one that differs at a path that counts for a repeat, or at one
 * that does not. Undefined where the contract allows none.
 */
export const otherBody = (
  { webhook, maker }: WebhookSubject,
  body: unknown,
  counts: boolean,
): unknown => {
  const { compare } = webhook.idempotency
  const compared = compare === 'bytes' ? undefined : compare.fields
  const fixed = fixedPaths(webhook)
  const made = maker(webhook.accepts.latest)
  for (const path of scalarPaths(body)) {
    if (fixed.some((one) => one === path || one.startsWith(`${path}.`))) continue
    const isCompared = compared?.some((one) => one === path || path.startsWith(`${one}.`)) ?? true
    const other = isCompared === counts ? made.vary(body, path) : undefined
    if (other !== undefined && valuesAt(other, fixed) === valuesAt(body, fixed)) return other
  }
  // An open object may have any member more, unless only named fields count.
  return counts && compared ? undefined : made.put(body, 'contractTest', 'another body')
}

/** Whether the sender's signature covers the key by which its messages are told apart. */
export const isKeySigned = ({ verify, idempotency: { key } }: Webhook): boolean =>
  key?.from !== 'header' ||
  verify.kind !== 'signed' ||
  (verify.messageId === 'signed' && verify.headers.some(({ id }) => id === key.name))

/** Ends the case unless the answer is this problem. */
export const expectProblem = (answer: TestAnswer, code: ErrorCode, when: string): void => {
  const came = describeAnswer(answer)
  const wanted = `${ERROR_CODES[code].status} ${code}`
  expectKept(
    answer.status === ERROR_CODES[code].status && answer.body['code'] === code,
    `${when} it answers ${came}; it must be ${wanted}.`,
  )
}

export const describeAnswer = ({ status, body }: TestAnswer): string => {
  const word = body['code'] ?? body['status']
  return typeof word === 'string' ? `${status} ${word}` : String(status)
}

/** Ends the case unless nothing of a request is kept. */
export const expectNothingStored = async (bench: TestBench, when: string): Promise<void> => {
  const head = await bench.head()
  const invalid = (await bench.drive(bench.runtime.invalid({})))?.items.length ?? 0
  expectKept(head === 0, `${when} ${head} records are in the log; it must be none.`)
  expectKept(invalid === 0, `${when} ${invalid} requests are kept as invalid; it must be none.`)
}

/** Ends the case unless the request was taken as a new message. */
export const expectAccepted = async (
  subject: WebhookSubject,
  world: WebhookBench,
  seen: { readonly answer: TestAnswer; readonly when: string; readonly headBefore?: number },
): Promise<void> => {
  const { accepted } = subject.webhook.verify.answer
  const { answer, when, headBefore = 0 } = seen
  expectKept(
    answer.status === accepted,
    `${when} it answers ${describeAnswer(answer)}; it must be ${accepted}.`,
  )
  const head = await world.bench.head()
  expectKept(head > headBefore, `${when} it answers ${accepted}, and nothing is in the log.`)
}

/** Ends the case unless the request was seen to be a repeat, and nothing more is stored. */
export const expectRepeat = async (
  subject: WebhookSubject,
  world: WebhookBench,
  seen: { readonly answer: TestAnswer; readonly when: string; readonly headBefore: number },
): Promise<void> => {
  const { duplicate } = subject.webhook.verify.answer
  const { answer, when, headBefore } = seen
  const head = await world.bench.head()
  expectKept(head === headBefore, `${when} it is stored again; it must be one message.`)
  expectKept(
    answer.status === duplicate,
    `${when} it answers ${describeAnswer(answer)}; it must be ${duplicate}.`,
  )
}
