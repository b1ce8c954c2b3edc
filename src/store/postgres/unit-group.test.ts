import { describe, expect, it } from 'vitest'
import { claimId, createUnitGroup } from './unit-group.ts'

const append = { channel: 'orders', slot: 0, atMs: 0, bytes: new Uint8Array() }
const claim = { scope: 's', key: 'k', expiresAtMs: 10, append: 0 }

describe('a group of units', () => {
  it('knows a key that a unit before has claimed, at the position it will have', () => {
    const group = createUnitGroup({ head: 41, taken: new Map(), present: new Set() })

    expect(group.refusalOf({ claims: [claim] })).toBeUndefined()
    expect(group.add([claim], { appends: [append], rows: [] })).toEqual({
      status: 'committed',
      positions: [42],
    })

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

  it('leaves out a record whose key it learned to be taken meanwhile', () => {
    const group = createUnitGroup({ head: 7, taken: new Map(), present: new Set() })
    const { scope, key, expiresAtMs } = claim
    const own = { ...append, claim: { scope, key, expiresAtMs } }
    group.learn(new Map([[claimId(claim), 3]]))

    expect(group.add([], { appends: [append, own], rows: [] })).toEqual({
      status: 'committed',
      positions: [8, 3],
      leftOut: [1],
    })
    expect([group.head, group.claims.length]).toEqual([8, 0])
  })

  it('gives the same positions again when it is made again: nobody has seen them', () => {
    const start = { head: 7, taken: new Map(), present: new Set<string>() }
    const once = createUnitGroup(start).add([], { appends: [append], rows: [] })
    const again = createUnitGroup(start).add([], { appends: [append], rows: [] })

    expect(again).toEqual(once)
  })
})
