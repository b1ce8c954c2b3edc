import { describe, expect, it } from 'vitest'
import { createUnitGroup } from './unit-group.ts'

const append = { channel: 'orders', slot: 0, atMs: 0, bytes: new Uint8Array() }
const claim = { scope: 's', key: 'k', expiresAtMs: 10, append: 0 }

describe('a group of units', () => {
  it('knows a key that a unit before has claimed, at the position it will have', () => {
    const group = createUnitGroup({ head: 41, taken: new Map(), present: new Set() })

    expect(group.refusalOf({ claims: [claim] })).toBeUndefined()
    expect(group.add([claim], { appends: [append], rows: [] })).toEqual([42])

    expect(group.refusalOf({ claims: [claim] })).toEqual({
      status: 'duplicate',
      claim: 0,
      position: 42,
    })
    expect(group.head).toBe(42)
  })

  it('lets a key stand for its first record when a unit names it twice', () => {
    const group = createUnitGroup({ head: 0, taken: new Map(), present: new Set() })

    group.add([claim, { ...claim, append: 1 }], { appends: [append, append], rows: [] })

    expect(group.claims.map(({ position }) => position)).toEqual([1])
  })

  it('gives the same positions again when it is made again: nobody has seen them', () => {
    const start = { head: 7, taken: new Map(), present: new Set<string>() }
    const once = createUnitGroup(start).add([], { appends: [append], rows: [] })
    const again = createUnitGroup(start).add([], { appends: [append], rows: [] })

    expect(again).toEqual(once)
  })
})
