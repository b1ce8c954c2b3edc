import type { KafkaRecord, RecordsBatch } from '@platformatic/kafka'
import { describe, expect, it } from 'vitest'
import type { ReceivedMessage } from '../broker.ts'
import { readPartition } from './received.ts'

const TRANSACTIONAL = 16
const CONTROL = 32

const record = (offsetDelta: number, over: Partial<KafkaRecord> = {}): KafkaRecord => ({
  length: 0,
  attributes: 0,
  timestampDelta: 0n,
  offsetDelta,
  key: null,
  value: null,
  headers: [],
  ...over,
})

const batch = (first: number, count: number, over: Partial<RecordsBatch> = {}): RecordsBatch => ({
  firstOffset: BigInt(first),
  length: 0,
  partitionLeaderEpoch: 0,
  magic: 2,
  crc: 0,
  attributes: 0,
  lastOffsetDelta: count - 1,
  firstTimestamp: 0n,
  maxTimestamp: 0n,
  producerId: -1n,
  producerEpoch: -1,
  firstSequence: -1,
  records: Array.from({ length: count }, (_, at) => record(at)),
  ...over,
})

const read = (
  batches: readonly RecordsBatch[],
  from = 0n,
  aborted: Parameters<typeof readPartition>[0]['aborted'] = [],
) => {
  const messages: ReceivedMessage[] = []
  const next = readPartition({ partition: 3, from, batches, aborted }, messages)
  return { next, offsets: messages.map(({ offset }) => Number(offset)), messages }
}

describe('what a broker gave of a partition', () => {
  it('begins at the offset that is wanted, also in the middle of a batch', () => {
    expect(read([batch(0, 4), batch(4, 2)], 2n)).toMatchObject({
      offsets: [2, 3, 4, 5],
      next: 6n,
    })
    expect(read([batch(0, 4)], 4n)).toMatchObject({ offsets: [], next: 4n })
  })

  it('goes past what was compacted away', () => {
    const holey = batch(10, 5, { records: [record(1), record(3)] })

    expect(read([holey], 10n)).toMatchObject({ offsets: [11, 13], next: 15n })
  })

  it('leaves out transactions that were given up, and the marks of all', () => {
    const of = (producerId: bigint, attributes = TRANSACTIONAL) => ({ producerId, attributes })
    const batches = [
      batch(0, 2, of(1n)),
      batch(2, 2, of(2n)),
      batch(4, 1),
      batch(5, 1, of(1n, TRANSACTIONAL | CONTROL)),
      batch(6, 1, of(2n, TRANSACTIONAL | CONTROL)),
      batch(7, 1, of(1n)),
      batch(8, 1, of(1n, TRANSACTIONAL | CONTROL)),
    ]

    expect(read(batches, 0n, [{ producerId: 1n, firstOffset: 0n }])).toMatchObject({
      offsets: [2, 3, 4, 7],
      next: 9n,
    })
  })

  it('gives messages that are no CloudEvents as they are', () => {
    const headers: KafkaRecord['headers'] = [
      [Buffer.from('trace'), Buffer.from('abc')],
      [Buffer.from('empty'), null],
    ]
    const foreign = batch(0, 1, { records: [record(0, { headers, value: Buffer.from('data') })] })

    expect(read([foreign]).messages).toEqual([
      {
        partition: 3,
        offset: '0',
        key: '',
        attributes: {},
        headers: { trace: 'abc', empty: '' },
        data: Buffer.from('data'),
      },
    ])
  })

  it('gives a message without data as one of no bytes', () => {
    expect(read([batch(0, 1)]).messages[0]?.data).toHaveLength(0)
  })
})
