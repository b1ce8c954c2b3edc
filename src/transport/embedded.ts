import { decodeRecord, type LogRecord } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import type { SlotRange, Store, StoredRecord } from '../store/index.ts'
import { type Page, SharedPages } from './shared-pages.ts'
import type { Delivered, LogReader, LogTransport, Subscription } from './transport.ts'

/**
 * The store's own log as transport. What this process appended last is kept decoded in a short
 * tail per channel, so that consumers at the head read memory and only those behind read the
 * store; fan-out to ten consumers decodes nothing ten times.
 *
 * The tail is complete from `tail.after` on. Positions of a store have no gaps: where it is shared,
 * a commit that does not follow on the last known one says that other processes have appended in
 * between. Then what is known begins anew behind them, and whoever has not read that far reads the
 * store.
 */
export type EmbeddedTransport = LogTransport

/**
 * What is kept per channel at most; a consumer further behind reads the store, which costs it twice
 * as much, so it should not happen to one that is only held up for a moment.
 */
const TAIL_RECORDS_MAX = 32_768
const TAIL_BYTES_MAX = 33_554_432
/** What a record takes beside its data: envelope, receipt, the objects themselves. */
const RECORD_BYTES = 768
const READ_BYTES_MAX = 8_388_608

interface Tail {
  /** The tail holds every record of the channel with a position greater than this. */
  after: number
  records: Delivered[]
  bytes: number
  waiters: Set<() => void>
  /** Who reads the channel, and which slots of it; what all have passed is let go. */
  readonly readers: Map<Pick<Subscription, 'scannedTo'>, SlotRange | undefined>
  /** What readers behind the tail share: the slots that any of them wants, and no others. */
  pages: SharedPages
  /** Those slots, as text. */
  wanted: string | undefined
}

/** Read at once for readers behind the tail. */
const PAGE_RECORDS = 512

/** Passed records are let go in lots of so many, so that the cost per record stays flat. */
const PASSED_LOT = 128

export interface EmbeddedTransportOptions {
  /**
   * Whether other processes append to the store as well; then a gap in what is told is what they
   * wrote, and not another channel's.
   *
   * @default false
   */
  readonly isShared?: boolean
}

/** `headPosition` is the last position in the store when the process started. */
export const createEmbeddedTransport = (
  store: Store,
  headPosition: number,
  { isShared = false }: EmbeddedTransportOptions = {},
): EmbeddedTransport => {
  const tails = new Map<string, Tail>()
  let head = headPosition
  /** Everything behind it was appended by this process, and told. */
  let completeAfter = headPosition
  let closed = false

  const tailOf = (channel: string): Tail => {
    let tail = tails.get(channel)
    if (!tail) {
      tail = {
        after: completeAfter,
        records: [],
        bytes: 0,
        waiters: new Set(),
        readers: new Map(),
        pages: pagesOf(channel, undefined),
        wanted: undefined,
      }
      tails.set(channel, tail)
    }
    return tail
  }

  /** Others have appended up to there: no tail holds it. */
  const beginAfter = (position: number): void => {
    completeAfter = position
    for (const tail of tails.values()) {
      tail.after = position
      tail.records = []
      tail.bytes = 0
    }
  }

  const pagesOf = (channel: string, slots: readonly SlotRange[] | undefined): SharedPages =>
    new SharedPages(async (after) => {
      const query = { channel, afterPosition: after, limit: PAGE_RECORDS, bytesMax: READ_BYTES_MAX }
      const { records, scannedTo } = await store.readLog({ ...query, ...(slots && { slots }) })
      const bytes = records.reduce((sum, record) => sum + record.bytes.length, 0)
      return { after, to: scannedTo, records: records.map(decodeLazily), bytes }
    })

  /** What was read for others may lack what a new reader wants, so pages begin anew. */
  const readersChanged = (channel: string, tail: Tail): void => {
    const slots = unionOf(tail.readers.values())
    const text = JSON.stringify(slots)
    if (text === tail.wanted) return
    tail.wanted = text
    tail.pages = pagesOf(channel, slots)
  }

  const subscribe = (channel: string, afterPosition: number, reader?: LogReader): Subscription => {
    const tail = tailOf(channel)
    let scannedTo = afterPosition
    let givenTo = afterPosition
    const subscription: Subscription = {
      get givenTo() {
        return givenTo
      },
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
              givenTo = last.position
              letPassedGo(tail)
              return records
            }
            scannedTo = Math.max(scannedTo, head)
            await waitForMore(tail, signal)
            continue
          }
          const page = await readBehind(tail, scannedTo, limit)
          scannedTo = Math.max(scannedTo, page.to)
          letPassedGo(tail)
          givenTo = page.records.at(-1)?.position ?? givenTo
          if (page.records.length > 0) return page.records
        }
        return []
      },
      close() {
        tail.readers.delete(subscription)
        if (tail.readers.size > 0) readersChanged(channel, tail)
      },
    }
    tail.readers.set(subscription, reader?.wanted)
    readersChanged(channel, tail)
    return subscription
  }

  return {
    subscribe,
    get head() {
      return head
    },
    appended(records) {
      const woken = new Set<Tail>()
      const first = records[0]?.position ?? head + 1
      if (isShared && first > head + 1) {
        beginAfter(first - 1)
        for (const tail of tails.values()) woken.add(tail)
      }
      for (const { append, position } of records) {
        // Told of already, by another way: readers get it from the store.
        if (isShared && position <= completeAfter) continue

        const tail = tailOf(append.channel)
        head = Math.max(head, position)
        if (tail.readers.size === 0) {
          keepNone(tail, position)
          continue
        }
        const record = append.record ?? decodeRecord(append.bytes, position)
        tail.records.push({ position, slot: append.slot, atMs: append.atMs, record })
        tail.bytes += bytesOf(record)
        woken.add(tail)
      }
      for (const tail of woken) {
        trim(tail)
        wake(tail)
      }
    },
    advanced(position) {
      if (position <= head) return
      head = position
      beginAfter(position)
      for (const tail of tails.values()) wake(tail)
    },
    close() {
      closed = true
      for (const tail of tails.values()) wake(tail)
      return Promise.resolve()
    },
  }
}

/** Decoded when somebody looks into it: a partition skips what is another's by its slot. */
export const decodeLazily = ({ position, slot, atMs, bytes }: StoredRecord): Delivered => {
  let record: LogRecord | undefined
  return {
    position,
    slot,
    atMs,
    get record() {
      return (record ??= decodeRecord(bytes, position))
    },
  }
}

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

/** The next records behind a position, read with the others who are there. */
async function readBehind(tail: Tail, scannedTo: number, limit: number): Promise<Page> {
  const page = await tail.pages.behind(scannedTo)
  const from = page.records.findIndex(({ position }) => position > scannedTo)
  if (from < 0) return { ...page, records: [] }
  const records = page.records.slice(from, from + limit)
  const isAll = from + records.length === page.records.length
  return { ...page, records, to: isAll ? page.to : (records.at(-1)?.position ?? page.to) }
}

/** What everybody has read dies young, which keeps it out of the slow part of the heap. */
function letPassedGo(tail: Tail): void {
  let passed = Infinity
  for (const { scannedTo } of tail.readers.keys()) passed = Math.min(passed, scannedTo)
  tail.pages.passed(passed)
  if (tail.records.length <= PASSED_LOT) return
  const kept = tail.records.findIndex(({ position }) => position > passed)
  if (kept < 0 || kept >= PASSED_LOT) cut(tail, kept < 0 ? tail.records.length : kept)
}

const bytesOf = ({ data, raw }: LogRecord): number =>
  RECORD_BYTES + data.length + (raw?.length ?? 0)

/** Undefined when somebody wants everything. */
function unionOf(wanted: Iterable<SlotRange | undefined>): readonly SlotRange[] | undefined {
  const all = [...wanted]
  const ranges = all.filter((one) => one !== undefined)
  if (ranges.length < all.length || ranges.length === 0) return undefined
  const union: SlotRange[] = []
  for (const range of ranges.toSorted((one, other) => one.first - other.first)) {
    const last = union.at(-1)
    if (!last || range.first > last.last + 1) union.push(range)
    else union[union.length - 1] = { first: last.first, last: Math.max(last.last, range.last) }
  }
  return union
}

/** Cuts an eighth at once, so that the cost per record stays flat. */
function trim(tail: Tail): void {
  while (tail.records.length > TAIL_RECORDS_MAX || tail.bytes > TAIL_BYTES_MAX) {
    cut(tail, Math.max(1, tail.records.length >>> 3))
  }
}

function cut(tail: Tail, count: number): void {
  const gone = tail.records.splice(0, count)
  for (const { record } of gone) tail.bytes -= bytesOf(record)
  tail.after = gone.at(-1)?.position ?? tail.after
  if (tail.records.length === 0) tail.bytes = 0
}

/** Without consumers of a channel, nothing of it is held; who comes later reads the store. */
function keepNone(tail: Tail, position: number): void {
  tail.after = position
  tail.records = []
  tail.bytes = 0
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
