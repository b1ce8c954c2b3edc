import { assert } from '../kernel/index.ts'

/**
 * How far a relay has come in an outbox table: every number up to `head` is moved or will never be
 * written, except those in the gaps.
 *
 * Numbers are drawn before a transaction commits, so they become visible out of order, and those of
 * a transaction that is rolled back never do. Who reads `seq > last` skips the row of a transaction
 * that began earlier and commits later. Here a number that is missing is a *gap*: what is behind
 * it is moved all the same, and the gap is looked at again in every read, until it is known that
 * nobody can fill it.
 *
 * When that is: a transaction draws its own id before a number (the column's default sees to it).
 * So after a gap was seen, the relay draws an id too, the *fence*. Whoever holds the missing number
 * has an id below it. Once a snapshot says that everything below the fence has ended, and the same
 * snapshot does not show the number, it will never come. The upper end of a snapshot would be the
 * wrong fence: it lies behind the last transaction that has *ended*, and one that began before the
 * gap was seen may lie above it.
 */
export interface OutboxCursor {
  /** The highest number moved. */
  readonly head: number
  /** Ascending, apart from each other, all below `head`. */
  readonly gaps: readonly OutboxGap[]
}

/** Numbers that were drawn and are not visible; both ends included. */
export interface OutboxGap {
  readonly from: number
  readonly to: number
  /** Transaction id above that of whoever may fill it; null until it was drawn. */
  readonly fence: number | null
  readonly sinceMs: number
}

/** What one snapshot of the table showed beyond a cursor, from the lowest number on. */
export interface OutboxView {
  /** Ascending: numbers in gaps, and above `head`. */
  readonly numbers: readonly number[]
  /** Nothing was left out behind the last of `numbers`. */
  readonly isComplete: boolean
  /**
   * Every transaction with a lower id had ended before the snapshot. Infinity where writers take
   * turns, so that a number which is missing was never committed.
   */
  readonly endedBelow: number
}

export interface Advanced {
  readonly cursor: OutboxCursor
  /** How many of the view's numbers count as moved: all, unless there would be too many gaps. */
  readonly taken: number
}

export const NEW_CURSOR: OutboxCursor = { head: 0, gaps: [] }

/** Everything at or below it is moved, or will never be written. */
export const watermarkOf = ({ head, gaps }: OutboxCursor): number =>
  gaps[0] ? gaps[0].from - 1 : head

/** Whether some gap that was seen by then has no fence yet. */
export const needsFence = ({ gaps }: OutboxCursor, seenByMs: number): boolean =>
  gaps.some(({ fence, sinceMs }) => fence === null && sinceMs <= seenByMs)

/** Sets the fence of the gaps that have none; it was drawn after they were seen. */
export const fenceGaps = (cursor: OutboxCursor, fence: number): OutboxCursor => ({
  ...cursor,
  gaps: cursor.gaps.map((gap) => (gap.fence === null ? { ...gap, fence } : gap)),
})

/**
 * The cursor once the numbers of a view are moved. New gaps are opened for those that are missing
 * in it, and gaps are closed that nobody can fill any more. At most `gapsMax` gaps: what would open
 * one more is left for later, so that neither memory nor the reading of gaps grows without end.
 */
export const advance = (
  cursor: OutboxCursor,
  view: OutboxView,
  { nowMs, gapsMax }: { readonly nowMs: number; readonly gapsMax: number },
): Advanced => {
  const { numbers, isComplete, endedBelow } = view
  const gaps: OutboxGap[] = []
  let taken = 0
  const takeUpTo = (limit: number): void => {
    while ((numbers[taken] ?? Infinity) <= limit) taken += 1
  }
  // What lies behind the last number was not looked at, unless the view is complete.
  const seenTo = isComplete ? Infinity : (numbers.at(-1) ?? 0)
  for (const gap of cursor.gaps) {
    const first = taken
    takeUpTo(gap.to)
    const isOver = gap.fence !== null && gap.fence <= endedBelow
    for (const piece of without(gap, numbers.slice(first, taken))) {
      if (!isOver || piece.from > seenTo) gaps.push(piece)
      else if (piece.to > seenTo) gaps.push({ ...piece, from: seenTo + 1 })
    }
  }
  let { head } = cursor
  for (; taken < numbers.length; taken++) {
    const number = numbers[taken] ?? head
    assert(number > head, 'a view shows what lies in gaps or above the head, in order')
    if (number > head + 1 && endedBelow !== Infinity) {
      if (gaps.length >= gapsMax) break
      gaps.push({ from: head + 1, to: number - 1, fence: null, sinceMs: nowMs })
    }
    head = number
  }
  return { cursor: { head, gaps }, taken }
}

/** What is left of a gap without some numbers in it. */
function without(gap: OutboxGap, filled: readonly number[]): readonly OutboxGap[] {
  const pieces: OutboxGap[] = []
  let { from } = gap
  for (const number of filled) {
    assert(number >= from, 'what a view shows between gaps was moved before')
    if (number > from) pieces.push({ ...gap, from, to: number - 1 })
    from = number + 1
  }
  if (from <= gap.to) pieces.push({ ...gap, from })
  return pieces
}
