import { type Clock, LIMITS, type Timer } from '../kernel/index.ts'
import type { EventHub, RuntimeEvent } from '../runtime/index.ts'
import type { EventStream } from './manage-request.ts'

export interface EventStreamOptions {
  readonly events: EventHub
  readonly clock: Clock
  /** Which start of the runtime the numbers belong to. */
  readonly run: number
  /** Go on after this event. Left out: only what comes from now on. */
  readonly afterId?: number
  /** The start that `afterId` was seen in, where the reader knows it. */
  readonly afterRun?: number
  /** Begin with so many of the newest events. `afterId` decides before it. */
  readonly newest?: number
}

/** So that proxies keep the connection, and both sides notice when the other is gone. */
const HEARTBEAT_MS = 15_000
/** How long a browser waits before it comes back. */
const RETRY_MS = 2_000
/** Events joined to one write; a resume of thousands should not be thousands of writes. */
const EVENTS_PER_CHUNK = 200

/**
 * The runtime's events as server-sent events. First `hello` with the start they belong to; then
 * `missed` when events are gone that the reader has not seen; then each event under its number,
 * so that `Last-Event-ID` resumes. A comment every 15 s. A reader that lets more than
 * LIMITS.streamReaderEventsMax events wait is cut; it comes back and goes on where it was.
 *
 * @throws JUNCTURA_TOO_MANY_READERS past LIMITS.streamReadersMax.
 * @see WHATWG HTML, section 9.2, "Server-sent events"
 */
export const openEventStream = (options: EventStreamOptions): EventStream => new HubReader(options)

/** Modes: open, cut (hands out what is left of the last chunk, then ends), closed. */
class HubReader implements EventStream {
  readonly #options: EventStreamOptions
  #waiting: RuntimeEvent[] = []
  #opening: string | undefined
  #isHeartbeatDue = false
  #isEnded = false
  #wake: (() => void) | undefined
  #heartbeat: Timer | undefined
  readonly #subscription: { close(): void }

  constructor(options: EventStreamOptions) {
    this.#options = options
    const { events, run } = options
    const isRestarted = options.afterRun !== undefined && options.afterRun !== run
    const afterId = isRestarted ? 0 : (options.afterId ?? newestAfter(options))
    const subscription = events.subscribe({
      ...(afterId !== undefined && { afterId }),
      listener: (event) => this.#take(event),
    })
    this.#subscription = subscription
    // Only who has read before can have missed something.
    const hasRead = options.afterId !== undefined
    const missed = hasRead ? subscription.missed : 0
    this.#opening = openingOf({ run, lastId: events.lastId, missed, isRestarted })
    this.#beat()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<string> {
    try {
      while (!this.#isEnded) {
        const chunk = this.#nextChunk()
        if (chunk !== undefined) yield chunk
        else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      this.close()
    }
  }

  close(): void {
    this.#isEnded = true
    this.#waiting = []
    this.#heartbeat?.cancel()
    this.#subscription.close()
    this.#wakeUp()
  }

  #take(event: RuntimeEvent): void {
    if (this.#isEnded) return
    this.#waiting.push(event)
    if (this.#waiting.length > LIMITS.streamReaderEventsMax) this.close()
    else this.#wakeUp()
  }

  #nextChunk(): string | undefined {
    const opening = this.#opening
    this.#opening = undefined
    if (opening !== undefined) return opening
    if (this.#waiting.length > 0) {
      return this.#waiting.splice(0, EVENTS_PER_CHUNK).map(frameOf).join('')
    }
    if (!this.#isHeartbeatDue) return undefined
    this.#isHeartbeatDue = false
    return ':\n\n'
  }

  #beat(): void {
    this.#heartbeat = this.#options.clock.setTimer(HEARTBEAT_MS, () => {
      this.#isHeartbeatDue = true
      this.#beat()
      this.#wakeUp()
    })
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

const newestAfter = ({ events, newest }: EventStreamOptions): number | undefined =>
  newest === undefined ? undefined : Math.max(0, events.lastId - newest)

interface Opening {
  readonly run: number
  readonly lastId: number
  readonly missed: number
  readonly isRestarted: boolean
}

function openingOf({ run, lastId, missed, isRestarted }: Opening): string {
  const hello = `retry: ${RETRY_MS}\nevent: hello\ndata: ${JSON.stringify({ run, lastId })}\n\n`
  if (missed === 0 && !isRestarted) return hello
  const gap = { missed, restarted: isRestarted }
  return `${hello}event: missed\ndata: ${JSON.stringify(gap)}\n\n`
}

/** JSON has no raw line break, so one event is one data line whatever it holds (F56). */
const frameOf = (event: RuntimeEvent): string =>
  `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`
