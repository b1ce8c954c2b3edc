import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { TopicState } from '../transport/index.ts'
import { beginTopic, isMoved, meetTopic, moveCursor, type TopicCursor } from './topic-cursor.ts'

const source = { name: 'payments', engine: 'kafka', resource: 'payments.events' } as const

const stateOf = (
  spans: Readonly<Record<string, readonly [number, number]>>,
  incarnation = 'one',
): TopicState => ({
  incarnation,
  partitions: Object.fromEntries(
    Object.entries(spans).map(([name, [first, next]]) => [
      name,
      { first: String(first), next: String(next) },
    ]),
  ),
})

const cursorAt = (next: Readonly<Record<string, string>>): TopicCursor => ({
  engine: 'kafka',
  resource: 'payments.events',
  incarnation: 'one',
  era: 0,
  next,
  lost: 0,
})

describe('the first start', () => {
  test('is at what is kept, or at what comes', () => {
    const state = stateOf({ 0: [5, 9], 1: [0, 0] })

    expect(beginTopic({ ...source, startAt: 'earliest' }, state).next).toEqual({ 0: '5', 1: '0' })
    expect(beginTopic({ ...source, startAt: 'now' }, state).next).toEqual({ 0: '9', 1: '0' })
  })
})

describe('a later start', () => {
  test('counts what the retention has passed, over all partitions', () => {
    const { cursor, loss } = meetTopic(
      source,
      cursorAt({ 0: '3', 1: '7' }),
      stateOf({ 0: [5, 9], 1: [10, 12] }),
    )

    expect(loss).toEqual({ kind: 'retention', offsets: 5, partitions: ['0', '1'] })
    expect(cursor).toMatchObject({ next: { 0: '5', 1: '10' }, lost: 5 })
  })

  test('goes on at the end of a topic that lost its end, and says so', () => {
    const { cursor, loss } = meetTopic(source, cursorAt({ 0: '9' }), stateOf({ 0: [0, 4] }))

    expect(loss).toEqual({ kind: 'end', offsets: 5, partitions: ['0'] })
    expect(cursor.next).toEqual({ 0: '4' })
  })

  test('begins anew in another topic of that name, whose places are other messages', () => {
    const { cursor, loss } = meetTopic(source, cursorAt({ 0: '9' }), stateOf({ 0: [0, 40] }, 'two'))

    expect(loss).toMatchObject({ kind: 'replaced' })
    expect(cursor).toMatchObject({ incarnation: 'two', era: 1, next: { 0: '0' } })
  })

  test('reads a partition that was added from its beginning, also where it began with now', () => {
    const { cursor, loss } = meetTopic(
      source,
      cursorAt({ 0: '9' }),
      stateOf({ 0: [0, 9], 1: [0, 3] }),
    )

    expect(loss).toBeUndefined()
    expect(cursor.next).toEqual({ 0: '9', 1: '0' })
  })

  test('refuses a name that stands for another topic', () => {
    const other = { ...source, resource: 'orders.events' }

    expect(() => meetTopic(other, cursorAt({}), stateOf({}))).toThrow(/JUNCTURA|another name/)
  })

  test('never skips what is there, nor reads again what was moved', () => {
    const offset = fc.integer({ min: 0, max: 50 })
    fc.assert(
      fc.property(offset, offset, offset, (place, one, other) => {
        const [first, next] = one < other ? [one, other] : [other, one]
        const met = meetTopic(source, cursorAt({ 0: String(place) }), stateOf({ 0: [first, next] }))
        const to = Number(met.cursor.next['0'])
        expect(to).toBe(Math.min(Math.max(place, first), next))
        expect(met.loss === undefined).toBe(to === place)
      }),
    )
  })
})

test('a place is behind what was moved, and beyond the precision of numbers', () => {
  const offset = '9007199254740993'
  const moved = moveCursor(cursorAt({ 0: '0' }), [{ partition: 0, offset }])

  expect(moved.next).toEqual({ 0: '9007199254740994' })
  expect(isMoved(moved, { partition: 0, offset })).toBe(true)
  expect(isMoved(moved, { partition: 0, offset: '9007199254740994' })).toBe(false)
  expect(isMoved(moved, { partition: 1, offset: '0' })).toBe(false)
})
