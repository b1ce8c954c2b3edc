import { ok } from 'node:assert/strict'
import type { BrokerFeatures } from '../../contract/index.ts'
import { createSystemKernel } from '../../kernel/index.ts'
import type {
  Broker,
  BrokerMessage,
  BrokerState,
  Reading,
  ReceivedMessage,
} from '../../transport/index.ts'

export interface BrokerCase {
  readonly title: string
  /** False leaves the case out for a driver that does not claim what it is about. */
  readonly needs?: (features: BrokerFeatures) => boolean
  readonly run: (bench: BrokerBench) => Promise<void>
}

export interface BrokerBench {
  readonly features: BrokerFeatures
  open(onState?: (state: BrokerState) => void): Promise<Broker>
  topicOf(channel: string): Promise<string>
  restart(): Promise<void>
  stop(): Promise<void>
  wipe(): Promise<void>
  readonly patienceMs: number
}

export const CHANNEL = 'orders'

const DAY_MS = 86_400_000

export const channelOf = (channel: string): { channel: string; retentionMs: number } => ({
  channel,
  retentionMs: DAY_MS,
})

/** A broker whose channel is there. */
export const ready = async (
  bench: BrokerBench,
  onState?: (state: BrokerState) => void,
): Promise<Broker> => {
  const broker = await bench.open(onState)
  await broker.ensure([channelOf(CHANNEL)])
  return broker
}

export const messageOf = (n: number, over: Partial<BrokerMessage> = {}): BrokerMessage => ({
  partition: 0,
  key: `key-${n}`,
  id: `msg_${n}`,
  attributes: {
    specversion: '1.0',
    id: `msg_${n}`,
    type: 'orders.changed',
    source: '/publish',
    datacontenttype: 'application/json',
  },
  data: Buffer.from(JSON.stringify({ n })),
  ...over,
})

export const manyMessages = (
  count: number,
  { partitions = 1, from = 0 }: { readonly partitions?: number; readonly from?: number } = {},
): readonly BrokerMessage[] =>
  Array.from({ length: count }, (_, at) =>
    messageOf(from + at, { partition: (from + at) % partitions }),
  )

/** What came, and a way to wait for it. */
export interface Inbox {
  readonly messages: ReceivedMessage[]
  /** Waits until so many are there, and then a moment for more than were wanted. */
  until(count: number): Promise<readonly ReceivedMessage[]>
}

const { clock } = createSystemKernel()

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => clock.setTimer(ms, resolve))

export const waitFor = async (
  { patienceMs }: Pick<BrokerBench, 'patienceMs'>,
  what: string,
  isTrue: () => boolean | Promise<boolean>,
): Promise<void> => {
  const endMs = clock.monotonicMs() + patienceMs
  while (!(await isTrue())) {
    ok(clock.monotonicMs() < endMs, `waited ${patienceMs} ms for: ${what}`)
    await pause(10)
  }
}

/** Time in which what must not come would have come. */
export const QUIET_MS = 150

export const createInbox = (bench: BrokerBench): Inbox => {
  const messages: ReceivedMessage[] = []
  return {
    messages,
    async until(count) {
      await waitFor(bench, `${count} messages`, () => messages.length >= count)
      await pause(QUIET_MS)
      return messages
    },
  }
}

export const follow = async (
  bench: BrokerBench,
  broker: Broker,
  channel: string = CHANNEL,
): Promise<Inbox & { readonly reading: Reading }> => {
  const inbox = createInbox(bench)
  const reading = await broker.follow(channel, (messages) => void inbox.messages.push(...messages))
  return { ...inbox, reading }
}

export const numbersOf = (messages: readonly Pick<ReceivedMessage, 'data'>[]): readonly number[] =>
  messages.map(({ data }) => {
    const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'))
    ok(typeof value === 'object' && value !== null && 'n' in value && typeof value.n === 'number')
    return value.n
  })

/** The numbers in the order in which they came, by partition. */
export const byPartition = (
  messages: readonly ReceivedMessage[],
): Readonly<Record<number, readonly number[]>> => {
  const found: Record<number, number[]> = {}
  for (const message of messages) {
    const list = (found[message.partition] ??= [])
    list.push(...numbersOf([message]))
  }
  return found
}

/** Without those that came before: a repeat is allowed where only the order is asked for. */
export const firstOf = (numbers: readonly number[]): readonly number[] => [...new Set(numbers)]
