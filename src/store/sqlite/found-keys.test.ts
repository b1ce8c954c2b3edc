import { describe, expect, it } from 'vitest'
import { FoundKeys } from './found-keys.ts'

const key = (...words: readonly number[]): Uint32Array => Uint32Array.from(words)

describe('keys that were found', () => {
  it('gives the position for as long as the key is held', () => {
    const found = new FoundKeys()
    const position = 2 ** 40 + 7
    const expiresAtMs = 1_790_000_000_123

    found.add(key(1, 2, 3), position, expiresAtMs)

    expect(found.find(key(1, 2, 3), expiresAtMs - 1)).toBe(position)
    expect(found.find(key(1, 2, 3), expiresAtMs)).toBeUndefined()
  })

  it('takes no other key for it, whichever word differs', () => {
    const found = new FoundKeys()
    found.add(key(1, 2, 3), 9, 100)

    for (const other of [key(2, 2, 3), key(1, 2 + 16_384, 3), key(1, 2, 4), key(0, 0, 0)]) {
      expect(found.find(other, 0)).toBeUndefined()
    }
  })

  it('keeps the later of two that share a place', () => {
    const found = new FoundKeys()
    found.add(key(1, 2, 3), 9, 100)
    found.add(key(4, 2 + 16_384, 6), 10, 100)

    expect(found.find(key(1, 2, 3), 0)).toBeUndefined()
    expect(found.find(key(4, 2 + 16_384, 6), 0)).toBe(10)
  })

  it('finds nothing before anything was found', () => {
    expect(new FoundKeys().find(key(0, 0, 0), 0)).toBeUndefined()
  })
})
