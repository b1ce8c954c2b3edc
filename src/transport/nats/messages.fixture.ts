import { expect, vi } from 'vitest'
import type {
  Broker,
  BrokerChannel,
  BrokerMessage,
  ReadOptions,
  ReceivedMessage,
} from '../broker.ts'

export const DAY_MS = 86_400_000
export const ORDERS: BrokerChannel = { channel: 'orders', retentionMs: DAY_MS }
export const PATIENCE: { readonly timeout: number; readonly interval: number } = {
  timeout: 20_000,
  interval: 10,
}

export const message = (n: number, over: Partial<BrokerMessage> = {}): BrokerMessage => ({
  partition: 0,
  key: `key-${n % 7}`,
  id: `msg_${n}`,
  attributes: {
    specversion: '1.0',
    id: `msg_${n}`,
    type: 'orders.changed',
    source: '/orders',
    datacontenttype: 'application/json',
  },
  data: Buffer.from(String(n)),
  ...over,
})

export const messages = (from: number, to: number): readonly BrokerMessage[] =>
  Array.from({ length: to - from }, (_, at) => message(from + at))

export const numbersOf = (received: readonly ReceivedMessage[]): readonly number[] =>
  received.map(({ data }) => Number(Buffer.from(data).toString()))

export const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, at) => from + at)

export interface Read {
  readonly messages: ReceivedMessage[]
  until(count: number): Promise<readonly ReceivedMessage[]>
}

export const readStream = async (
  from: Broker,
  stream: string,
  options: Partial<ReadOptions>,
): Promise<Read> => {
  const found: ReceivedMessage[] = []
  const onBatch = async (batch: readonly ReceivedMessage[]): Promise<void> =>
    void found.push(...batch)
  await from.read(stream, { from: {}, onBatch, ...options })
  return {
    messages: found,
    async until(count) {
      await vi.waitFor(() => expect(found.length).toBeGreaterThanOrEqual(count), PATIENCE)
      return found
    },
  }
}
