import { LIMITS } from '../kernel/index.ts'
import type { ReceivedMessage } from '../transport/index.ts'

/** Splits what was fetched into what one commit takes: at least one message, however large. */
export const commitBatches = function* (
  messages: readonly ReceivedMessage[],
): Generator<readonly ReceivedMessage[]> {
  let from = 0
  let bytes = 0
  for (const [at, { data }] of messages.entries()) {
    const isFull =
      at - from >= LIMITS.topicBatchMax || bytes + data.length > LIMITS.topicBatchBytesMax
    if (at > from && isFull) {
      yield messages.slice(from, at)
      from = at
      bytes = 0
    }
    bytes += data.length
  }
  if (from < messages.length) yield from === 0 ? messages : messages.slice(from)
}
