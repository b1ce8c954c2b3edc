import { METRICS, type Metrics } from '../observe/index.ts'
import type { Appended } from '../store/index.ts'

/** Counts the log's growth, and how much of it carries a correlation that its origin gave. */
export const createAppendCounter = (
  metrics: Metrics,
): ((appended: readonly Appended[]) => void) => {
  const all = metrics.counter(METRICS.appended)
  const correlated = metrics.counter(METRICS.correlated)
  return (appended) => {
    for (const { append } of appended) {
      const { channel, record } = append
      all.with({ channel }).add()
      const envelope = record?.head.envelope
      if (envelope && envelope.correlationid !== envelope.id) correlated.with({ channel }).add()
    }
  }
}
