import { describe, expect, it } from 'vitest'
import type { Envelope } from './envelope.ts'
import { decodeRecord, encodeRecord, sealRecord } from './record-format.ts'

const envelope: Envelope = {
  specversion: '1.0',
  id: 'msg_1',
  type: 'orders.placed',
  source: '/publish',
  time: '2026-01-01T00:00:00.000Z',
  datacontenttype: 'application/json',
  contractversion: 1,
  // More bytes than characters, of two, three and four bytes, and half a pair.
  partitionkey: 'å–😀\ud800',
  correlationid: 'msg_1',
  tenant: 'default',
}
const head = { envelope, codec: 'json' }
const text = JSON.stringify({ name: 'Zoë 😀', half: '\udfff' })

describe('a record', () => {
  it('is read as it was sealed, and its data is a part of its bytes', () => {
    const raw = Uint8Array.from([1, 2, 3])

    const { bytes, record } = sealRecord({ head, data: text, raw })

    expect(decodeRecord(bytes, 1)).toEqual({ ...record, raw: Buffer.from(raw) })
    expect(record.head).toEqual(head)
    expect(Buffer.from(record.data).toString('utf8')).toBe(text)
    expect(record.data.buffer).toBe(bytes.buffer)
  })

  it('is the same bytes whether its data comes as text or as bytes', () => {
    const sealed = sealRecord({ head, data: text }).bytes

    expect(sealed).toEqual(encodeRecord({ head, data: Buffer.from(text) }))
    expect(sealRecord({ head, data: '' }).record.data).toHaveLength(0)
  })
})
