import type { RecordedEvent } from './message-record.ts'

/** The broker as the record of some contracts. */
export interface RecordPort {
  /** Resolves when the broker has confirmed all of them; when it rejects, some may be there. */
  publish(channel: string, events: readonly RecordedEvent[]): Promise<void>
  /** What the data of one message may take. */
  readonly dataBytesMax: number
}
