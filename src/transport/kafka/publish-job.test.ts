import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../kernel/index.ts'
import type { BrokerMessage } from '../broker.ts'
import { batchesOf, cutJob, type Job } from './publish-job.ts'

const job = (topic = 't'): Job => ({
  topic,
  dueMs: 0,
  resolve: () => undefined,
  reject: () => undefined,
  open: 0,
  isOver: false,
})

const message = (n: number, bytes = 10): BrokerMessage => ({
  partition: n % 2,
  key: 'k',
  id: `msg_${n}`,
  attributes: {},
  data: Buffer.alloc(bytes),
})

describe('what is published', () => {
  it('is cut into pieces that fit into a request, in order, a larger message alone', () => {
    const sizes = [10, LIMITS.kafkaRequestBytesMax + 1, 10, LIMITS.kafkaRequestBytesMax - 50, 100]
    const messages = sizes.map((bytes, n) => message(n, bytes))
    const pieces = cutJob(job(), messages, 4_000_000)

    expect(pieces.map((piece) => piece.messages.map(({ id }) => id))).toEqual([
      ['msg_0'],
      ['msg_1'],
      ['msg_2', 'msg_3'],
      ['msg_4'],
    ])
  })

  it('is refused when one message is larger than the topics take, headers and all', () => {
    const large = { ...message(1, 900), attributes: { subject: 'x'.repeat(200) } }

    expect(() => cutJob(job(), [message(0), large], 1_000)).toThrow(
      /msg_1.* bytes with its headers/,
    )
  })

  it('becomes one batch for each partition, numbered as it goes', () => {
    const [one, other] = [job('a'), job('b')]
    const pieces = [
      ...cutJob(one, [message(0), message(1), message(2)], 1_000),
      ...cutJob(other, [message(0)], 1_000),
      ...cutJob(one, [message(4)], 1_000),
    ]
    const asked: string[] = []
    const batches = batchesOf(pieces, (topic, partition, count) =>
      asked.push(`${topic}/${partition} ${count}`),
    )

    expect(asked).toEqual(['a/0 3', 'a/1 1', 'b/0 1'])
    expect(batches[0]?.messages.map(({ id }) => id)).toEqual(['msg_0', 'msg_2', 'msg_4'])
    expect(batches.map(({ firstSequence }) => firstSequence)).toEqual([1, 2, 3])
  })
})
