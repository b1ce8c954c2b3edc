import { monitorEventLoopDelay } from 'node:perf_hooks'
import { METRICS, type Metrics } from '../observe/index.ts'

const PERCENTILES = [50, 99, 100] as const

/** Gauges of this process: how late the event loop is (F17), and its memory. */
export const observeProcess = (metrics: Metrics): { close(): void } => {
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
  metrics.observe(METRICS.eventLoopLag, () => {
    const readings = PERCENTILES.map((percentile) => ({
      labels: { percentile: percentile === 100 ? 'max' : `p${percentile}` },
      // Nanoseconds, and a turn of its own resolution is no lag.
      value: Math.max(0, delay.percentile(percentile) / 1e9 - 0.02),
    }))
    delay.reset()
    return readings
  })
  metrics.observe(METRICS.residentMemory, () => [{ labels: {}, value: process.memoryUsage.rss() }])
  return { close: () => delay.disable() }
}
