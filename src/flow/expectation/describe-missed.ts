import type { Correlated, Expectation } from '../../contract/index.ts'
import { formatDuration, LIMITS } from '../../kernel/index.ts'
import type { ExpectationRow } from '../../store/index.ts'

/** What an owner reads first: what is missing, of which keys, what was seen, who should act. */
export const describeMissed = (
  expectation: Expectation,
  actors: readonly string[],
  missed: readonly Pick<ExpectationRow, 'key' | 'type' | 'messageId'>[],
): string => {
  const { expect, after, withinMs } = expectation
  const what = `no ${namesOf(expect)} within ${formatDuration(withinMs)} of ${namesOf(after)}`
  const who = actors.length > 0 ? `; ${actors.join(', ')} should have acted` : ''
  const [first] = missed
  if (missed.length === 1 && first) {
    return `${what} for ${quoted(first.key)}${who}; last seen ${first.messageId}`
  }
  const keys = missed.slice(0, LIMITS.expectationExamplesMax).map(({ key }) => quoted(key))
  return `${what} for ${missed.length} keys, such as ${keys.join(', ')}${who}`
}

const namesOf = (list: readonly Correlated[]): string =>
  list.map(({ contract }) => contract.name).join(' or ')

/** A key is whatever a partner sent. */
const quoted = (key: string): string =>
  JSON.stringify(key.length > KEY_CHARS_MAX ? `${key.slice(0, KEY_CHARS_MAX)}…` : key)

const KEY_CHARS_MAX = 40
