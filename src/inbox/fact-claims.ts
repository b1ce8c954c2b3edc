import { isJuncturaError } from '../kernel/index.ts'
import type { Claim } from '../store/index.ts'
import type { InboxContext } from './inbox-context.ts'
import { factScope, salted } from './message-keys.ts'
import type { PreparedEvent } from './prepare-event.ts'
import { readRecordAt } from './read-record-at.ts'
import { isSameFact, messageIdOf } from './repeat-verdict.ts'

/** The claim of an event's own identity, where its contract says what names the fact. */
export const factClaim = (
  context: InboxContext,
  event: PreparedEvent,
  nowMs: number,
): Omit<Claim, 'append'> | undefined => {
  const { contract, factKey } = event
  if (!contract.fact || factKey === undefined) return undefined
  const scope = salted(factScope(context.tenant, contract), event.factSalt)
  return { scope, key: factKey, expiresAtMs: nowMs + contract.fact.retentionMs }
}

export interface FreshFacts {
  /** Those whose fact is not in the log; another fingerprint's neighbour moved to its next salt. */
  readonly events: readonly PreparedEvent[]
  /** For each event left out, the message that carried its fact first. */
  readonly known: ReadonlyMap<PreparedEvent, string>
}

/** Sorts out the events whose fact the log holds already. */
export const dropKnownFacts = async (
  context: InboxContext,
  events: readonly PreparedEvent[],
): Promise<FreshFacts> => {
  const fresh: PreparedEvent[] = []
  const known = new Map<PreparedEvent, string>()
  for (const event of events) {
    const claim = factClaim(context, event, 0)
    const position = claim && (await context.store.claimedPosition(claim.scope, claim.key))
    if (position === undefined) {
      fresh.push(event)
      continue
    }
    const record = await readRecordAt(context.store, position)
    if (record && !mayBeSameFact(record, event, context.book)) {
      event.factSalt++
      fresh.push(event)
    } else known.set(event, record ? messageIdOf(record) : 'unknown')
  }
  return { events: fresh, known }
}

/** Data of an older version that cannot be lifted any more counts as the same: no second effect. */
function mayBeSameFact(...compared: Parameters<typeof isSameFact>): boolean {
  try {
    return isSameFact(...compared)
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_UPCAST_FAILED')) return true
    throw error
  }
}
