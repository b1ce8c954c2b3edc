import type { Integration } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'

/**
 * Parses the data of a record once for all consumers of its type. Each is given a value of its own,
 * so that what one handler does to it no other sees: a copy shares the texts, which are most of a
 * message and cannot be changed, and costs a fraction of a parse. The last to ask gets the original.
 *
 * Bounded by LIMITS.sharedParsesMax and sharedParseBytesMax: who comes later parses again.
 */
export const createSharedParse = (
  integration: Pick<Integration, 'consumers'>,
): ((type: string, data: Uint8Array) => unknown) => {
  const readers = new Map<string, number>()
  for (const { on } of integration.consumers) {
    readers.set(on.name, (readers.get(on.name) ?? 0) + 1)
  }
  const kept = new Map<Uint8Array, Kept>()
  let bytesKept = 0
  const forget = (data: Uint8Array): void => {
    if (kept.delete(data)) bytesKept -= data.length
  }
  return (type, data) => {
    const known = kept.get(data)
    if (known) {
      known.readersLeft -= 1
      if (known.readersLeft > 0) return copyOf(known.value)
      forget(data)
      return known.value
    }
    const value = parse(data)
    const readersLeft = (readers.get(type) ?? 1) - 1
    if (readersLeft < 1 || typeof value !== 'object') return value
    kept.set(data, { value, readersLeft })
    bytesKept += data.length
    while (kept.size > LIMITS.sharedParsesMax || bytesKept > LIMITS.sharedParseBytesMax) {
      const [oldest] = kept.keys()
      if (!oldest) break
      forget(oldest)
    }
    return copyOf(value)
  }
}

interface Kept {
  /** Given to nobody yet. */
  readonly value: unknown
  readersLeft: number
}

const parse = (data: Uint8Array): unknown =>
  JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'))

/** Of what a parse gave: nothing but plain objects, arrays, and what cannot be changed. */
function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyOf)
  // A spread takes over a member named __proto__ as one of its own.
  const copy: Record<string, unknown> = { ...value }
  for (const name of Object.keys(copy)) {
    const member = copy[name]
    if (typeof member === 'object' && member !== null) copy[name] = copyOf(member)
  }
  return copy
}
