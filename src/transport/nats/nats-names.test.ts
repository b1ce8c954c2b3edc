import { describe, expect, it } from 'vitest'
import { isStreamName, natsNames } from './nats-names.ts'

describe('natsNames', () => {
  it('gives no two channels the same stream or subjects, of one prefix or of two', () => {
    const named = [
      ['a', 'b'],
      ['a', 'b-c'],
      ['a', 'b.c'],
      ['a-b', 'c'],
      ['a', 'b.c.d'],
      ['a', 'b-c.d'],
    ].map(([prefix = '', channel = '']) => natsNames(prefix, channel))

    expect(new Set(named.map(({ stream }) => stream)).size).toBe(named.length)
    expect(new Set(named.map(({ subjects }) => subjects)).size).toBe(named.length)
  })

  it.each([
    ['a_b', 'orders'],
    ['a.b', 'orders'],
    ['', 'orders'],
    ['a', 'Orders'],
    ['a', 'orders.*'],
    ['a', ''],
  ])('refuses the prefix "%s" with the channel "%s"', (prefix, channel) => {
    expect(() => natsNames(prefix, channel)).toThrow('nats refuses')
  })

  it('makes a subject of any type', () => {
    const { subjectOf, subjects } = natsNames('junctura', 'orders.extra')
    const tails = ['orders.placed', '', '..', 'a b.*.>', 'ä\n', 'x'.repeat(9_999)].map((type) =>
      subjectOf('key', type).slice(subjects.length - 1),
    )

    expect(tails.slice(0, 5)).toEqual(['9.orders.placed', '9._', '9._', '9.a_b._._', '9.__'])
    expect(tails[5]?.length).toBeLessThan(300)
  })

  it('spreads keys over sixteen shares, as CRC-32 does in any language', () => {
    const { subjectOf } = natsNames('junctura', 'orders')
    const shares = Array.from({ length: 500 }, (_, n) => subjectOf(`key-${n}`, 'x').split('.')[2])

    expect(new Set(shares).size).toBe(16)
    // zlib.crc32(b"123456789") is 0xcbf43926 everywhere.
    expect(subjectOf('123456789', 'x')).toBe('junctura.orders.6.x')
  })
})

describe('isStreamName', () => {
  it('takes what the server takes', () => {
    expect(['orders', 'Orders_1', 'ä'].map(isStreamName)).toEqual([true, true, true])
    expect(['', 'a b', 'a.b', 'a*', 'a>', 'a/b', 'a\\b', 'a\n'].some(isStreamName)).toBe(false)
  })
})
