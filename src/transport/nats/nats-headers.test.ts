import { describe, expect, it } from 'vitest'
import type { BrokerMessage } from '../broker.ts'
import { encodeHeaders } from './nats-headers.ts'

const dedupeIdOf = (attributes: Readonly<Record<string, string>>): string | undefined => {
  const message: BrokerMessage = {
    partition: 0,
    key: 'a',
    id: 'one',
    attributes: { partitionkey: 'a', ...attributes },
    data: new Uint8Array(),
  }
  return /^Nats-Msg-Id: (.*)\r$/m.exec(encodeHeaders(message))?.[1]
}

describe('what the server drops as a repeat', () => {
  it('is the same record of a log again, and not another with its id', () => {
    const placed = dedupeIdOf({ logposition: '7' })

    expect(placed).toBe(dedupeIdOf({ logposition: '7' }))
    expect(placed).not.toBe(dedupeIdOf({ logposition: '8' }))
    expect(dedupeIdOf({ source: '/a' })).not.toBe(dedupeIdOf({ source: '/b' }))
  })

  it('is not what a later run of the relay sends, as a reader may leave out the earlier (M27)', () => {
    const turns = ['2', '3'].map((logturn) => dedupeIdOf({ logposition: '7', logturn }))

    expect(turns[0]).not.toBe(turns[1])
    expect(turns[0]).toBe(dedupeIdOf({ logposition: '7', logturn: '2' }))
  })
})
