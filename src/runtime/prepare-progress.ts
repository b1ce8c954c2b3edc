import {
  type ConsumerPorts,
  holdsSlots,
  progressKey,
  progressRow,
  readSlots,
  sharesSlots,
  slotOfLane,
  slotRanges,
  slotsText,
} from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'
import { JuncturaError, LIMITS, must } from '../kernel/index.ts'
import type { ProgressRow, SlotRange, Store } from '../store/index.ts'
import { recordChanged, type RecordLog } from '../transport/index.ts'
import { adoptFormer } from './adopt-former.ts'
import { eachRow } from './paging.ts'

type Ports = Pick<ConsumerPorts, 'store' | 'committer' | 'epoch'> & {
  /** Where the record of some is the broker. */
  readonly records?: RecordLog | undefined
}

/**
 * One process has all consumers of a store that is not shared: there is nothing to divide. A
 * consumer whose record is a broker's topic has the partitions of the topic.
 */
export const rangesOf = (store: Store, consumer: Consumer): readonly SlotRange[] =>
  slotRanges(store.leases || consumer.on.record === 'transport' ? consumer.partitions : 1)

/**
 * Makes the rows of a consumer's progress fit its partitions as they are declared now: those of its
 * former name, of another number of partitions, or first ones. Nobody may run any of it meanwhile.
 * All of it is one commit, so a crash leaves the rows as they were.
 *
 * @throws JUNCTURA_PARTITIONS_CHANGED when partitions are joined that are too far apart.
 */
export const prepareProgress = async (ports: Ports, consumer: Consumer): Promise<void> => {
  const { store, committer } = ports
  const ranges = rangesOf(store, consumer)
  let known = await progressRowsOf(store, consumer.name, consumer.on.channel)
  for (const former of consumer.was) {
    if (known.length > 0) break
    if ((await progressRowsOf(store, former, consumer.on.channel)).length === 0) continue
    await adoptFormer(ports, { former, consumer })
    known = await progressRowsOf(store, consumer.name, consumer.on.channel)
  }
  const wanted = new Set(ranges.map(slotsText))
  if (known.length === wanted.size && known.every(({ slots }) => wanted.has(slots))) {
    // What its positions count is another log now.
    const hasBookmark = consumer.on.record === 'transport'
    const isSame = known.every((row) => (row.bookmark !== undefined) === hasBookmark)
    if (!isSame) throw recordChanged(consumer.on.channel)
    return
  }
  if (known.some((row) => row.bookmark !== undefined)) throw recordChanged(consumer.on.channel)
  const isRecord = consumer.on.record === 'transport'
  if (isRecord && known.length > 0) throw recordChanged(consumer.on.channel)
  const fresh = known.length === 0 ? await firstRows(ports, consumer, ranges) : undefined
  const rows = fresh ?? (await convert(ports, consumer, { known, ranges }))
  const keyOf = ({ channel, slots }: ProgressRow): string =>
    progressKey(consumer.name, channel, readSlots(slots))
  const outcome = await committer.submit({
    guards: known.map((row) => ({ collection: 'progress', key: keyOf(row), is: 'present' })),
    rows: [
      ...known
        .filter(({ slots }) => !wanted.has(slots))
        .map((row) => ({ collection: 'progress', key: keyOf(row), row: undefined }) as const),
      ...rows.map(progressRow),
    ],
    isInternal: true,
  })
  if (outcome.status === 'failed') throw outcome.error
}

export const progressRowsOf = async (
  store: Store,
  consumer: string,
  channel: string,
): Promise<readonly ProgressRow[]> => {
  const prefix = `${consumer}/${channel}/`
  const rows: ProgressRow[] = []
  const scan = { collection: 'progress', from: prefix, to: `${prefix}\u{10ffff}` } as const
  for await (const { row } of eachRow(store, scan)) rows.push(row)
  return rows
}

/** All at one moment: what is published between would be new to one and old to another. */
async function firstRows(
  { store, epoch, records }: Ports,
  { name, on, from }: Consumer,
  ranges: readonly SlotRange[],
): Promise<readonly ProgressRow[]> {
  if (on.record === 'transport') {
    const starts = await must(records, 'a record in the transport is open').begin(
      on.channel,
      from === 'now' ? 'now' : 'earliest',
    )
    return starts.map(({ slots, watermark, bookmark }) => ({
      consumer: name,
      channel: on.channel,
      slots: slotsText(slots),
      watermark,
      done: [],
      claimedTo: 0,
      epoch,
      bookmark,
    }))
  }
  const head = from === 'now' ? await store.headPosition() : 0
  const watermark = typeof from === 'object' ? Math.max(0, from.position - 1) : head
  const rest = { watermark, done: [], claimedTo: 0, epoch }
  return ranges.map((slots) => ({
    consumer: name,
    channel: on.channel,
    slots: slotsText(slots),
    ...rest,
  }))
}

interface Conversion {
  readonly known: readonly ProgressRow[]
  readonly ranges: readonly SlotRange[]
}

async function convert(
  { store, epoch }: Ports,
  consumer: Consumer,
  { known, ranges }: Conversion,
): Promise<readonly ProgressRow[]> {
  const rows: ProgressRow[] = []
  for (const slots of ranges) {
    const parts = known.filter((row) => sharesSlots(readSlots(row.slots), slots))
    const [whole] = parts
    // What is finished of more slots is finished of these.
    if (whole && holdsSlots(readSlots(whole.slots), slots)) {
      rows.push({ ...whole, slots: slotsText(slots), epoch })
    } else rows.push(await join(store, consumer, { parts, slots, epoch }))
  }
  return rows
}

/** One row for several: where they differ, the log says which slot each position is of. */
async function join(
  store: Store,
  consumer: Consumer,
  of: { readonly parts: readonly ProgressRow[]; readonly slots: SlotRange; readonly epoch: number },
): Promise<ProgressRow> {
  const { parts, slots, epoch } = of
  const watermark = Math.min(...parts.map((row) => row.watermark))
  const to = Math.max(...parts.map(({ watermark: own, done }) => done.at(-1)?.[1] ?? own))
  const done: [number, number][] = []
  let isOpen = false
  let read = 0
  let after = watermark
  while (after < to) {
    const { channel } = consumer.on
    const page = await store.readLog({
      channel,
      afterPosition: after,
      limit: LIMITS.pageRowsMax,
      bytesMax: READ_BYTES_MAX,
    })
    for (const { position, slot } of page.records) {
      const own = consumer.ordering === 'none' ? slotOfLane(`#${position}`) : slot
      const part = parts.find((row) => holdsSlots(readSlots(row.slots), { first: own, last: own }))
      if (position > to || own < slots.first || own > slots.last || !part) continue
      const range = done.at(-1)
      if (!isFinished(part, position)) isOpen = false
      else if (isOpen && range) range[1] = position
      else {
        done.push([position, position])
        isOpen = true
      }
    }
    read += page.records.length
    if (read > LIMITS.repartitionRecordsMax || done.length > LIMITS.repartitionRangesMax) {
      throw changedTooFar(consumer, parts)
    }
    if (page.scannedTo <= after) break
    after = page.scannedTo
  }
  const claimedTo = Math.max(...parts.map((row) => row.claimedTo))
  const { name, on } = consumer
  return {
    consumer: name,
    channel: on.channel,
    slots: slotsText(slots),
    watermark,
    done,
    claimedTo,
    epoch,
  }
}

const READ_BYTES_MAX = 8_388_608

const isFinished = ({ watermark, done }: ProgressRow, position: number): boolean =>
  position <= watermark || done.some(([first, last]) => first <= position && position <= last)

const changedTooFar = (consumer: Consumer, parts: readonly ProgressRow[]): JuncturaError =>
  new JuncturaError('JUNCTURA_PARTITIONS_CHANGED', {
    details: {
      consumer: consumer.name,
      partitions: consumer.partitions,
      records: LIMITS.repartitionRecordsMax,
      fix: `Start the version that ran last until ${consumer.name} has caught up (lag 0), or declare a multiple of its partitions`,
      positions: parts.map((row) => `${row.slots}: ${row.watermark}`).join(', '),
    },
  })
