import { createHash } from 'node:crypto'
import { contractsOf, type Expectation } from '../../contract/index.ts'
import { LIMITS, utf8Length } from '../../kernel/index.ts'
import type {
  ExpectationCursorRow,
  ExpectationRow,
  ExpectationTotals,
  RowWrite,
} from '../../store/index.ts'

export const NO_TOTALS: ExpectationTotals = {
  opened: 0,
  met: 0,
  late: 0,
  undone: 0,
  missed: 0,
  unexpected: 0,
  unreadable: 0,
}

/** Of the alert of an expectation: there is one for all its keys. */
export const missedCause = (expectation: string): string => `expectation/${expectation}`

/** Of the alert that messages cannot be told apart. */
export const unreadableCause = (expectation: string): string =>
  `expectation-unreadable/${expectation}`

/**
 * The key of a row. Where a contract has personal data the key may be some, and row keys are shown
 * as page marks; so it is a digest there, the same for all contracts of the expectation.
 */
export const rowKeyOf = (expectation: Expectation): ((key: string) => string) => {
  const isPersonal = contractsOf(expectation).some(({ pii }) => pii.length > 0)
  const { name } = expectation
  return (key) => {
    const isPlain = !isPersonal && utf8Length(key) <= LIMITS.keyBytesMax
    return `${name}\n${isPlain ? key : digestOf(key)}`
  }
}

const digestOf = (key: string): string => `#${createHash('sha256').update(key).digest('base64url')}`

export const expectationWrite = (key: string, row: ExpectationRow | undefined): RowWrite => ({
  collection: 'expectations',
  key,
  row,
})

/**
 * What an expectation's clock says when the wall says `wallMs`, going on from its row: time in
 * which nothing ran counts, as the wall measured it; jumps of the wall while it ran do not.
 */
export const clockAt = (
  row: Pick<ExpectationCursorRow, 'clockMs' | 'wallMs'>,
  wallMs: number,
): number => row.clockMs + Math.max(0, wallMs - row.wallMs)
