import type { Msg, Subscription } from '@nats-io/transport-node'
import { type Clock, LIMITS, type Logger, messageOf, type Timer } from '../../kernel/index.ts'
import type { FollowListener, Reading, ReceivedMessage } from '../broker.ts'
import { toBrokerError } from './nats-errors.ts'
import { readHeaders } from './nats-headers.ts'
import type { NatsLink } from './nats-link.ts'

export interface NatsFollowOptions {
  readonly link: NatsLink
  readonly clock: Clock
  readonly log: Logger
  readonly subjects: string
  readonly listener: FollowListener
}

/**
 * A plain subscription to the subjects, beside the stream: the server passes a message on when it
 * comes, not when it is on the disk, and keeps no state for the reader. A reader that is too slow
 * is cut off by the server and comes back; the positions tell it what it missed.
 */
export const followNats = async (options: NatsFollowOptions): Promise<Reading> => {
  const { link, clock, log, subjects, listener } = options
  let subscription: Subscription | undefined
  let again: Timer | undefined
  let isOpen = false
  let isClosed = false
  let refusal: Error | undefined
  let gathered: ReceivedMessage[] = []

  /** What one packet of the network brought is given at once. */
  const give = (): void => {
    const messages = gathered
    gathered = []
    if (!isClosed) listener(messages)
  }

  const onMessage = (message: Msg): void => {
    const { key, attributes, headers } = readHeaders(message)
    if (PROBE_HEADER in headers) return
    if (gathered.length === 0) queueMicrotask(give)
    gathered.push({ partition: 0, offset: '', key, attributes, headers, data: message.data })
  }

  const subscribe = (): void => {
    again = undefined
    if (isClosed) return
    subscription = link.connection.subscribe(subjects, {
      callback: (error, message) => {
        if (!error) return onMessage(message)
        refusal = error
        if (!isOpen) return
        log.warn({ subjects, problem: messageOf(error) }, 'NATS ended a subscription')
        again ??= clock.setTimer(LIMITS.relayPauseMsMax, subscribe)
      },
    })
  }

  link.assertConnected()
  subscribe()
  try {
    await link.connection.flush()
    // It comes before the answer to the flush.
    if (refusal !== undefined) throw refusal
  } catch (error) {
    isClosed = true
    subscription?.unsubscribe()
    throw toBrokerError(error, `listening to ${subjects}`)
  }
  isOpen = true
  return {
    async close() {
      isClosed = true
      again?.cancel()
      subscription?.unsubscribe()
    },
  }
}

/** Marks a message that only asks whether publishing is allowed. */
export const PROBE_HEADER = 'junctura-probe'
