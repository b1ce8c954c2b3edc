import { LIMITS } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'

const MESSAGE_ID = /^msg_([0-9a-f]{12})7[0-9a-f]{19}$/
const PAGE = 500

/**
 * Position of the record with an id, without an index: an id begins with the time it was made, and
 * the log is nearly in the order of time. Undefined when it is neither among the
 * LIMITS.locateRecordsMax records that follow that time, nor among as many at the head, where it
 * stands after the wall clock has jumped (F35): for example because the message was readmitted long
 * after it came; a sender finds such a one by its own key.
 */
export const locateMessage = async (store: Store, id: string): Promise<number | undefined> => {
  const match = MESSAGE_ID.exec(id)
  if (!match) return undefined
  const madeAtMs = Number.parseInt(match[1] ?? '', 16)
  const head = await store.headPosition()
  const start = await firstAfter(store, madeAtMs, head)
  const end = Math.min(head, start + LIMITS.locateRecordsMax - 1)
  const needle = Buffer.from(`"id":"${id}"`)
  const newest = Math.max(1, head - LIMITS.locateRecordsMax + 1)
  return (
    (await findBetween(store, needle, { from: start, to: end })) ??
    (await findBetween(store, needle, { from: newest, to: start - 1 })) ??
    (await findBetween(store, needle, { from: Math.max(newest, end + 1), to: head }))
  )
}

interface Span {
  readonly from: number
  readonly to: number
}

async function findBetween(
  store: Store,
  needle: Buffer,
  { from, to }: Span,
): Promise<number | undefined> {
  for (let low = from; low <= to; low += PAGE) {
    const page = await store.readLogBackwards({ beforePosition: low + PAGE, limit: PAGE })
    const found = page.find(
      ({ position, bytes }) => position >= low && asBuffer(bytes).includes(needle),
    )
    if (found) return found.position
  }
  return undefined
}

/** The lowest position that was appended at or after a time. */
async function firstAfter(store: Store, atMs: number, head: number): Promise<number> {
  const [oldest] = await store.partitions()
  let low = oldest?.firstPosition ?? 1
  let high = head + 1
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const [record] = await store.readLogBackwards({ beforePosition: middle + 1, limit: 1 })
    if (!record || record.atMs < atMs) low = middle + 1
    else high = Math.max(low, Math.min(middle, record.position))
    if (record && record.position < low && record.atMs >= atMs) return record.position
  }
  return low
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
