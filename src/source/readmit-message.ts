import { DEFAULT_TENANT, type TopicSource } from '../contract/index.ts'
import type { ContractBook } from '../inbox/index.ts'
import { type Kernel, LIMITS } from '../kernel/index.ts'
import type { Committer, InvalidRow } from '../store/index.ts'
import { type MessageVerdict, readMessage } from './read-message.ts'
import { topicOfShelf, unshelve } from './topic-shelf.ts'

/** What re-admitting a kept message came to, or would come to. */
export type TopicReadmissionResult =
  | { readonly kind: 'accepted' | 'duplicate' }
  | {
      readonly kind: 'still-invalid'
      readonly reason: 'schema' | 'version' | 'syntax' | 'contract' | 'gone'
      /** Names of fields and versions; no data. */
      readonly detail: string
    }

/** Reads what a topic's shelf keeps by today's contracts. */
export interface TopicReadmission {
  /** Whether a row is of a topic. */
  owns(row: Pick<InvalidRow, 'webhook'>): boolean
  /** What would become of it; a repeat shows only when it is admitted. */
  plan(row: InvalidRow): TopicReadmissionResult
  /** Appends the message, with the id it had, and resolves the row in the same commit. */
  admit(row: InvalidRow): Promise<TopicReadmissionResult>
}

export interface TopicReadmissionOptions {
  readonly topics: readonly TopicSource[]
  readonly kernel: Kernel
  readonly committer: Pick<Committer, 'submit'>
  readonly book: ContractBook
}

export const createReadmission = (options: TopicReadmissionOptions): TopicReadmission => {
  const { topics, kernel, committer, book } = options
  const read = (row: InvalidRow): MessageVerdict | TopicReadmissionResult => {
    const name = topicOfShelf(row.webhook)
    const source = topics.find((one) => one.name === name)
    if (!source) return gone(`topic ${name ?? ''} is not declared any more`)
    const kept = unshelve(row)
    if (!kept) return gone(`${row.webhook}: only its beginning was kept; the topic has the rest`)
    const newId = (): string => row.messageId ?? kernel.ids.next('msg')
    const nowMs = kernel.clock.now()
    return readMessage(kept.message, { source, book, nowMs, era: kept.era, newId })
  }
  return {
    owns: (row) => topicOfShelf(row.webhook) !== undefined,
    plan(row) {
      const verdict = read(row)
      if (verdict.kind === 'append') return { kind: 'accepted' }
      return verdict.kind === 'invalid' ? stillInvalid(row, verdict) : verdict
    },
    async admit(row) {
      const verdict = read(row)
      if (verdict.kind === 'invalid') return stillInvalid(row, verdict)
      if (verdict.kind !== 'append') return verdict
      const nowMs = kernel.clock.now()
      const admitted = {
        ...row,
        state: 'readmitted',
        messageId: verdict.id,
        resolvedAtMs: nowMs,
      } as const
      // Two people who admit it at once admit it once.
      const scope = `${DEFAULT_TENANT}/readmitted`
      const expiresAtMs = nowMs + LIMITS.queueDedupeMs
      const outcome = await committer.submit({
        claims: [{ scope, key: row.id, expiresAtMs, append: 0 }],
        appends: [verdict.append],
        rows: [{ collection: 'invalid', key: row.id, row: admitted }],
      })
      if (outcome.status === 'failed') throw outcome.error
      const isNew = outcome.status === 'committed' && (outcome.leftOut ?? []).length === 0
      return { kind: isNew ? 'accepted' : 'duplicate' }
    },
  }
}

const gone = (detail: string): TopicReadmissionResult => ({
  kind: 'still-invalid',
  reason: 'gone',
  detail,
})

function stillInvalid(
  { webhook }: InvalidRow,
  { fault, type }: Extract<MessageVerdict, { kind: 'invalid' }>,
): TopicReadmissionResult {
  const fields = [
    ...new Set(fault.errors.map(({ pointer }) => pointer.replace(/\/\d+(?=\/|$)/g, '/*'))),
  ]
  const at = fields.slice(0, 5).join(', ') || 'the document'
  const detail = `${webhook}: ${type === '' ? 'a message' : type.slice(0, 100)} is invalid at ${at}`
  return { kind: 'still-invalid', reason: fault.reason, detail }
}
