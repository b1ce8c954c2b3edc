import { isCommand } from '../../contract/index.ts'
import { type ResolvedRetryPolicy, resolveRetryPolicy, retryPresets } from '../../policy/index.ts'
import { isUndo, type SagaEntry } from './saga-run.ts'
import type { Turn } from './turn.ts'

const ONCE = resolveRetryPolicy(retryPresets.none, 'a saga')

/** Of an effect that says nothing: five attempts within about a minute. */
export const EFFECT_RETRY: ResolvedRetryPolicy = resolveRetryPolicy(
  { attempts: 5, first: '1s', factor: 3, max: '30s' },
  'a saga',
)

/** What takes something back tries for about half an hour before it asks for a person. */
export const UNDO_RETRY: ResolvedRetryPolicy = resolveRetryPolicy(
  { attempts: 10, first: '1s', factor: 3, max: '5m' },
  'a saga',
)

/** How often a command is asked again. */
export const retryOfCall = (turn: Turn, entry: SagaEntry): ResolvedRetryPolicy => {
  const contract = entry.contract === undefined ? undefined : turn.contractOf(entry.contract)
  const own = contract && isCommand(contract) ? contract.answers.retry : undefined
  return own ?? (isUndo(entry) ? UNDO_RETRY : ONCE)
}

export const timeoutOfCall = (turn: Turn, entry: SagaEntry): number | undefined => {
  const contract = entry.contract === undefined ? undefined : turn.contractOf(entry.contract)
  return contract && isCommand(contract) ? contract.answers.timeoutMs : undefined
}
