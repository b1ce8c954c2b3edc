import type { RecordLog } from './record-log.ts'
import type { LogTransport } from './transport.ts'

/** The log of the store, and beside it the channels whose record is the broker. */
export const withRecords = (inner: LogTransport, records: RecordLog): LogTransport => ({
  subscribe(channel, afterPosition, reader) {
    if (!records.has(channel) || !reader) return inner.subscribe(channel, afterPosition, reader)
    return records.subscribe(channel, afterPosition, reader)
  },
  appended: (appended) => inner.appended(appended),
  advanced: (head) => inner.advanced(head),
  get head() {
    return inner.head
  },
  close: () => inner.close(),
})
