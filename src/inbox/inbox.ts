import { DEFAULT_TENANT, type Draft, type Integration, type Webhook } from '../contract/index.ts'
import { type Kernel, must } from '../kernel/index.ts'
import { createMetrics, type Metrics } from '../observe/index.ts'
import type { Append, Committer, Store } from '../store/index.ts'
import { createAcceptor } from './accept-request.ts'
import type { BorderEvent, RaiseBorderAlert } from './border-events.ts'
import { type BodyCheck, checkBody } from './check-body.ts'
import { createContractBook } from './contract-book.ts'
import type { InboxContext, MaskText } from './inbox-context.ts'
import { createInvalidShelf, type InvalidRequest, type KeptInvalid } from './invalid-shelf.ts'
import { type MessageStatus, messageStatus } from './message-status.ts'
import {
  type AppendOrigin,
  emitAppend,
  type EmittedBy,
  ownAppend,
  publishEvents,
  type PublishOptions,
} from './publish-events.ts'
import type { Published } from './publish-events.ts'
import type { RecordPort } from './record-port.ts'
import { planReadmission, type ReadmissionPlan } from './plan-readmission.ts'
import { readRecordAt } from './read-record-at.ts'
import { readmitInvalid, type ReadmitResult } from './readmit.ts'
import { createRepeatBook, type RepeatSummary } from './repeat-book.ts'
import { messageIdOf } from './repeat-verdict.ts'
import { retryTransform, type RetryTransformResult } from './retry-transform.ts'
import { createTransformRunner } from './transform-runner.ts'
import type { AcceptResult, BorderRequest, VerifiedRequest } from './verified-request.ts'
import { openDesk } from './webhook-desk.ts'

export interface InboxOptions {
  readonly kernel: Kernel
  readonly committer: Committer
  readonly store: Store
  readonly integration: Pick<Integration, 'webhooks' | 'contracts'>
  /** @default 'default' */
  readonly tenant?: string
  /** Written into dead letters, so that they say which declaration made them. */
  readonly modelHash: string
  /** @default metrics that nobody reads */
  readonly metrics?: Metrics
  /** Rows that make an alert durable; they commit with what raised it. @default none */
  readonly raiseAlert?: RaiseBorderAlert
  /** Where the broker is the record of some contracts. @default none has it there */
  readonly records?: RecordPort | undefined
  /** Replaces personal data in an error's text. @default the text as it is */
  readonly maskText?: MaskText
  /** Told what became of each request, after its commit; must be quick. */
  readonly onEvent?: (event: BorderEvent) => void
}

/**
 * The inbox: what passed verification becomes durable here, once. Every method that stores
 * resolves after the commit; when it rejects, nothing of it is stored.
 *
 * @throws JUNCTURA_STORE_BUSY, JUNCTURA_STORE_FULL, JUNCTURA_STORE_FAILED or JUNCTURA_STORE_UNKNOWN
 *   from the store, on every method that writes.
 */
export interface Inbox {
  /** Parses, finds the version, validates, reads the key. Stores nothing. */
  check(
    webhook: Webhook,
    request: Pick<BorderRequest, 'raw' | 'header'> & Partial<Pick<BorderRequest, 'mediaType'>>,
  ): BodyCheck
  /**
   * Accepts a verified and valid request: one commit claims its key, stores its bytes and appends
   * its events. At most one message per key within the key's retention; one effect per fact.
   *
   * @throws JUNCTURA_RECORD_TOO_LARGE when the bytes do not fit into one record.
   */
  accept(request: VerifiedRequest): Promise<AcceptResult>
  /** Keeps a verified request that is not valid. Claims no key. */
  keepInvalid(invalid: InvalidRequest): Promise<KeptInvalid>
  /** Puts what was kept through the border again. Idempotent. */
  readmit(invalidId: string): Promise<ReadmitResult>
  /** Says what re-admitting would come to, request by request. Stores nothing, runs nothing. */
  planReadmission(): ReadmissionPlan
  /** Runs the transform of a dead letter of stage `transform` again. Idempotent. */
  retryTransform(deadLetterId: string, by: string): Promise<RetryTransformResult>
  /** Appends one message. @throws JUNCTURA_EMIT_INVALID when it does not fit its contract. */
  publish(draft: Draft, options?: PublishOptions): Promise<Published>
  /**
   * Appends up to LIMITS.publishManyMax messages, all or none.
   *
   * @throws JUNCTURA_EMIT_INVALID when one does not fit its contract.
   */
  publishMany(drafts: readonly Draft[], options?: PublishOptions): Promise<readonly Published[]>
  /** What a handler emitted, ready to commit with its completion; it claims its own fact. */
  emitAppend(draft: Draft, by: EmittedBy): Append
  /** A message of the runtime's own, ready for a commit that it makes. */
  ownAppend(draft: Draft, origin: AppendOrigin): Append
  /** Id of the message that a record belongs to; undefined when retention has dropped it. */
  messageIdAt(position: number): Promise<string | undefined>
  /** What became of a message, by its id or by its sender's key. */
  statusOf(webhook: Webhook, idOrKey: string): Promise<MessageStatus | undefined>
  /** What a sender keeps repeating. */
  repeatsOf(webhook: string): Promise<RepeatSummary>
  /** Invalid requests counted and not kept since the start, because the shelf was full. */
  lostInvalid(webhook: string): number
  /** Writes what is counted. Call it before the committer's `close`. Idempotent. */
  close(): Promise<void>
}

/** @throws JUNCTURA_DECLARATION when a contract's schema cannot be compiled. */
export const createInbox = (options: InboxOptions): Inbox => {
  const context = openContext(options)
  const accept = createAcceptor(context)
  return {
    check: (webhook, request) => checkBody(webhook, request, context.book),
    accept,
    keepInvalid: (invalid) => context.shelf.keep(invalid),
    readmit: (invalidId) => readmitInvalid(context, invalidId, accept),
    planReadmission: () => planReadmission(context),
    retryTransform: (deadLetterId, by) => retryTransform(context, deadLetterId, by),
    publish: async (draft, publishOptions) => {
      const [published] = await publishEvents(context, [draft], publishOptions)
      return must(published, 'one draft gives one result')
    },
    publishMany: (drafts, publishOptions) => publishEvents(context, drafts, publishOptions),
    emitAppend: (draft, by) => emitAppend(context, draft, by),
    ownAppend: (draft, origin) => ownAppend(context, draft, origin),
    messageIdAt: async (position) => {
      const record = await readRecordAt(context.store, position)
      return record && messageIdOf(record)
    },
    statusOf: (webhook, idOrKey) => messageStatus(context, context.deskOf(webhook), idOrKey),
    repeatsOf: (webhook) => context.repeats.summary(webhook),
    lostInvalid: (webhook) => context.shelf.lostCount(webhook),
    close: () => context.repeats.close(),
  }
}

function openContext(options: InboxOptions): InboxContext {
  const { kernel, committer, store, integration } = options
  const { clock, log, ids } = kernel
  const tenant = options.tenant ?? DEFAULT_TENANT
  const metrics = options.metrics ?? createMetrics(clock)
  const raiseAlert = options.raiseAlert ?? (() => [])
  const tell = options.onEvent ?? (() => undefined)
  const desks = new Map(
    integration.webhooks.map((webhook) => [webhook.name, openDesk(webhook, tenant, metrics)]),
  )
  const deskNamed: InboxContext['deskNamed'] = (name) => desks.get(name)
  const shared = { clock, log, ids, store, committer, metrics, deskNamed, raiseAlert, tell }
  return {
    kernel,
    committer,
    store,
    tenant,
    modelHash: options.modelHash,
    records: options.records,
    book: createContractBook(integration.contracts.values(), options.records?.dataBytesMax),
    runner: createTransformRunner(clock, committer),
    repeats: createRepeatBook(shared),
    shelf: createInvalidShelf(shared),
    deskOf: (webhook) => must(desks.get(webhook.name), 'a webhook is part of the integration'),
    deskNamed,
    raiseAlert,
    maskText: options.maskText ?? ((_contract, text) => text),
    tell,
  }
}
