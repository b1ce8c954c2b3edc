import type { KafkaRecord, RecordsBatch } from '@platformatic/kafka'
import type { ReceivedMessage } from '../broker.ts'

/** What a broker gave of one partition. */
export interface FetchedPartition {
  readonly partition: number
  /** The first offset that is wanted: batches are given whole, so some of it may be older. */
  readonly from: bigint
  readonly batches: readonly RecordsBatch[]
  /** Transactions that were given up; Kafka gives their messages all the same. */
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: bigint }[]
}

/** Adds the messages that count to `messages`, and tells the next offset. */
export const readPartition = (fetched: FetchedPartition, messages: ReceivedMessage[]): bigint => {
  const { partition, from, batches } = fetched
  const isAborted = followTransactions(fetched.aborted)
  let next = from
  for (const batch of batches) {
    const last = batch.firstOffset + BigInt(batch.lastOffsetDelta)
    if (last < from) continue
    next = last + 1n
    // Control records are the broker's own.
    if (isAborted(batch, last) || (batch.attributes & CONTROL) !== 0) continue
    for (const record of batch.records) {
      const offset = batch.firstOffset + BigInt(record.offsetDelta)
      if (offset >= from) messages.push(toReceived(record, partition, offset))
    }
  }
  return next
}

const TRANSACTIONAL = 16
const CONTROL = 32

/** Walks along the batches; a transaction that was given up ends at its own mark. */
function followTransactions(
  aborted: FetchedPartition['aborted'],
): (batch: RecordsBatch, last: bigint) => boolean {
  if (aborted.length === 0) return () => false
  const waiting = aborted.toSorted((one, other) => (one.firstOffset < other.firstOffset ? -1 : 1))
  const open = new Set<bigint>()
  return (batch, last) => {
    for (let first = waiting[0]; first && first.firstOffset <= last; first = waiting[0]) {
      open.add(first.producerId)
      waiting.shift()
    }
    if ((batch.attributes & TRANSACTIONAL) === 0) return false
    const isOpen = open.has(batch.producerId)
    if ((batch.attributes & CONTROL) !== 0) open.delete(batch.producerId)
    return isOpen
  }
}

const NOTHING = Buffer.alloc(0)

function toReceived(record: KafkaRecord, partition: number, offset: bigint): ReceivedMessage {
  const attributes: Record<string, string> = {}
  const headers: Record<string, string> = {}
  for (const [nameBytes, value] of record.headers) {
    const name = nameBytes === null ? '' : textOf(nameBytes)
    const text = value === null ? '' : textOf(value)
    if (name.startsWith('ce_')) attributes[name.slice(3)] = text
    else if (name === 'content-type') attributes['datacontenttype'] = text
    else headers[name] = text
  }
  return {
    partition,
    offset: String(offset),
    key: record.key === null ? '' : textOf(record.key),
    attributes,
    headers,
    data: record.value ?? NOTHING,
  }
}

const textOf = (bytes: Buffer): string => bytes.toString('utf8')
