import { assert, integer, property, array, record, constantFrom } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FetchWindow, FINISHED, WAITING } from './fetch-window.ts'

describe('the window of what is fetched', () => {
  it('is what a list of entries would be, while it grows and its front is let go', () => {
    const step = record({
      kind: constantFrom('push', 'finish', 'drop'),
      gap: integer({ min: 1, max: 3 }),
      at: integer({ min: 0, max: 400 }),
    })
    assert(
      property(array(step, { maxLength: 600, size: 'max' }), (steps) => {
        const window = new FetchWindow()
        let list: { position: number; state: number }[] = []
        let position = 0
        for (const { kind, gap, at } of steps) {
          if (kind === 'push') {
            position += gap
            window.push({ position, atMs: position * 10, bytes: position * 2, state: WAITING })
            list.push({ position, state: WAITING })
          } else if (kind === 'finish') {
            const entry = list[at % Math.max(1, list.length)]
            if (!entry) continue
            entry.state = FINISHED
            window.setState(window.find(entry.position), FINISHED)
          } else {
            window.dropFinished()
            const first = list.findIndex(({ state }) => state === WAITING)
            list = first < 0 ? [] : list.slice(first)
          }
        }
        expect(window.size).toBe(list.length)
        for (const entry of list) {
          const place = window.find(entry.position)
          expect(window.position(place)).toBe(entry.position)
          expect(window.state(place)).toBe(entry.state)
          expect([window.atMs(place), window.bytes(place)]).toEqual([
            entry.position * 10,
            entry.position * 2,
          ])
        }
        const known = new Set(list.map((entry) => entry.position))
        for (let other = 0; other <= position + 2; other++) {
          if (!known.has(other)) expect(window.find(other)).toBe(-1)
        }
      }),
      { numRuns: 60 },
    )
  })
})
