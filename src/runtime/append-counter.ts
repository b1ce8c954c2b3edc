import { METRICS, type Metrics } from '../observe/index.ts'
import type { Appended } from '../store/index.ts'

/** Counts the log's growth, and how much of it carries a correlation that its origin gave. */
export const createAppendCounter = (
  metrics: Metrics,
): ((appended: readonly Appended[]) => void) => {
  const all = metrics.counter(METRICS.appended)
  const correlated = metrics.counter(METRICS.correlated)
  return (appended) => {
    // By runs of one channel, which most commits are: to find a series costs more than to add.
    let run = { channel: '', records: 0, correlated: 0 }
    const addRun = (): void => {
      const { channel } = run
      if (run.records > 0) all.with({ channel }).add(run.records)
      if (run.correlated > 0) correlated.with({ channel }).add(run.correlated)
    }
    for (const { append } of appended) {
      const { channel, record } = append
      if (channel !== run.channel) {
        addRun()
        run = { channel, records: 0, correlated: 0 }
      }
      run.records += 1
      const envelope = record?.head.envelope
      if (envelope && envelope.correlationid !== envelope.id) run.correlated += 1
    }
    addRun()
  }
}
