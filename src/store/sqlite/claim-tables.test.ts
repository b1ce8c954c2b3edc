import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSeededRandom } from '../../kernel/index.ts'
import { createVirtualClock, type VirtualClock } from '../../testing/index.ts'
import { temporaryDirectory } from '../drivers.fixture.ts'
import { createFingerprinter } from '../dedupe-index.ts'
import type { Claim } from '../store.ts'
import { ClaimRuns } from './claim-runs.ts'
import { ClaimTables } from './claim-tables.ts'
import { type Connection, openConnection, setUpWriter } from './connection.ts'
import { createTables } from './format.ts'

const START_MS = Date.UTC(2026, 0, 1)
const DAY_MS = 86_400_000
/** An eighth of it is a bucket of some two thousand keys: everything happens soon. */
const SMALL_BYTES = 800_000
const secret = createSeededRandom(1).bytes(32)

interface Bench {
  readonly clock: VirtualClock
  readonly writer: Connection
  tables: ClaimTables
  /** Commits, or rolls back; gives the keys that were taken. */
  commit(keys: readonly string[], ttlMs: number, outcome?: 'commit' | 'rollback'): string[]
  find(key: string): number | undefined
  /** What a new process would make of the file. */
  reopen(bytesMax?: number): Promise<void>
}

const createBench = async (bytesMax = SMALL_BYTES): Promise<Bench> => {
  const clock = createVirtualClock({ startMs: START_MS })
  const file = join(temporaryDirectory(), 'claims.db')
  const writer = openConnection({ file })
  setUpWriter(writer)
  // What is measured is not the disk.
  writer.db.exec('PRAGMA synchronous = OFF')
  writer.run('BEGIN')
  createTables(writer, secret)
  writer.run('COMMIT')
  const open = async (bytes: number): Promise<ClaimTables> => {
    const tables = new ClaimTables({ writer, secret, file, bytesMax: bytes })
    await tables.load(clock)
    return tables
  }
  let position = 0
  const bench: Bench = {
    clock,
    writer,
    tables: await open(bytesMax),
    commit: (keys, ttlMs, outcome = 'commit') => {
      const { tables } = bench
      const taken: string[] = []
      writer.run('BEGIN IMMEDIATE')
      for (const key of keys) {
        const expiresAtMs = clock.now() + ttlMs
        const claims: Claim[] = [{ scope: 's', key, expiresAtMs, append: 0 }]
        if (tables.conflict(claims, clock.now())) taken.push(key)
        else tables.hold(claims, [++position], clock.now())
      }
      tables.write()
      writer.run(outcome === 'commit' ? 'COMMIT' : 'ROLLBACK')
      if (outcome === 'commit') tables.settle()
      else tables.discard()
      return taken
    },
    find: (key) => bench.tables.committed('s', key, clock.now()),
    reopen: async (bytes = bytesMax) => {
      bench.tables = await open(bytes)
    },
  }
  return bench
}

const keysFrom = (first: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `key ${first + index}`)

const runsOf = ({ writer }: Bench, state = 'live'): number =>
  Number(writer.first('SELECT count(*) FROM junctura_claim_runs WHERE state = ?', state)?.[0])

const rowsOf = (bench: Bench, table: string): number =>
  Number(bench.writer.first(`SELECT count(*) FROM ${table}`)?.[0])

/** As many keys as it takes to seal and merge several times. */
const fill = (bench: Bench, count = 30_000): void => {
  for (let first = 0; first < count; first += 200) {
    expect(bench.commit(keysFrom(first, 200), 7 * DAY_MS)).toEqual([])
  }
}

describe('the claimed keys', () => {
  it('are those of a plain map, at any mix of sealing, merging, expiry, rollback and crash', async () => {
    const ttl = fc.constantFrom(30_000, 3_600_000, DAY_MS, 7 * DAY_MS)
    const range = fc.record({ first: fc.nat(4_000), count: fc.integer({ min: 1, max: 400 }) })
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ do: fc.constant('commit'), range, ttl }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('rollback'), range, ttl }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('pass'), range, ttl }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('expire', 'reopen'), range, ttl }) },
    )
    const seen = { sealed: 0, merged: 0 }
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        const bench = await createBench()
        const { clock } = bench
        const map = new Map<string, { position: number; expiresAtMs: number }>()
        const wanted = (key: string): number | undefined => {
          const claim = map.get(key)
          return claim && claim.expiresAtMs > clock.now() ? claim.position : undefined
        }
        for (const {
          do: what,
          range: { first, count },
          ttl: ttlMs,
        } of steps) {
          const keys = keysFrom(first, count)
          if (what === 'commit' || what === 'rollback') {
            const taken = keys.filter((key) => wanted(key) !== undefined)
            expect(bench.commit(keys, ttlMs, what)).toEqual(taken)
          }
          if (what === 'pass') await clock.advance(Math.floor(ttlMs / 3))
          if (what === 'reopen') await bench.reopen()
          if (what === 'expire') {
            bench.tables.expire(clock.now())
            for (let round = 0; round < 3; round++) bench.tables.clean()
          }
          for (const key of keys) {
            const position = bench.find(key)
            const isNew = what === 'commit' && wanted(key) === undefined
            if (!isNew) expect(position).toBe(wanted(key))
            else if (position !== undefined) {
              map.set(key, { position, expiresAtMs: clock.now() + ttlMs })
            } else expect.fail(`${key} was claimed and is not found`)
          }
        }
        seen.sealed += runsOf(bench)
        seen.merged += runsOf(bench, 'dropped')
        await bench.reopen()
        for (const key of map.keys()) expect(bench.find(key)).toBe(wanted(key))
        expect(bench.tables.damagedRows()).toEqual([])
        bench.writer.close()
      }),
      { numRuns: 12, seed: 1 },
    )
    expect(seen.sealed).toBeGreaterThan(10)
    expect(seen.merged).toBeGreaterThan(0)
  })

  it('take no more memory than was set, however many they are, and all are still taken', async () => {
    const bench = await createBench()
    for (let first = 0; first < 60_000; first += 400) {
      bench.commit(keysFrom(first, 400), 7 * DAY_MS)
      expect(bench.tables.sizeBytes).toBeLessThanOrEqual(SMALL_BYTES)
    }

    expect(bench.commit(keysFrom(0, 2_000), 7 * DAY_MS)).toHaveLength(2_000)
    expect(bench.find('key 59999')).toBe(60_000)
    expect(bench.find('key 60000')).toBeUndefined()
    expect(runsOf(bench)).toBeLessThan(16)
    bench.writer.close()
  })

  it('are found, and only they, where there is no room for the filters', async () => {
    const bench = await createBench()
    fill(bench)
    const bytesMax = 60_000
    const runs = new ClaimRuns(bench.writer, 'claims.db')
    for (const row of runs.readDirectory()) if (row.state === 'live') runs.add(runs.load(row, true))
    const fullBytes = runs.sizeBytes
    const fingerprintOf = createFingerprinter(secret)
    const found = (): string[] =>
      keysFrom(8_000, 6_000).filter((key) => runs.find(fingerprintOf('s', key), START_MS))
    const all = found()

    runs.shrink(fullBytes / 2)

    expect(runs.sizeBytes).toBeLessThanOrEqual(fullBytes / 2)
    expect(all.length).toBeGreaterThan(0)
    expect(found()).toEqual(all)
    await bench.reopen(bytesMax)
    expect(bench.tables.sizeBytes).toBeLessThanOrEqual(bytesMax)
    expect(bench.commit(keysFrom(0, 3_000), DAY_MS)).toHaveLength(3_000)
    expect(bench.find('key 30000')).toBeUndefined()
    bench.writer.close()
  })

  it('of a bucket that takes no more become one run, and what it replaces is deleted', async () => {
    const bench = await createBench()
    fill(bench)
    const [bucket] = bench.writer.first('SELECT min(bucket) FROM junctura_claim_runs') ?? []
    await bench.clock.advance(2 * DAY_MS)
    for (let first = 30_000; first < 75_000; first += 100) {
      bench.commit(keysFrom(first, 100), 7 * DAY_MS)
    }
    while (bench.tables.hasGarbage) bench.tables.clean()

    const runs = bench.writer.rows(
      'SELECT state, entries FROM junctura_claim_runs WHERE bucket = ?',
      Number(bucket),
    )
    expect(runs).toEqual([['live', expect.any(Number)]])
    const unsealed = rowsOf(bench, `junctura_claims_${Number(bucket)}`) * 200
    expect(Number(runs[0]?.[1]) + unsealed).toBe(30_000)
    expect(bench.commit(keysFrom(0, 9_000), DAY_MS)).toHaveLength(9_000)
    bench.writer.close()
  })

  it('of an expired bucket are free at once, and leave the disk a step at a time', async () => {
    const bench = await createBench()
    fill(bench)
    const pages = rowsOf(bench, 'junctura_claim_pages')
    await bench.clock.advance(9 * DAY_MS)

    bench.tables.expire(bench.clock.now())

    expect(bench.find('key 7')).toBeUndefined()
    expect(bench.tables.sizeBytes).toBe(0)
    expect(rowsOf(bench, 'junctura_claim_pages')).toBe(pages)
    expect(bench.commit(keysFrom(0, 10), DAY_MS)).toEqual([])
    while (bench.tables.hasGarbage) bench.tables.clean()
    expect(rowsOf(bench, 'junctura_claim_pages')).toBe(0)
    expect(rowsOf(bench, 'junctura_claim_runs')).toBe(0)
    expect(rowsOf(bench, "sqlite_schema WHERE name GLOB 'junctura_claims_*'")).toBe(1)
    bench.writer.close()
  })

  it('are claimed again after a clock that went forward and back', async () => {
    const bench = await createBench()
    fill(bench)
    bench.tables.expire(START_MS + 30 * DAY_MS)
    bench.tables.clean()

    expect(bench.commit(keysFrom(0, 10), 7 * DAY_MS)).toEqual([])
    while (bench.tables.hasGarbage) bench.tables.clean()

    expect(bench.commit(keysFrom(0, 10), 7 * DAY_MS)).toHaveLength(10)
    await bench.reopen()
    expect(bench.commit(keysFrom(0, 10), 7 * DAY_MS)).toHaveLength(10)
    bench.writer.close()
  })

  it('refuse to be looked up where a sealed page is damaged (F30)', async () => {
    const bench = await createBench()
    fill(bench)
    bench.writer.run(
      `UPDATE junctura_claim_pages SET words = zeroblob(length(words)) WHERE id = (
         SELECT min(id) FROM junctura_claim_pages JOIN junctura_claim_runs
           ON id >> 24 = run WHERE state = 'live')`,
    )

    const lookUpAll = (): unknown => keysFrom(0, 30_000).map(bench.find)

    expect(lookUpAll).toThrow(expect.objectContaining({ code: 'JUNCTURA_STORE_DAMAGED' }))
    expect(bench.tables.damagedRows()).toHaveLength(1)
    bench.writer.close()
  })

  it.each([
    ['a filter is damaged', 'UPDATE junctura_claim_pages SET checksum = checksum + 1'],
    ['a run is gone from the list', "DELETE FROM junctura_claim_runs WHERE state = 'live'"],
    ['a run is said to be dropped', "UPDATE junctura_claim_runs SET state = 'dropped'"],
    ['pages are gone', 'DELETE FROM junctura_claim_pages'],
  ])('refuse to be read at start when %s (F30)', async (_, sql) => {
    const bench = await createBench()
    fill(bench)
    bench.writer.db.exec(sql)

    await expect(bench.reopen()).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
    bench.writer.close()
  })

  it('of a store that knew no runs are sealed at start, so that they fit', async () => {
    const bench = await createBench(64_000_000)
    fill(bench)
    expect(runsOf(bench)).toBe(0)

    await bench.reopen(SMALL_BYTES)

    expect(bench.tables.sizeBytes).toBeLessThanOrEqual(SMALL_BYTES)
    expect(runsOf(bench)).toBeGreaterThan(3)
    expect(bench.commit(keysFrom(0, 9_000), DAY_MS)).toHaveLength(9_000)
    bench.writer.close()
  })
})
