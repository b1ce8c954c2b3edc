import type { AnyContract, Webhook } from '../contract/index.ts'
import { JuncturaError, type Kernel } from '../kernel/index.ts'
import type { Committer, Store, UnitOutcome } from '../store/index.ts'
import type { BorderEvent, RaiseBorderAlert } from './border-events.ts'
import type { ContractBook } from './contract-book.ts'
import type { InvalidShelf } from './invalid-shelf.ts'
import type { RecordPort } from './record-port.ts'
import type { RepeatBook } from './repeat-book.ts'
import type { TransformRunner } from './transform-runner.ts'
import type { WebhookDesk } from './webhook-desk.ts'

/** What the parts of the inbox share. */
export interface InboxContext {
  readonly kernel: Kernel
  readonly committer: Committer
  readonly store: Store
  readonly tenant: string
  readonly modelHash: string
  /** Where the broker is the record of some contracts. */
  readonly records: RecordPort | undefined
  readonly book: ContractBook
  readonly runner: TransformRunner
  readonly repeats: RepeatBook
  readonly shelf: InvalidShelf
  readonly deskOf: (webhook: Webhook) => WebhookDesk
  readonly deskNamed: (name: string) => WebhookDesk | undefined
  readonly raiseAlert: RaiseBorderAlert
  readonly maskText: MaskText
  readonly tell: (event: BorderEvent) => void
}

/** Replaces personal data of a message, as its contract names it, in a text. */
export type MaskText = (contract: AnyContract, text: string, data: unknown) => string

/** A unit that neither committed nor met a taken key. */
export const commitError = (outcome: UnitOutcome): unknown =>
  outcome.status === 'failed'
    ? outcome.error
    : new JuncturaError('JUNCTURA_STORE_FAILED', {
        details: { problem: `the unit was ${outcome.status}` },
      })
