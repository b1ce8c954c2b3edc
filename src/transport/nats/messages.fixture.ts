import type { BrokerMessage, ReceivedMessage } from '../broker.ts'

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
