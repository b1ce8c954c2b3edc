import { crc32c, readRecordsBatch, Reader } from '@platformatic/kafka'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { BrokerMessage } from '../broker.ts'
import { encodeRecordBatch, recordBytesOf } from './record-batch.ts'

const OPTIONS = {
  atMs: 1_767_225_600_000,
  producerId: 4_000_000_000n,
  producerEpoch: 7,
  firstSequence: 12,
  crc32c: (bytes: Buffer) => crc32c(bytes),
}

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', minLength: 60, maxLength: 70 }),
)

const message: fc.Arbitrary<BrokerMessage> = fc.record({
  partition: fc.constant(0),
  key: text,
  id: fc.constant('msg'),
  attributes: fc.dictionary(fc.stringMatching(/^[a-z0-9]{1,20}$/), text, { noNullPrototype: true }),
  data: fc.uint8Array({ maxLength: 20_000 }),
})

describe('a batch of records', () => {
  it('is read by another implementation as it was written', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 80 }), (messages) => {
        const bytes = encodeRecordBatch(messages, OPTIONS)
        const batch = readRecordsBatch(Reader.from(bytes))

        expect(batch.length).toBe(bytes.length - 12)
        expect(batch.crc).toBe(crc32c(bytes.subarray(21)))
        expect(batch.records.map(({ offsetDelta }) => offsetDelta)).toEqual([...messages.keys()])
        for (const [at, { key, data, attributes }] of messages.entries()) {
          const record = batch.records[at]
          expect(record?.key?.toString()).toBe(key)
          expect(record?.value).toEqual(Buffer.from(data))
          expect(
            record?.headers.map(([name, value]) => [name?.toString(), value?.toString()]),
          ).toEqual(
            Object.entries(attributes).map(([name, value]) => [
              name === 'datacontenttype' ? 'content-type' : `ce_${name}`,
              value,
            ]),
          )
        }
      }),
      { numRuns: 60 },
    )
  })

  it('carries the numbers by which Kafka knows a repeat', () => {
    const one = { partition: 0, key: 'k', id: 'm', attributes: {}, data: Buffer.from('x') }
    const batch = readRecordsBatch(Reader.from(encodeRecordBatch([one, one], OPTIONS)))

    expect(batch).toMatchObject({
      magic: 2,
      attributes: 0,
      lastOffsetDelta: 1,
      producerId: 4_000_000_000n,
      producerEpoch: 7,
      firstSequence: 12,
      firstTimestamp: 1_767_225_600_000n,
      maxTimestamp: 1_767_225_600_000n,
    })
  })

  it('is never larger than was reckoned for its messages', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 20 }), (messages) => {
        const reckoned = messages.reduce((sum, one) => sum + recordBytesOf(one), 61)

        expect(encodeRecordBatch(messages, OPTIONS).length).toBeLessThanOrEqual(reckoned)
      }),
      { numRuns: 40 },
    )
  })
})
