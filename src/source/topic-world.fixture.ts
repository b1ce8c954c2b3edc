import { spawn } from 'node:child_process'
import {
  type Contract,
  event,
  integration,
  jsonSchema,
  secret,
  team,
  type TopicPlace,
  topicSource,
  type TopicSource,
  type TopicSourceOptions,
} from '../contract/index.ts'
import { createSystemKernel, type Kernel, sleep } from '../kernel/index.ts'
import {
  createRuntime,
  type MessageSummary,
  type Runtime,
  type StoreChoice,
} from '../runtime/index.ts'

export interface Payment {
  readonly paymentId: string
  readonly n: number
}

const owner = team('payments')

export const PaymentCaptured: Contract<'payments.captured', { readonly 1: Payment }, 1> = event(
  'payments.captured',
  {
    owner,
    key: 'paymentId',
    versions: {
      1: jsonSchema<Payment>({
        type: 'object',
        required: ['paymentId', 'n'],
        properties: { paymentId: { type: 'string' }, n: { type: 'integer' } },
      }),
    },
  },
)

/** The URL of the broker, as the sources of these tests name it. */
export const BROKER_URL: ReturnType<typeof secret.env> = secret.env('TOPIC_BROKER_URL')

/** A running integration that moves one topic, and what it has in its log. */
export interface TopicWorld {
  readonly runtime: Runtime
  /** Everything in the log, in its order, as soon as it holds so many messages. */
  logged(count: number): Promise<readonly MessageSummary[]>
  close(): Promise<void>
}

export interface TopicWorldOptions {
  readonly topic: TopicPlace
  readonly url: string
  readonly store?: StoreChoice
  readonly over?: Partial<TopicSourceOptions>
}

export const paymentsSource = (
  topic: TopicPlace,
  over: Partial<TopicSourceOptions> = {},
): TopicSource =>
  topicSource('payments', {
    owner,
    topic,
    ...(over.format === undefined && { accepts: [PaymentCaptured] }),
    ...over,
  })

export const openTopicWorld = async (options: TopicWorldOptions): Promise<TopicWorld> => {
  const { topic, url, store = { engine: 'memory' }, over } = options
  const system = createSystemKernel()
  const env = (name: string): string | undefined => (name === BROKER_URL.name ? url : undefined)
  const kernel: Kernel = { ...system, env }
  const source = paymentsSource(topic, over)
  const runtime = await createRuntime(integration('demo', { parts: [source] }), { kernel, store })
  return {
    runtime,
    async logged(count) {
      await until(`${count} messages`, async () => (await allOf(runtime)).length >= count)
      return await allOf(runtime)
    },
    close: () => runtime.close(),
  }
}

async function allOf(runtime: Runtime): Promise<readonly MessageSummary[]> {
  const found: MessageSummary[] = []
  for (let after: string | undefined; ;) {
    const page = await runtime.messages({ limit: 500, ...(after !== undefined && { after }) })
    found.push(...page.items)
    after = page.next
    if (after === undefined) return found.toReversed()
  }
}

const { clock } = createSystemKernel()

export const until = async (
  what: string,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> => {
  const endMs = clock.monotonicMs() + 90_000
  while (!(await isSo())) {
    if (clock.monotonicMs() > endMs) throw new TypeError(`waited too long for: ${what}`)
    await sleep(clock, 25)
  }
}

export interface KillOptions {
  /** The place without its URL: `{ kafka: '', topic }`. */
  readonly place: Readonly<Record<string, unknown>>
  readonly url: string
  readonly directory: string
  /** Publishes the messages of these numbers, as another program does. */
  readonly send: (numbers: readonly number[]) => Promise<void>
}

/**
 * Publishes without a pause while a process that moves the topic is killed again and again; says
 * how many messages there are in the end.
 */
export const killInTransfer = async (options: KillOptions): Promise<number> => {
  const { place, url, directory, send } = options
  const child = new URL('topic-child.fixture.ts', import.meta.url).pathname
  let count = 0
  let isOver = false
  const sending = (async () => {
    while (!isOver) {
      const from = count
      count += 20
      await send(Array.from({ length: 20 }, (_, at) => from + at))
      await sleep(clock, 5)
    }
  })()
  for (let round = 0; round < 4; round++) {
    const relay = spawn(process.execPath, [child, JSON.stringify(place), url, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = new Promise((resolve) => relay.once('exit', resolve))
    await new Promise((resolve) => relay.stdout.once('data', resolve))
    await sleep(clock, round * 170)
    relay.kill('SIGKILL')
    await exited
  }
  isOver = true
  await sending
  return count
}

export const KEYS = 7

/** Which numbers of a key the log has, in its order: ids end with them. */
export const numbersOfKey = (logged: readonly MessageSummary[], key: number): readonly number[] =>
  logged.filter((one) => one.key === `pay-${key}`).map(({ id }) => Number(id.split('-').at(-1)))

/** What everybody expects of a key: each of its numbers once, ascending. */
export const expectedOfKey = (count: number, key: number): readonly number[] =>
  Array.from({ length: count }, (_, n) => n).filter((n) => n % KEYS === key)
