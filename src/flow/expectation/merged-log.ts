import { type Clock, LIMITS, sleep } from '../../kernel/index.ts'
import type { Delivered, LogTransport, Subscription } from '../../transport/index.ts'

/**
 * Several channels as one log, in the order of positions. What is taken from it is complete: no
 * record of any of the channels is still to come at or before the position that it reaches.
 */
export interface MergedLog {
  /** The next records, none when nothing is new; `position` is how far they go. */
  take(limit: number): { readonly records: readonly Delivered[]; readonly position: number }
  /** Resolves when there may be more, or `signal` aborts. */
  changed(signal: AbortSignal): Promise<void>
  /** Set once a channel could not be read: what is behind must not be skipped. */
  readonly damage: unknown
  close(): Promise<void>
}

export interface MergedLogOptions {
  readonly transport: Pick<LogTransport, 'subscribe' | 'head'>
  readonly clock: Clock
  readonly channels: readonly string[]
  readonly afterPosition: number
  /** Whether an error of reading may pass by itself. */
  readonly mayPass: (error: unknown) => boolean
}

const RETRY_MS = 500

interface Channel {
  readonly subscription: Subscription
  buffer: Delivered[]
  takenTo: number
  /** Wakes the reader when there is room again. */
  resume: (() => void) | undefined
}

export const createMergedLog = (options: MergedLogOptions): MergedLog => {
  const { transport, clock, afterPosition } = options
  const stop = new AbortController()
  const waiters = new Set<() => void>()
  let position = afterPosition
  let damage: unknown

  const tell = (): void => {
    for (const wake of waiters) wake()
  }

  const read = async (channel: Channel): Promise<void> => {
    const { subscription } = channel
    while (!stop.signal.aborted) {
      if (channel.buffer.length >= LIMITS.expectationAheadMax) {
        await new Promise<void>((resolve) => {
          channel.resume = resolve
        })
        continue
      }
      try {
        const page = await subscription.next(LIMITS.expectationBatch, stop.signal)
        if (page.length === 0) return
        channel.buffer.push(...page)
        channel.takenTo = page.at(-1)?.position ?? channel.takenTo
        tell()
        if (page.length >= LIMITS.expectationBatch) await clock.yield()
      } catch (error) {
        if (stop.signal.aborted) return
        if (!options.mayPass(error)) {
          damage = error
          return tell()
        }
        await sleep(clock, RETRY_MS, stop.signal)
      }
    }
  }

  const channels = options.channels.map((name): Channel => {
    const subscription = transport.subscribe(name, afterPosition)
    return { subscription, buffer: [], takenTo: afterPosition, resume: undefined }
  })
  const loops = channels.map(read)

  /** Everything of the channel up to there is in the buffer, or was. */
  const knownTo = ({ subscription, takenTo }: Channel): number => {
    // What was given is on its way here for a moment.
    if (subscription.givenTo > takenTo) return takenTo
    const { atHead, scannedTo } = subscription
    return atHead ? Math.max(scannedTo, transport.head) : scannedTo
  }

  return {
    get damage() {
      return damage
    },
    take(limit) {
      let frontier = Math.min(...channels.map(knownTo))
      const due = channels.flatMap(({ buffer }) => upTo(buffer, frontier))
      if (channels.length > 1) due.sort((a, b) => a.position - b.position)
      const records = due.slice(0, limit)
      if (records.length < due.length) frontier = records.at(-1)?.position ?? frontier
      for (const channel of channels) {
        const passed = upTo(channel.buffer, frontier).length
        if (passed > 0) channel.buffer = channel.buffer.slice(passed)
        if (channel.buffer.length < LIMITS.expectationAheadMax) channel.resume?.()
      }
      position = Math.max(position, frontier)
      return { records, position }
    },
    changed: (signal) =>
      new Promise((resolve) => {
        const done = (): void => {
          waiters.delete(done)
          signal.removeEventListener('abort', done)
          resolve()
        }
        waiters.add(done)
        signal.addEventListener('abort', done, { once: true })
        if (signal.aborted) done()
      }),
    async close() {
      stop.abort()
      for (const { resume } of channels) resume?.()
      await Promise.all(loops)
      for (const { subscription } of channels) subscription.close()
    },
  }
}

function upTo(buffer: readonly Delivered[], position: number): readonly Delivered[] {
  if ((buffer.at(-1)?.position ?? 0) <= position) return buffer
  const end = buffer.findIndex((one) => one.position > position)
  return buffer.slice(0, end)
}
