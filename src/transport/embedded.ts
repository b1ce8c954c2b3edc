import { decodeRecord } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import type { Delivered, LogTransport, Subscription } from './transport.ts'

/**
 * The store's own log as transport. What this process appended last is kept decoded in a short
 * tail per channel, so that consumers at the head read memory and only those behind read the
 * store; fan-out to ten consumers decodes nothing ten times.
 *
 * The tail is complete from `tail.after` on: only one process appends to an embedded store.
 */
export type EmbeddedTransport = LogTransport

/** Records kept per channel at most; a consumer further behind reads the store. */
const TAIL_RECORDS_MAX = 8_192
const TAIL_BYTES_MAX = 33_554_432
const READ_BYTES_MAX = 8_388_608

interface Tail {
  /** The tail holds every record of the channel with a position greater than this. */
  after: number
  records: Delivered[]
  bytes: number
  waiters: Set<() => void>
  /** Who reads the channel; what all have passed is let go. */
  readers: Set<Pick<Subscription, 'scannedTo'>>
}

/** Passed records are let go in lots of so many, so that the cost per record stays flat. */
const PASSED_LOT = 128

/** `headPosition` is the last position in the store when the process started. */
export const createEmbeddedTransport = (store: Store, headPosition: number): EmbeddedTransport => {
  const tails = new Map<string, Tail>()
  let head = headPosition
  let closed = false

  const tailOf = (channel: string): Tail => {
    let tail = tails.get(channel)
    if (!tail) {
      tail = { after: headPosition, records: [], bytes: 0, waiters: new Set(), readers: new Set() }
      tails.set(channel, tail)
    }
    return tail
  }

  const subscribe = (channel: string, afterPosition: number): Subscription => {
    const tail = tailOf(channel)
    let scannedTo = afterPosition
    const subscription: Subscription = {
      get scannedTo() {
        return scannedTo
      },
      get atHead() {
        return scannedTo >= tail.after && (tail.records.at(-1)?.position ?? 0) <= scannedTo
      },
      async next(limit, signal) {
        while (!signal.aborted && !closed) {
          if (scannedTo >= tail.after) {
            const records = takeFromTail(tail, scannedTo, limit)
            const last = records.at(-1)
            if (last) {
              scannedTo = last.position
              letPassedGo(tail)
              return records
            }
            scannedTo = Math.max(scannedTo, head)
            await waitForMore(tail, signal)
            continue
          }
          const page = await store.readLog({
            channel,
            afterPosition: scannedTo,
            limit,
            bytesMax: READ_BYTES_MAX,
          })
          scannedTo = Math.max(scannedTo, page.scannedTo)
          if (page.records.length > 0) return page.records.map(decode)
        }
        return []
      },
      close() {
        tail.readers.delete(subscription)
      },
    }
    tail.readers.add(subscription)
    return subscription
  }

  return {
    subscribe,
    get head() {
      return head
    },
    appended(records) {
      const woken = new Set<Tail>()
      for (const { append, position } of records) {
        const tail = tailOf(append.channel)
        head = Math.max(head, position)
        const record = append.record ?? decodeRecord(append.bytes, position)
        tail.records.push({ position, slot: append.slot, atMs: append.atMs, record })
        tail.bytes += record.data.length + (record.raw?.length ?? 0)
        woken.add(tail)
      }
      for (const tail of woken) {
        trim(tail)
        wake(tail)
      }
    },
    close() {
      closed = true
      for (const tail of tails.values()) wake(tail)
      return Promise.resolve()
    },
  }
}

const decode = (stored: {
  readonly position: number
  readonly slot: number
  readonly atMs: number
  readonly bytes: Uint8Array
}): Delivered => ({
  position: stored.position,
  slot: stored.slot,
  atMs: stored.atMs,
  record: decodeRecord(stored.bytes, stored.position),
})

function takeFromTail(tail: Tail, afterPosition: number, limit: number): readonly Delivered[] {
  const { records } = tail
  let low = 0
  let high = records.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((records[middle]?.position ?? 0) <= afterPosition) low = middle + 1
    else high = middle
  }
  return records.slice(low, low + Math.min(limit, LIMITS.fetchWindowMax))
}

/** What everybody has read dies young, which keeps it out of the slow part of the heap. */
function letPassedGo(tail: Tail): void {
  if (tail.records.length <= PASSED_LOT) return
  let passed = Infinity
  for (const { scannedTo } of tail.readers) passed = Math.min(passed, scannedTo)
  const kept = tail.records.findIndex(({ position }) => position > passed)
  if (kept < 0 || kept >= PASSED_LOT) cut(tail, kept < 0 ? tail.records.length : kept)
}

/** Cuts the older half at once, so that the cost per record stays flat. */
function trim(tail: Tail): void {
  while (tail.records.length > TAIL_RECORDS_MAX || tail.bytes > TAIL_BYTES_MAX) {
    cut(tail, Math.max(1, tail.records.length >>> 1))
  }
}

function cut(tail: Tail, count: number): void {
  const gone = tail.records.splice(0, count)
  for (const { record } of gone) tail.bytes -= record.data.length + (record.raw?.length ?? 0)
  tail.after = gone.at(-1)?.position ?? tail.after
  if (tail.records.length === 0) tail.bytes = 0
}

function wake(tail: Tail): void {
  const waiters = [...tail.waiters]
  tail.waiters.clear()
  for (const resume of waiters) resume()
}

const waitForMore = (tail: Tail, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const resume = (): void => {
      signal.removeEventListener('abort', resume)
      tail.waiters.delete(resume)
      resolve()
    }
    tail.waiters.add(resume)
    signal.addEventListener('abort', resume, { once: true })
  })
