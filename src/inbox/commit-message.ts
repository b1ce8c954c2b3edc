import type { Receipt } from '../contract/index.ts'
import { JuncturaError } from '../kernel/index.ts'
import type { Append, Claim, CommitUnit, RowWrite } from '../store/index.ts'
import { dropKnownFacts, factClaim } from './fact-claims.ts'
import { commitError, type InboxContext } from './inbox-context.ts'
import {
  type BorderPart,
  eventAppend,
  type MessageOrigin,
  receiptAppend,
} from './message-record.ts'
import { isDurable, isVolatile, type PreparedEvent } from './prepare-event.ts'

/** A message and everything that becomes durable with it, in one unit. */
export interface MessageCommit {
  readonly origin: MessageOrigin
  readonly events: readonly PreparedEvent[]
  /** Absent for what is published in process. */
  readonly border?: BorderPart
  /** Where a message goes that has a border part and no event. */
  readonly receiptLog?: { readonly channel: string; readonly type: string }
  /** Claimed for the message itself; its first record stands for them. */
  readonly claims: readonly Omit<Claim, 'append'>[]
  readonly rows?: readonly RowWrite[]
  /** Rows that name where the message's records stand. */
  readonly rowsAt?: CommitUnit['rowsAt']
}

export type CommitResult =
  | {
      readonly kind: 'committed'
      readonly positions: readonly number[]
      readonly events: readonly PreparedEvent[]
      /** Set when at least one event carried a fact that is in the log already. */
      readonly duplicateOf: string | undefined
    }
  /** One of the message's own claims is taken. */
  | { readonly kind: 'taken'; readonly claim: number; readonly position: number }

/** Each round drops a fact or salts one; more means that the store contradicts itself. */
const ROUNDS_MAX = 8

/**
 * Commits a message. Events whose fact is in the log already are left out, whatever id they came
 * under (M5); the message itself is recorded all the same.
 *
 * @throws JUNCTURA_RECORD_TOO_LARGE before anything is submitted.
 */
export const commitMessage = async (
  context: InboxContext,
  commit: MessageCommit,
): Promise<CommitResult> => {
  let { events } = commit
  let duplicateOf: string | undefined
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const unit = buildUnit(context, { ...commit, events }, duplicateOf)
    const outcome = await context.committer.submit(unit)
    if (outcome.status === 'committed') {
      return { kind: 'committed', positions: outcome.positions, events, duplicateOf }
    }
    if (outcome.status !== 'duplicate') throw commitError(outcome)
    if (outcome.claim < commit.claims.length) {
      return { kind: 'taken', claim: outcome.claim, position: outcome.position }
    }
    const fresh = await dropKnownFacts(context, events)
    events = fresh.events
    duplicateOf ??= [...fresh.known.values()][0]
  }
  throw new JuncturaError('JUNCTURA_STORE_FAILED', {
    details: { problem: 'keys are refused that the store does not hold' },
  })
}

function buildUnit(
  context: InboxContext,
  commit: MessageCommit,
  duplicateOf: string | undefined,
): CommitUnit {
  const appends = buildAppends(commit, duplicateOf)
  const rows = {
    ...(commit.rows && { rows: commit.rows }),
    ...(commit.rowsAt && { rowsAt: commit.rowsAt }),
  }
  const volatile = commit.events.flatMap((event, index) =>
    isVolatile(event) ? [eventAppend(commit.origin, event, { index })] : [],
  )
  // A claim stands for a record; without one there is nothing that a key could lead to.
  if (appends.length === 0) return { ...rows, volatile }
  const claims: Claim[] = commit.claims.map((claim) => ({ ...claim, append: 0 }))
  commit.events.filter(isDurable).forEach((event, append) => {
    const claim = factClaim(context, event, commit.origin.appendedAtMs)
    if (claim) claims.push({ ...claim, append })
  })
  return { claims, appends, volatile, ...rows }
}

/** The bytes that were sent are kept once. */
const borderFor = (event: PreparedEvent, border: BorderPart | undefined): BorderPart | undefined =>
  border && event.isAsSent ? { receipt: border.receipt } : border

function buildAppends(commit: MessageCommit, duplicateOf: string | undefined): readonly Append[] {
  const { origin, events, border, receiptLog } = commit
  const durable = events.filter(isDurable)
  if (durable.length > 0) {
    return durable.map((event, place) =>
      eventAppend(origin, event, {
        index: events.indexOf(event),
        border: place === 0 ? borderFor(event, border) : undefined,
      }),
    )
  }
  if (!border || !receiptLog) return []
  const receipt: Receipt =
    duplicateOf === undefined ? border.receipt : { ...border.receipt, duplicateOf }
  return [receiptAppend(origin, { ...border, receipt }, receiptLog)]
}
