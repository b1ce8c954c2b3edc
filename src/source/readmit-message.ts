import type { TopicSource } from '../contract/index.ts'
import {
  type ContractBook,
  createShelfReadmission,
  type ShelfReading,
  type ShelfReadmission,
} from '../inbox/index.ts'
import type { Kernel } from '../kernel/index.ts'
import type { Committer, InvalidRow } from '../store/index.ts'
import { readMessage } from './read-message.ts'
import { topicOfShelf, unshelve } from './topic-shelf.ts'

export interface TopicReadmissionOptions {
  readonly topics: readonly TopicSource[]
  readonly kernel: Kernel
  readonly committer: Pick<Committer, 'submit'>
  readonly book: ContractBook
}

/** Reads what a topic's shelf keeps by today's contracts. */
export const createReadmission = (options: TopicReadmissionOptions): ShelfReadmission => {
  const { topics, kernel, book } = options
  const read = (row: InvalidRow): ShelfReading => {
    const name = topicOfShelf(row.webhook)
    const source = topics.find((one) => one.name === name)
    if (!source) return gone(`topic ${name ?? ''} is not declared any more`)
    const kept = unshelve(row)
    if (!kept) return gone(`${row.webhook}: only its beginning was kept; the topic has the rest`)
    const newId = (): string => row.messageId ?? kernel.ids.next('msg')
    const nowMs = kernel.clock.now()
    return readMessage(kept.message, { source, book, nowMs, era: kept.era, newId })
  }
  const owns: ShelfReadmission['owns'] = (row) => topicOfShelf(row.webhook) !== undefined
  return createShelfReadmission({ ...options, owns, read })
}

const gone = (detail: string): ShelfReading => ({ kind: 'gone', detail })
