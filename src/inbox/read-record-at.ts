import { decodeRecord, type LogRecord } from '../contract/index.ts'
import { fromBase64 } from '../kernel/index.ts'
import { positionText, type Store } from '../store/index.ts'

/**
 * The record at a position, also where its partition was dropped and an exception still holds it.
 *
 * @throws JUNCTURA_RECORD_DAMAGED when its checksum does not hold.
 */
export const readRecordAt = async (
  store: Store,
  position: number,
): Promise<LogRecord | undefined> => {
  const stored = await store.recordAt(position)
  if (stored) return decodeRecord(stored.bytes, position)
  const held = await store.row('held', positionText(position))
  return held && decodeRecord(fromBase64(held.record), position)
}
