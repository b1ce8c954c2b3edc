import { describe, expect, it } from 'vitest'
import { createListenerAddress } from './listener-address.ts'

const PROXY = '10.0.0.1'
const through = createListenerAddress(['10.0.0.0/8', '192.0.2.7', 'fd00::/8'], 'trustedProxies')

describe('the address of a request', () => {
  it('is that of the connection when it is no trusted proxy, whatever the header says (F102)', () => {
    expect(through('203.0.113.5', '198.51.100.9')).toBe('203.0.113.5')
    expect(through('203.0.113.5', '198.51.100.9, 10.0.0.2')).toBe('203.0.113.5')
    expect(through('192.0.2.8', '198.51.100.9')).toBe('192.0.2.8')
  })

  it('is the one that the nearest trusted proxy saw, not what the sender wrote to its left (F102)', () => {
    expect(through(PROXY, '198.51.100.9')).toBe('198.51.100.9')
    expect(through(PROXY, '1.1.1.1, 10.9.9.9, 198.51.100.9')).toBe('198.51.100.9')
    // Two header lines are one list.
    expect(through(PROXY, ['1.1.1.1', '198.51.100.9'])).toBe('198.51.100.9')
  })

  it('is read through a chain of trusted proxies, from the right', () => {
    expect(through(PROXY, '1.1.1.1, 198.51.100.9, 192.0.2.7, 10.3.3.3')).toBe('198.51.100.9')
    expect(through('fd00::1', '2001:db8::5, fd00::2')).toBe('2001:db8::5')
    expect(through(PROXY, '10.4.4.4, 10.3.3.3')).toBe('10.4.4.4')
  })

  it.each([
    ['nothing', undefined],
    ['an empty line', ''],
    ['a word', 'unknown'],
    ['an obfuscated name', '_hidden'],
    ['too many parts', '1.2.3.4.5'],
    ['an octal part', '010.0.0.1'],
    ['a zone', 'fe80::1%eth0'],
    ['an empty last entry', '198.51.100.9, '],
    ['a list of nothing', ', , ,'],
    ['an injected line', '198.51.100.9\nx: y'],
    ['forwarded syntax', 'for=198.51.100.9'],
    ['a port out of nowhere', ':80'],
  ])('stays that of the proxy when the header ends with %s (F102)', (_name, header) => {
    expect(through(PROXY, header)).toBe(PROXY)
  })

  it('stops at what is no address, at the last one that is known (F102)', () => {
    expect(through(PROXY, '198.51.100.9, garbage, 10.3.3.3')).toBe('10.3.3.3')
  })

  it('has one spelling, so that it has one rate', () => {
    expect(through('::ffff:10.0.0.1', '198.51.100.9')).toBe('198.51.100.9')
    expect(through('::ffff:203.0.113.5', undefined)).toBe('203.0.113.5')
    expect(through(PROXY, '2001:DB8:0::5')).toBe('2001:db8::5')
    expect(through(PROXY, '::ffff:c633:6409')).toBe('198.51.100.9')
    expect(through(PROXY, '198.51.100.9:4711')).toBe('198.51.100.9')
    expect(through(PROXY, '[2001:db8::5]:4711')).toBe('2001:db8::5')
  })

  it.each([
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0/8',
    'proxy.example.com',
    '::ffff:10.0.0.0/104',
    '',
  ])('is refused at the start to trust %s (F102)', (range) => {
    expect(() => createListenerAddress(['10.0.0.1', range], 'trustedProxies')).toThrow(
      expect.objectContaining({
        code: 'JUNCTURA_POLICY_RANGE',
        details: expect.objectContaining({ field: 'trustedProxies[1]' }),
      }),
    )
  })
})
