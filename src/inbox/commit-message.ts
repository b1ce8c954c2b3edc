import type { Receipt } from '../contract/index.ts'
import { isJuncturaError, JuncturaError } from '../kernel/index.ts'
import type { Append, Claim, RowWrite, Unit } from '../store/index.ts'
import { commitError, type InboxContext } from './inbox-context.ts'
import { factScope, salted } from './message-keys.ts'
import { type BorderPart, eventAppend, type MessageOrigin, receiptAppend } from './message-record.ts'
import type { PreparedEvent } from './prepare-event.ts'
import { readRecordAt } from './read-record-at.ts'
import { isSameFact, messageIdOf } from './repeat-verdict.ts'

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

/** Each round drops a fact or moves one to another salt; more means the store contradicts itself. */
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
    duplicateOf ??= fresh.duplicateOf
  }
  throw new JuncturaError('JUNCTURA_STORE_FAILED', {
    details: { problem: 'keys are refused that the store does not hold' },
  })
}

function buildUnit(
  context: InboxContext,
  commit: MessageCommit,
  duplicateOf: string | undefined,
): Unit {
  const appends = buildAppends(commit, duplicateOf)
  const claims: Claim[] = commit.claims.map((claim) => ({ ...claim, append: 0 }))
  commit.events.forEach((event, append) => {
    const claim = factClaim(context, event, commit.origin.appendedAtMs)
    if (claim) claims.push({ ...claim, append })
  })
  return { claims, appends, ...(commit.rows && { rows: commit.rows }) }
}

function buildAppends(commit: MessageCommit, duplicateOf: string | undefined): readonly Append[] {
  const { origin, events, border, receiptLog } = commit
  if (events.length > 0) {
    return events.map((event, index) =>
      eventAppend(origin, event, { index, border: index === 0 ? border : undefined }),
    )
  }
  if (!border || !receiptLog) return []
  const receipt: Receipt = duplicateOf === undefined ? border.receipt : { ...border.receipt, duplicateOf }
  return [receiptAppend(origin, { ...border, receipt }, receiptLog)]
}

function factClaim(
  context: InboxContext,
  event: PreparedEvent,
  nowMs: number,
): Omit<Claim, 'append'> | undefined {
  const { contract, factKey } = event
  if (!contract.fact || factKey === undefined) return undefined
  const scope = salted(factScope(context.tenant, contract), event.factSalt)
  return { scope, key: factKey, expiresAtMs: nowMs + contract.fact.retentionMs }
}

async function dropKnownFacts(
  context: InboxContext,
  events: readonly PreparedEvent[],
): Promise<{ readonly events: readonly PreparedEvent[]; readonly duplicateOf: string | undefined }> {
  const fresh: PreparedEvent[] = []
  let duplicateOf: string | undefined
  for (const event of events) {
    const claim = factClaim(context, event, 0)
    const position = claim && (await context.store.claimedPosition(claim.scope, claim.key))
    if (position === undefined) {
      fresh.push(event)
      continue
    }
    const record = await readRecordAt(context.store, position)
    if (record && !mayBeSameFact(record, event)) {
      fresh.push({ ...event, factSalt: event.factSalt + 1 })
      continue
    }
    duplicateOf ??= record ? messageIdOf(record) : 'unknown'
  }
  return { events: fresh, duplicateOf }
}

/** Data of an older version that cannot be lifted any more counts as the same: no second effect. */
function mayBeSameFact(...[record, event]: Parameters<typeof isSameFact>): boolean {
  try {
    return isSameFact(record, event)
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_UPCAST_FAILED')) return true
    throw error
  }
}
