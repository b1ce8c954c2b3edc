import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import type { ProgressRow } from '../store/index.ts'
import { ConsumerProgress, createProgressBook } from './progress.ts'

const CLAIM_AHEAD = 256

const open = (fetched: number) => {
  const row: ProgressRow = {
    consumer: 'c',
    channel: 'orders',
    slots: '0-63',
    watermark: 0,
    done: [],
    claimedTo: 0,
    epoch: 1,
  }
  const progress = new ConsumerProgress(row, {
    epoch: 1,
    claimAhead: CLAIM_AHEAD,
    onApplied: () => undefined,
  })
  const book = createProgressBook()
  book.add(progress)
  for (let position = 1; position <= fetched; position++) progress.fetched(position, 1, 10)
  const commit = (positions: readonly number[]): void => {
    const marks = [{ consumer: 'c', positions }]
    book.preview(marks)
    book.apply(marks)
  }
  return { progress, commit }
}

const claimedAhead = (progress: ConsumerProgress, from: number): number => {
  let ahead = 0
  while (progress.isClaimed(from + ahead + 1)) ahead += 1
  return ahead
}

describe('the progress of a consumer', () => {
  it('finishes all positions of one mark, in whatever order they stand', () => {
    const { progress, commit } = open(5)

    commit([3, 1, 2, 5])

    expect(progress.watermark).toBe(3)
    expect(progress.unfinished).toBe(1)
    expect(progress.bytesHeld).toBe(10)
    expect([4, 5].map((position) => progress.isFinished(position))).toEqual([false, true])
  })

  it('claims little for who starts little, and twice what was started for who is behind', () => {
    const { progress, commit } = open(LIMITS.fetchWindowMax)

    commit([])
    expect(claimedAhead(progress, 0)).toBe(CLAIM_AHEAD)

    progress.wantClaim(1_000)
    commit([])
    expect(claimedAhead(progress, 1_000)).toBe(2_000)
  })
})
