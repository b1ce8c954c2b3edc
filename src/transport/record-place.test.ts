import { describe, expect, it } from 'vitest'
import { SLOT_COUNT } from '../contract/index.ts'
import type { RecordBookmark, RelayedTo } from '../store/index.ts'
import {
  beginRecord,
  firstSlotOf,
  isNewOf,
  meetRecord,
  meetRelayed,
  offsetAfter,
  placeOfSlot,
  positionOf,
} from './record-place.ts'

const fresh: RecordBookmark = { incarnation: 'a', spans: [], relayed: {} }
const stateOf = (first: number, next: number, incarnation = 'a') => ({
  incarnation,
  partitions: { '0': { first: String(first), next: String(next) } },
})

describe('a place in a topic as a position', () => {
  it.each([1, 3, 8, 12, 64])('gives each of %i partitions its slots, and all of them', (count) => {
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const partition = placeOfSlot(slot, count)
      expect(partition).toBeLessThan(count)
      expect(firstSlotOf(partition, count)).toBeLessThanOrEqual(slot)
      if (partition < count - 1) expect(firstSlotOf(partition + 1, count)).toBeGreaterThan(slot)
    }
  })

  it('finds the offset behind a position, also one that was never given', () => {
    for (const firstSlot of [0, 8, 63]) {
      expect(offsetAfter(fresh, 0, firstSlot)).toBe(0)
      for (const offset of [0, 1, 77]) {
        const position = positionOf(fresh, offset, firstSlot)
        expect(position).toBeGreaterThan(0)
        expect(offsetAfter(fresh, position, firstSlot)).toBe(offset + 1)
        expect(offsetAfter(fresh, position - 1, firstSlot)).toBe(offset)
      }
    }
  })

  it('begins behind what is there, or with the oldest that is kept', () => {
    const place = { partition: 0, firstSlot: 8 }
    const now = beginRecord('now', stateOf(5, 9), place)
    const earliest = beginRecord('earliest', stateOf(5, 9), place)

    expect(offsetAfter(now.bookmark, now.watermark, 8)).toBe(9)
    expect(offsetAfter(earliest.bookmark, earliest.watermark, 8)).toBe(5)
  })
})

describe('a topic that is not as it was (F12)', () => {
  it('goes on where it was in one that is', () => {
    const place = { next: 7, usedTo: positionOf(fresh, 6, 0) }

    expect(meetRecord(fresh, place, { state: stateOf(0, 9), partition: 0 })).toEqual({
      bookmark: fresh,
      next: 7,
    })
  })

  it('counts what retention has passed and goes on behind it', () => {
    const place = { next: 7, usedTo: positionOf(fresh, 6, 0) }

    const met = meetRecord(fresh, place, { state: stateOf(10, 20), partition: 0 })

    expect(met).toMatchObject({ next: 10, loss: { kind: 'retention', offsets: 3 } })
  })

  it('gives positions anew only behind all that were given when it was made again', () => {
    const usedTo = positionOf(fresh, 50, 8)

    const met = meetRecord(fresh, { next: 40, usedTo }, { state: stateOf(0, 2, 'b'), partition: 0 })

    expect(met).toMatchObject({ next: 0, loss: { kind: 'replaced' } })
    expect(positionOf(met.bookmark, 0, 8)).toBeGreaterThan(usedTo)
    expect(offsetAfter(met.bookmark, positionOf(fresh, 39, 8), 8)).toBe(0)
    expect(offsetAfter(met.bookmark, positionOf(met.bookmark, 1, 8), 8)).toBe(2)
  })

  it('takes what is written behind a lost end as new, and what is before it as it was', () => {
    const place = { next: 100, usedTo: positionOf(fresh, 99, 0) }

    const met = meetRecord(fresh, place, { state: stateOf(0, 90), partition: 0 })

    expect(met).toMatchObject({ next: 90, loss: { kind: 'end', offsets: 10 } })
    expect(positionOf(met.bookmark, 90, 0)).toBeGreaterThan(positionOf(fresh, 99, 0))
    expect(positionOf(met.bookmark, 89, 0)).toBe(positionOf(fresh, 89, 0))
    // A watermark from before: what lies between is wanted once, under its own positions.
    expect(offsetAfter(met.bookmark, positionOf(fresh, 85, 0), 0)).toBe(86)
    expect(offsetAfter(met.bookmark, positionOf(fresh, 95, 0), 0)).toBe(90)
    expect(offsetAfter(met.bookmark, positionOf(met.bookmark, 90, 0), 0)).toBe(91)
  })
})

describe('a topic whose lost end a reader had handled in part (F12)', () => {
  const doneTo = positionOf(fresh, 99, 0)
  const place = { next: 80, usedTo: doneTo, seenTo: offsetAfter(fresh, doneTo, 0) }

  it('tells of the loss and gives what is written anew no position that is done', () => {
    const met = meetRecord(fresh, place, { state: stateOf(0, 90), partition: 0 })

    expect(met).toMatchObject({ next: 80, loss: { kind: 'end', offsets: 10 } })
    expect(positionOf(met.bookmark, 89, 0)).toBe(positionOf(fresh, 89, 0))
    expect(positionOf(met.bookmark, 90, 0)).toBeGreaterThan(doneTo)
    // Once: a start from the same row finds the end where it was met.
    expect(offsetAfter(met.bookmark, doneTo, 0)).toBe(90)
  })

  it('tells nothing while all of it is there', () => {
    expect(meetRecord(fresh, place, { state: stateOf(0, 100), partition: 0 })).toEqual({
      bookmark: fresh,
      next: 80,
    })
  })
})

describe('what relays repeat', () => {
  const isNew = (known: RelayedTo | undefined, met: RelayedTo): boolean =>
    isNewOf(known, meetRelayed(known, met))

  it('is left out, whichever run of the relay repeats it', () => {
    const known = { turn: 2, position: 10 }

    expect(isNew(undefined, known)).toBe(true)
    expect(isNew(known, { turn: 2, position: 11 })).toBe(true)
    expect(isNew(known, { turn: 2, position: 10 })).toBe(false)
    expect(isNew(known, { turn: 3, position: 9 })).toBe(false)
    expect(isNew(known, { turn: 3, position: 12 })).toBe(true)
  })

  it('does not let a relay that was replaced hide what the newer one still brings (M27)', () => {
    const known = meetRelayed({ turn: 2, position: 5 }, { turn: 3, position: 4 })
    const zombie = meetRelayed(known, { turn: 2, position: 50 })

    expect(isNewOf(known, zombie)).toBe(false)
    expect(isNew(zombie, { turn: 3, position: 6 })).toBe(true)
  })
})
