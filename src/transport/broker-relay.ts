import { isJuncturaError, type Kernel, LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { Broker, BrokerMessage } from './broker.ts'
import type { Delivered, Transport } from './transport.ts'
import { toBrokerMessage } from './wire-message.ts'

/**
 * Publishes one channel of the log, in order, for as long as it takes. Its place is kept by the
 * caller and may be older than what was published: readers know repeats by their positions.
 */
export interface BrokerRelay {
  readonly channel: string
  /** Everything up to here is confirmed by the broker. */
  readonly publishedTo: number
  /** Whether nothing waits to be published. */
  readonly atHead: boolean
  /** Goes back, because the broker lost something; never forward. */
  rewind(position: number): void
  /** Stops after what is being published. */
  close(): Promise<void>
}

export interface BrokerRelayOptions {
  readonly broker: Broker
  readonly log: Transport
  readonly kernel: Pick<Kernel, 'clock' | 'log'>
  readonly channel: string
  /** Identity of the store. */
  readonly store: string
  readonly publishedTo: number
  /** Which run of the relay this is, where the broker is the record. */
  readonly turn?: number | undefined
  /** Up to here the broker may have messages already, from this process or from one before it. */
  readonly freshAfter: number
  /** Called before something is published the first time; what it gives comes back with it. */
  readonly onPublishing: () => number
  readonly onPublished: (published: BatchPublished) => void
  /** The broker did not take something; it is tried again after a pause. */
  readonly onTrouble: () => void
  /** A record is left out because the broker takes none of its size. */
  readonly onOversize: (position: number, bytes: number) => void
  /** A record that no reader can be given, and why: the relay stops there. */
  readonly onStopped: (error: unknown) => void
}

export interface BatchPublished {
  readonly count: number
  /** Of them, those that the broker cannot have had before. */
  readonly fresh: number
  /** What `onPublishing` gave before the first try. */
  readonly turn: number
}

export const startBrokerRelay = (options: BrokerRelayOptions): BrokerRelay => {
  const { broker, log, kernel, channel, store } = options
  const { partitions, messageBytesMax } = broker.features
  const wire = {
    store,
    partitions,
    ...(options.turn !== undefined && { turn: options.turn }),
  }
  const stop = new AbortController()
  let publishedTo = options.publishedTo
  let subscription = log.subscribe(channel, publishedTo)
  let takenTo = publishedTo
  let turn = new AbortController()
  let rewindTo: number | undefined
  let { freshAfter } = options

  /** Until the broker has confirmed it; false when the relay closes first. */
  const publish = async (batch: readonly Delivered[]): Promise<boolean> => {
    let previous = publishedTo
    let fresh = 0
    const messages = []
    for (const delivered of batch) {
      // A receipt without data tells what the border did; it is nobody's message.
      if (delivered.record.data.length === 0) continue
      const message = toBrokerMessage({ ...delivered, previous }, wire)
      const bytes = sizeOf(message)
      previous = delivered.position
      if (bytes > messageBytesMax) options.onOversize(delivered.position, bytes)
      else messages.push(message)
      if (bytes <= messageBytesMax && delivered.position > freshAfter) fresh += 1
    }
    const publishing = options.onPublishing()
    for (let tries = 0; messages.length > 0; tries++) {
      try {
        await broker.publish(channel, messages)
        break
      } catch (error) {
        if (stop.signal.aborted) return false
        if (isJuncturaError(error, 'JUNCTURA_TRANSPORT_REFUSED')) throw error
        if (tries === 0) kernel.log.warn({ channel, problem: messageOf(error) }, NOT_PUBLISHED)
        options.onTrouble()
        await sleep(kernel.clock, pauseMs(tries), stop.signal)
      }
    }
    options.onPublished({ count: messages.length, fresh, turn: publishing })
    return true
  }

  const goBack = (position: number): void => {
    freshAfter = Math.max(freshAfter, takenTo)
    publishedTo = Math.min(publishedTo, position)
    takenTo = publishedTo
    rewindTo = undefined
    turn = new AbortController()
    subscription.close()
    subscription = log.subscribe(channel, publishedTo)
  }

  const next = async (): Promise<readonly Delivered[]> => {
    try {
      return await subscription.next(LIMITS.relayBatchMax, turn.signal)
    } catch (error) {
      // Damage, and what only a newer release can read, must not be skipped.
      if (isJuncturaError(error) && !error.retryable) throw error
      kernel.log.warn({ channel, problem: messageOf(error) }, 'the log could not be read')
      await sleep(kernel.clock, LIMITS.relayPauseMsMax, turn.signal)
      return []
    }
  }

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      if (rewindTo !== undefined) goBack(rewindTo)
      const batch = await next()
      const last = batch.at(-1)
      if (last === undefined) continue
      takenTo = last.position
      if (!(await publish(batch))) return
      publishedTo = last.position
    }
  }

  const loop = run().catch((error: unknown) => {
    if (!stop.signal.aborted) options.onStopped(error)
  })

  return {
    channel,
    get publishedTo() {
      // At once, or the place that is kept meanwhile would be past what was lost.
      return Math.min(publishedTo, rewindTo ?? publishedTo)
    },
    get atHead() {
      return rewindTo === undefined && subscription.atHead && publishedTo >= takenTo
    },
    rewind(position) {
      rewindTo = Math.min(position, rewindTo ?? position)
      turn.abort()
    },
    async close() {
      stop.abort()
      turn.abort()
      await loop
      subscription.close()
    },
  }
}

/** Its data and attributes, and what headers cost beside their text. */
const sizeOf = ({ attributes, key, data }: BrokerMessage): number => {
  let bytes = data.length + 2 * Buffer.byteLength(key) + 512
  for (const [name, value] of Object.entries(attributes)) {
    bytes += name.length + Buffer.byteLength(value) + 16
  }
  return bytes
}

const NOT_PUBLISHED = 'the broker did not take it; trying again'

const pauseMs = (tries: number): number => Math.min(LIMITS.relayPauseMsMax, 50 * 2 ** tries)
