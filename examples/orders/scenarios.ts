// What Acme does in one run, good and bad, and what each part of it has to lead to.
import type { PartnerRequest } from './partner.ts'

/** One line of the final table. */
export interface Scenario {
  readonly title: string
  /** Each queue leaves in its order, one request after the answer to the other. */
  readonly queues: readonly (readonly PartnerRequest[])[]
  /** Queues on their way at the same time. */
  readonly atOnce: number
  /** How often each HTTP status has to be the answer. */
  readonly answers: Readonly<Record<number, number>>
  /** Messages that `finance` gives up, and messages that wait behind them. @default 0 */
  readonly dead?: number
  readonly waiting?: number
}

const STATUSES = ['placed', 'paid', 'packed', 'shipped', 'delivered'] as const

const order = (orderId: string, status: (typeof STATUSES)[number] = 'placed') => ({
  version: 2,
  orderId,
  status,
  occurredAt: new Date().toISOString(),
  customer: { email: `${orderId.toLowerCase()}@customers.example` },
  total: { amount: '49.90', currency: 'EUR' },
})

const oldOrder = (orderId: string) => {
  const { total: _, ...rest } = order(orderId)
  return { ...rest, version: 1 }
}

const repeat = <T>(times: number, item: T): readonly T[] =>
  Array.from({ length: times }, () => item)

const oneByOne = (requests: readonly PartnerRequest[]): Pick<Scenario, 'queues' | 'atOnce'> => ({
  queues: [requests],
  atOnce: 1,
})

/** The same bytes each time: a partner that saw no answer sends what it sent before. */
const retried = { id: 'acme-retried', body: order('ORDER-RETRIED') }
const hasty = { id: 'acme-hasty', body: order('ORDER-HASTY') }

export const SCENARIOS: readonly Scenario[] = [
  {
    title: 'two good ones, version 1 and version 2',
    ...oneByOne([
      { id: 'acme-v1', body: oldOrder('ORDER-V1') },
      { id: 'acme-v2', body: order('ORDER-V2') },
    ]),
    answers: { 202: 2 },
  },
  {
    title: 'the same one five times',
    ...oneByOne(repeat(5, retried)),
    answers: { 202: 1, 200: 4 },
  },
  {
    title: 'the same one fifty times at once',
    queues: repeat(50, [hasty]),
    atOnce: 50,
    answers: { 202: 1, 200: 49 },
  },
  {
    title: 'one signed with another secret',
    ...oneByOne([{ id: 'acme-forged', body: order('ORDER-FORGED'), forged: true }]),
    answers: { 401: 1 },
  },
  {
    title: 'a timestamp of ten minutes ago',
    ...oneByOne([{ id: 'acme-late', body: order('ORDER-LATE'), ageSeconds: 600 }]),
    answers: { 401: 1 },
  },
  {
    title: 'a schema version nobody knows',
    ...oneByOne([{ id: 'acme-v9', body: { ...order('ORDER-V9'), version: 9 } }]),
    answers: { 422: 1 },
  },
  {
    title: 'an unknown status, and no total',
    ...oneByOne([
      { id: 'acme-invalid', body: { ...oldOrder('ORDER-BAD'), version: 2, status: 'lost' } },
    ]),
    answers: { 422: 1 },
  },
  {
    title: 'a changed body under a used id',
    ...oneByOne([
      { id: 'acme-changed', body: order('ORDER-CHANGED') },
      { id: 'acme-changed', body: { ...order('ORDER-CHANGED'), status: 'cancelled' } },
    ]),
    answers: { 202: 1, 409: 1 },
  },
  {
    title: 'one fact under two ids',
    ...oneByOne([
      { id: 'acme-fact-1', body: order('ORDER-FACT') },
      {
        id: 'acme-fact-2',
        body: { ...order('ORDER-FACT'), total: { amount: '1', currency: 'EUR' } },
      },
    ]),
    answers: { 202: 1, 200: 1 },
  },
  {
    title: 'a poison order, its next, another key',
    queues: [
      [
        { id: 'acme-poison-1', body: order('POISON-1', 'placed') },
        { id: 'acme-poison-2', body: order('POISON-1', 'paid') },
      ],
      [
        { id: 'acme-beside-1', body: order('ORDER-BESIDE', 'placed') },
        { id: 'acme-beside-2', body: order('ORDER-BESIDE', 'paid') },
      ],
    ],
    atOnce: 2,
    answers: { 202: 4 },
    dead: 1,
    waiting: 1,
  },
  {
    title: 'a flaky order: each fails twice first',
    ...oneByOne([
      { id: 'acme-flaky-1', body: order('FLAKY-1', 'placed') },
      { id: 'acme-flaky-2', body: order('FLAKY-1', 'paid') },
    ]),
    answers: { 202: 2 },
  },
  {
    title: 'a burst: 100 orders x 5, 32 at once',
    queues: Array.from({ length: 100 }, (_, index) =>
      STATUSES.map((status) => ({
        id: `acme-burst-${index}-${status}`,
        body: order(`BURST-${index}`, status),
      })),
    ),
    atOnce: 32,
    answers: { 202: 500 },
  },
]
