import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSeededRandom } from '../kernel/index.ts'
import { advance, fenceGaps, NEW_CURSOR, type OutboxCursor, watermarkOf } from './cursor.ts'
import { TableModel } from './table-model.fixture.ts'

interface Trial {
  readonly model: TableModel
  readonly moved: readonly number[]
  readonly cursor: OutboxCursor
}

type Relay = (
  model: TableModel,
  limit: number,
) => { read(): readonly number[]; cursor(): OutboxCursor }

const relay: Relay = (model, limit) => relayWith(model, limit, () => model.fence())

/** As `relay`, with some way to tell when a gap is over. */
function relayWith(model: TableModel, limit: number, drawFence: () => number): ReturnType<Relay> {
  let cursor = NEW_CURSOR
  return {
    cursor: () => cursor,
    read() {
      const view = model.view(cursor, limit)
      const result = advance(cursor, view, { nowMs: 0, gapsMax: 50 })
      cursor = fenceGaps(result.cursor, drawFence())
      return view.numbers.slice(0, result.taken)
    },
  }
}

/** Reads what lies behind the last one it has seen. */
const naive: Relay = (model, limit) => {
  let cursor: OutboxCursor = NEW_CURSOR
  return {
    cursor: () => cursor,
    read() {
      const { numbers } = model.view(cursor, limit)
      cursor = { head: numbers.at(-1) ?? cursor.head, gaps: [] }
      return numbers
    },
  }
}

/** Takes the upper end of the snapshot in which a gap was seen for its fence. */
const endOfSnapshot: Relay = (model, limit) => {
  let end = 0
  const made = relayWith(model, limit, () => end)
  return {
    cursor: made.cursor,
    read() {
      end = model.snapshotEnd
      return made.read()
    },
  }
}

function tryOut(
  make: Relay,
  { seed, limit }: { readonly seed: number; readonly limit: number },
): Trial {
  const random = createSeededRandom(seed)
  const model = new TableModel(random)
  const one = make(model, limit)
  const moved: number[] = []
  for (let step = 0; step < 300; step++) {
    if (random.next() < 0.3) moved.push(...one.read())
    else model.step()
  }
  model.endAll()
  for (let round = 0; round < 400; round++) moved.push(...one.read())
  return { model, moved, cursor: one.cursor() }
}

const ascending = (numbers: readonly number[]): readonly number[] =>
  numbers.toSorted((a, b) => a - b)

const isWhole = ({ model, moved }: Trial): boolean =>
  JSON.stringify(ascending(moved)) === JSON.stringify(ascending(model.committed))

const someTrial = fc.record({
  seed: fc.integer({ min: 1, max: 1e9 }),
  limit: fc.integer({ min: 1, max: 20 }),
})

describe('whatever transactions overlap, commit and roll back', () => {
  test('every committed number is moved once, and no other (M7, F83)', () => {
    fc.assert(
      fc.property(someTrial, (options) => {
        const { model, moved } = tryOut(relay, options)

        expect(ascending(moved)).toEqual(ascending(model.committed))
      }),
      { numRuns: 500 },
    )
  })

  test('numbers of transactions that wait for each other are moved in the order of commits (M6)', () => {
    fc.assert(
      fc.property(someTrial, (options) => {
        const { model, moved } = tryOut(relay, options)

        for (const [key, numbers] of model.ordered) {
          expect(moved.filter((number) => model.keyOf.get(number) === key)).toEqual(numbers)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('no gap is left once everything has ended', () => {
    fc.assert(
      fc.property(someTrial, (options) => {
        const { cursor } = tryOut(relay, options)

        expect(cursor.gaps).toEqual([])
        expect(watermarkOf(cursor)).toBe(cursor.head)
      }),
      { numRuns: 200 },
    )
  })

  test.each([
    ['reading what lies behind the last number', naive],
    ['closing a gap by the end of the snapshot that showed it', endOfSnapshot],
  ])('%s loses rows, and this test sees it', (_, wrong) => {
    const seeds = Array.from({ length: 300 }, (_none, at) => at + 1)

    const lost = seeds.filter((seed) => !isWhole(tryOut(wrong, { seed, limit: 10 })))

    expect(lost.length).toBeGreaterThan(0)
  })
})

describe('a gap', () => {
  const limits = { nowMs: 7, gapsMax: 3 }

  test('does not hold back what is behind it', () => {
    const view = { numbers: [1, 3, 4], isComplete: true, endedBelow: 5 }

    const { cursor, taken } = advance(NEW_CURSOR, view, limits)

    expect(taken).toBe(3)
    expect(cursor).toEqual({ head: 4, gaps: [{ from: 2, to: 2, fence: null, sinceMs: 7 }] })
    expect(watermarkOf(cursor)).toBe(1)
  })

  test('stays while a neighbour that began before its fence is open, however long', () => {
    const model = new TableModel(createSeededRandom(1))
    const neighbour = model.neighbour()
    const gap = { from: 2, to: 2, fence: model.fence(), sinceMs: 0 }
    const look = (): OutboxCursor =>
      advance({ head: 4, gaps: [gap] }, model.view({ head: 4, gaps: [gap] }, 9), limits).cursor

    expect(look().gaps).toHaveLength(1)

    neighbour.end()
    model.fence()
    expect(look().gaps).toHaveLength(0)
  })

  test('is closed only as far as a page that was cut has looked', () => {
    const gap = { from: 2, to: 9, fence: 5, sinceMs: 0 }
    const view = { numbers: [4], isComplete: false, endedBelow: 6 }

    const { cursor } = advance({ head: 10, gaps: [gap] }, view, limits)

    expect(cursor.gaps).toEqual([{ ...gap, from: 5 }])
  })

  test('beyond the maximum is not opened: the row behind it waits', () => {
    const view = { numbers: [2, 4, 6, 8, 9], isComplete: true, endedBelow: 1 }

    const { cursor, taken } = advance(NEW_CURSOR, view, limits)

    expect(taken).toBe(3)
    expect(cursor.head).toBe(6)
    expect(cursor.gaps).toHaveLength(3)
  })

  test('is none where writers take turns', () => {
    const view = { numbers: [1, 3], isComplete: true, endedBelow: Infinity }

    expect(advance(NEW_CURSOR, view, limits).cursor).toEqual({ head: 3, gaps: [] })
  })
})
