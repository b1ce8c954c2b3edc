import type { Consumer } from '../contract/index.ts'
import { decodeRecord } from '../contract/index.ts'
import { LIMITS, must } from '../kernel/index.ts'
import type { ProgressRow, Store } from '../store/index.ts'
import type { DeliveredPage, RecordLog } from '../transport/index.ts'

export interface ReadBehindOptions {
  readonly store: Store
  /** Where the record of some contracts is the broker. */
  readonly records?: RecordLog | undefined
}

/** Which log a partition of a consumer reads, and how its positions are to be understood. */
export interface ReadPlace {
  readonly bookmark?: ProgressRow['bookmark'] | undefined
  readonly consumer: Consumer
  readonly slots: { readonly first: number; readonly last: number }
}

const READ_BYTES_MAX = 8_388_608

/** A page of the log of a consumer behind a position, wherever its record is. */
export const readBehind = async (
  { store, records }: ReadBehindOptions,
  { consumer, slots, bookmark }: ReadPlace,
  afterPosition: number,
): Promise<DeliveredPage> => {
  const { channel, record } = consumer.on
  const limit = LIMITS.pageRowsMax
  if (record === 'transport') {
    const log = must(records, 'a record in the transport is open')
    return log.read({ channel, slots, bookmark, afterPosition, limit })
  }
  const query = { channel, afterPosition, limit, bytesMax: READ_BYTES_MAX }
  const { records: stored, scannedTo } = await store.readLog(query)
  return {
    records: stored.map((one) => ({ ...one, record: decodeRecord(one.bytes, one.position) })),
    scannedTo,
  }
}
