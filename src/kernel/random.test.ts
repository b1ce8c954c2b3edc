import { describe, expect, it } from 'vitest'
import { createSeededRandom, createSystemRandom } from './random.ts'

describe('random', () => {
  it('gives every byte of its pool once, and never the same again', () => {
    const random = createSystemRandom()
    const seen = new Set<string>()
    for (let count = 0; count < 5_000; count++) {
      seen.add(Buffer.from(random.bytes(16)).toString('hex'))
    }

    expect(seen.size).toBe(5_000)
    expect(random.bytes(100_000)).toHaveLength(100_000)
  })

  it('is uniform in [0, 1)', () => {
    for (const random of [createSystemRandom(), createSeededRandom(7)]) {
      const numbers = Array.from({ length: 20_000 }, () => random.next())

      expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...numbers)).toBeLessThan(1)
      const mean = numbers.reduce((sum, one) => sum + one, 0) / numbers.length
      expect(mean).toBeGreaterThan(0.48)
      expect(mean).toBeLessThan(0.52)
    }
  })

  it('replays a seed', () => {
    expect(createSeededRandom(3).bytes(32)).toEqual(createSeededRandom(3).bytes(32))
    expect(createSeededRandom(3).bytes(32)).not.toEqual(createSeededRandom(4).bytes(32))
  })
})
