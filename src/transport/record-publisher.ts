import { JuncturaError, LIMITS } from '../kernel/index.ts'
import type { Broker, BrokerMessage } from './broker.ts'

/**
 * Publishes to one channel whose record is the broker. What comes while enough publications are
 * under way goes with the next one, so a flood costs few of them and a message alone does not wait.
 * A driver keeps the order of its calls, so what was taken first stands first.
 */
export interface RecordPublisher {
  /**
   * Resolves when the broker has confirmed all of them. When it rejects, some may be there.
   *
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE, JUNCTURA_TRANSPORT_REFUSED of the broker.
   * @throws JUNCTURA_TRANSPORT_BUSY when too many wait.
   */
  publish(messages: readonly BrokerMessage[]): Promise<void>
  /** Takes nothing more; resolves when what waits is confirmed or failed. */
  close(): Promise<void>
}

interface Waiting {
  readonly messages: readonly BrokerMessage[]
  readonly bytes: number
  resolve(): void
  reject(error: unknown): void
}

export const createRecordPublisher = (
  broker: Pick<Broker, 'publish' | 'features'>,
  channel: string,
  onPublished: (count: number) => void,
): RecordPublisher => {
  let waiting: Waiting[] = []
  let waitingCount = 0
  let waitingBytes = 0
  let running: Promise<void> | undefined
  const underWay = new Set<Promise<void>>()
  let isClosed = false

  const takeBatch = (): readonly Waiting[] => {
    let count = 0
    let bytes = 0
    let to = 0
    for (; to < waiting.length; to++) {
      const one = waiting[to]
      if (!one) break
      count += one.messages.length
      bytes += one.bytes
      const isFull = count > LIMITS.recordBatchMax || bytes > LIMITS.recordBatchBytesMax
      if (isFull && to > 0) break
    }
    const batch = waiting.slice(0, to)
    waiting = waiting.slice(to)
    for (const one of batch) {
      waitingCount -= one.messages.length
      waitingBytes -= one.bytes
    }
    return batch
  }

  const send = async (batch: readonly Waiting[]): Promise<void> => {
    try {
      const [only] = batch
      const messages =
        batch.length === 1 && only ? only.messages : batch.flatMap((one) => one.messages)
      await broker.publish(channel, messages)
      onPublished(messages.length)
      for (const one of batch) one.resolve()
    } catch (error) {
      for (const one of batch) one.reject(error)
    }
  }

  const run = async (): Promise<void> => {
    // Those who publish in this turn of the loop go together.
    await Promise.resolve()
    while (waiting.length > 0) {
      const sending = send(takeBatch()).finally(() => underWay.delete(sending))
      underWay.add(sending)
      while (underWay.size >= LIMITS.recordInFlightMax) await Promise.race(underWay)
    }
    running = undefined
  }

  return {
    publish(messages) {
      if (isClosed) {
        const details = { what: `Channel ${channel}` }
        return Promise.reject(new JuncturaError('JUNCTURA_CLOSED', { details }))
      }
      let bytes = 0
      for (const { data } of messages) bytes += data.length
      const isFull =
        waitingCount + messages.length > LIMITS.recordWaitingMax ||
        waitingBytes + bytes > LIMITS.recordWaitingBytesMax
      if (isFull && waiting.length > 0) {
        const details = { engine: broker.features.engine, waiting: waitingCount }
        return Promise.reject(new JuncturaError('JUNCTURA_TRANSPORT_BUSY', { details }))
      }
      return new Promise((resolve, reject) => {
        waiting.push({ messages, bytes, resolve, reject })
        waitingCount += messages.length
        waitingBytes += bytes
        running ??= run()
      })
    },
    async close() {
      isClosed = true
      await running
      await Promise.all(underWay)
    },
  }
}
