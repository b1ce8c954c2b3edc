import { BlockList, isIP, SocketAddress } from 'node:net'
import { JuncturaError, LIMITS } from '../kernel/index.ts'

/**
 * The address that a request came from, seen through the proxies that are trusted: of the
 * connection, or of `X-Forwarded-For` when the connection is that of a trusted proxy.
 *
 * Each trusted proxy appended the address that it saw, so the header is read from the right, as
 * long as what stands there is trusted itself. What stands further left was written by whoever is
 * not trusted. An entry that is no address ends the reading at the last one that is known, so a
 * header that is malformed or forged never makes an address (F102).
 */
export type ListenerAddress = (
  remoteAddress: string,
  forwardedFor: string | readonly string[] | undefined,
) => string

/**
 * @param trusted Addresses and CIDR ranges, such as `10.0.0.0/8`, `192.0.2.1` or `fd00::/8`.
 * @throws JUNCTURA_POLICY_RANGE naming the entry that is no range, or trusts everybody.
 */
export const createListenerAddress = (
  trusted: readonly string[],
  field: string,
): ListenerAddress => {
  const proxies = readRanges(trusted, field)
  const isTrusted = ({ address, family }: Address): boolean => proxies.check(address, family)
  return (remoteAddress, forwardedFor) => {
    let known = readAddress(remoteAddress)
    if (!known) return remoteAddress
    const entries = [forwardedFor ?? []].flat().join(',').split(',')
    while (isTrusted(known)) {
      const before = readAddress(withoutPort(entries.pop() ?? ''))
      if (!before) break
      known = before
    }
    return known.address
  }
}

interface Address {
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
}

/** In one spelling, so that one address has one rate. */
function readAddress(text: string): Address | undefined {
  const version = isIP(text)
  // A zone says something on the machine that wrote it, and nothing here.
  if (version === 0 || text.includes('%')) return undefined
  if (version === 4) return { address: text, family: 'ipv4' }
  const { address } = new SocketAddress({ address: text, family: 'ipv6' })
  const mapped = address.startsWith(MAPPED) ? address.slice(MAPPED.length) : ''
  return isIP(mapped) === 4 ? { address: mapped, family: 'ipv4' } : { address, family: 'ipv6' }
}

/** IPv4 as a socket of both families shows it. */
const MAPPED = '::ffff:'

/** Some proxies write the port too: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(entry: string): string {
  const text = entry.trim()
  const match = /^(?:\[([^\]]+)\]|([0-9.]+))(?::\d{1,5})?$/.exec(text)
  return match?.[1] ?? match?.[2] ?? text
}

function readRanges(trusted: readonly string[], field: string): BlockList {
  const ranges = new BlockList()
  if (trusted.length > LIMITS.trustedProxiesMax) {
    const allowed = `${LIMITS.trustedProxiesMax} at most`
    throw outOfRange({ field, value: `${trusted.length} entries`, allowed })
  }
  for (const [index, text] of trusted.entries()) {
    const range = readRange(text)
    if (!range) {
      const allowed = 'an address or a CIDR range with a prefix of 1 or more: 10.0.0.0/8, fd00::/8'
      throw outOfRange({ field: `${field}[${index}]`, value: JSON.stringify(text), allowed })
    }
    ranges.addSubnet(range.address, range.prefix, range.family)
  }
  return ranges
}

/** A prefix of 0 would trust what anybody writes, and is none. */
function readRange(text: string): (Address & { readonly prefix: number }) | undefined {
  const [base = '', bits, ...more] = text.split('/')
  const parsed = readAddress(base)
  if (!parsed || more.length > 0) return undefined
  const prefixMax = parsed.family === 'ipv4' ? 32 : 128
  if (bits === undefined) return { ...parsed, prefix: prefixMax }
  // A mapped range would be counted in bits of the other family.
  if (parsed.family === 'ipv4' && base.includes(':')) return undefined
  const prefix = /^\d{1,3}$/.test(bits) ? Number(bits) : 0
  return prefix >= 1 && prefix <= prefixMax ? { ...parsed, prefix } : undefined
}

const outOfRange = (details: {
  readonly field: string
  readonly value: string
  readonly allowed: string
}): JuncturaError =>
  new JuncturaError('JUNCTURA_POLICY_RANGE', {
    details: { ...details, fix: 'Name only the proxies that you run, by their own addresses.' },
  })
