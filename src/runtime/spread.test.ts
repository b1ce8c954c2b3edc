import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Spreadable, spreadPartitions } from './spread.ts'

/** Workers that each look and act in turn, on what the leases say at that moment. */
class Fleet {
  readonly partitions: readonly Spreadable[]
  readonly holders = new Map<string, string>()
  workers: string[] = []
  moves = 0

  constructor(partitions: readonly Spreadable[]) {
    this.partitions = partitions
  }

  act(self: string, seen: ReadonlyMap<string, string> = this.holders): void {
    const { partitions, workers } = this
    const { take, giveBack } = spreadPartitions({ partitions, holders: seen, workers, self })
    for (const id of giveBack) {
      if (this.holders.get(id) !== self) continue
      this.holders.delete(id)
      this.moves += 1
    }
    // A lease has one holder, whatever two workers saw.
    for (const id of take) if (!this.holders.has(id)) this.holders.set(id, self)
  }

  round(): void {
    for (const worker of this.workers) this.act(worker)
  }

  /** All look at the same moment, and act one after the other. */
  crowdedRound(): void {
    const seen = new Map(this.holders)
    for (const worker of this.workers) this.act(worker, seen)
  }

  leave(worker: string): void {
    this.workers = this.workers.filter((one) => one !== worker)
    for (const [id, holder] of this.holders) if (holder === worker) this.holders.delete(id)
  }

  get counts(): readonly number[] {
    return this.workers.map(
      (worker) => [...this.holders.values()].filter((holder) => holder === worker).length,
    )
  }
}

const partitionsOf = (consumers: readonly number[]): readonly Spreadable[] =>
  consumers.flatMap((count, at) =>
    Array.from({ length: count }, (_, index) => ({ id: `c${at}/${index}`, consumer: `c${at}` })),
  )

const consumers = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 6 })
const changes = fc.array(fc.oneof(fc.constant('join' as const), fc.nat({ max: 7 })), {
  maxLength: 12,
})

const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts)

describe('the spread of partitions over workers', () => {
  it('gives every partition one holder, within one of even, however workers come and go', () => {
    fc.assert(
      fc.property(consumers, changes, fc.boolean(), (counts, steps, isCrowded) => {
        const fleet = new Fleet(partitionsOf(counts))
        let names = 0
        fleet.workers.push(`w${names++}`)
        for (const step of steps) {
          if (step === 'join') fleet.workers.push(`w${names++}`)
          else if (fleet.workers.length > 1) {
            fleet.leave(fleet.workers[step % fleet.workers.length] ?? '')
          }
          fleet.round()
        }
        for (let round = 0; round < 12; round++) {
          if (isCrowded) fleet.crowdedRound()
          else fleet.round()
        }

        expect(fleet.holders.size).toBe(fleet.partitions.length)
        expect(spread(fleet.counts)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('moves nothing once it is even within one, whoever looks and however often', () => {
    fc.assert(
      fc.property(consumers, fc.integer({ min: 1, max: 9 }), (counts, workers) => {
        const fleet = new Fleet(partitionsOf(counts))
        fleet.workers = Array.from({ length: workers }, (_, at) => `w${at}`)
        for (let round = 0; round < 12; round++) fleet.crowdedRound()
        fleet.moves = 0
        const settled = [...fleet.holders]

        for (let round = 0; round < 20; round++) fleet.crowdedRound()

        expect(fleet.moves).toBe(0)
        expect([...fleet.holders]).toEqual(settled)
      }),
    )
  })

  it('moves no more than it must when one worker comes', () => {
    fc.assert(
      fc.property(consumers, fc.integer({ min: 1, max: 8 }), (counts, workers) => {
        const fleet = new Fleet(partitionsOf(counts))
        fleet.workers = Array.from({ length: workers }, (_, at) => `w${at}`)
        for (let round = 0; round < 12; round++) fleet.round()
        fleet.moves = 0

        fleet.workers.push('w8')
        for (let round = 0; round < 12; round++) fleet.round()

        const most = Math.ceil(fleet.partitions.length / fleet.workers.length)
        expect(fleet.moves).toBeLessThanOrEqual(most)
      }),
    )
  })

  it('spreads the partitions of one hot consumer, and not only the number of all', () => {
    const fleet = new Fleet([
      ...partitionsOf([8]),
      ...Array.from({ length: 8 }, (_, at) => ({ id: `cold${at}`, consumer: `cold${at}` })),
    ])
    fleet.workers = ['w0']
    fleet.round()

    fleet.workers.push('w1')
    for (let round = 0; round < 4; round++) fleet.round()

    const hot = [...fleet.holders].filter(([id]) => id.startsWith('c0/'))
    expect(hot.filter(([, holder]) => holder === 'w1').length).toBe(4)
  })
})
