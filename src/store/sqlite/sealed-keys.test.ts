import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { createSeededRandom, LIMITS } from '../../kernel/index.ts'
import { createVirtualClock } from '../../testing/index.ts'
import { append, claim, temporaryDirectory } from '../drivers.fixture.ts'
import type { Store } from '../store.ts'
import { PAGE_ENTRIES } from './claim-pages.ts'
import { createSqliteStore, repairSqliteStore } from './index.ts'

const KEYS = 36_000
const KEYS_PER_COMMIT = 1_000
const clock = createVirtualClock()
const random = createSeededRandom(3)

/** The least memory that may be set: an eighth of it is some fifteen thousand keys. */
const open = (directory: string): Promise<Store> =>
  createSqliteStore({ directory, clock, random, dedupeBytesMax: LIMITS.dedupeBytesMin })

const fill = async (store: Store): Promise<void> => {
  for (let first = 0; first < KEYS; first += KEYS_PER_COMMIT) {
    const claims = Array.from({ length: KEYS_PER_COMMIT }, (_, at) => claim(`${first + at}`))
    await store.commit([{ appends: [append(`${first}`)], claims }])
  }
}

const heldIn = async (store: Store): Promise<number> => {
  let held = 0
  for (let key = 0; key < KEYS; key++) {
    const position = await store.claimedPosition('acme', `${key}`)
    if (position === undefined) continue
    expect(position).toBe(Math.floor(key / KEYS_PER_COMMIT) + 1)
    held += 1
  }
  return held
}

const change = (file: string, sql: string): void => {
  const database = new DatabaseSync(file)
  expect(database.prepare(sql).run().changes).toBe(1)
  database.close()
}

const ENTRY_PAGE = `(SELECT id FROM junctura_claim_pages JOIN junctura_claim_runs ON id >> 24 = run
  WHERE state = 'live' ORDER BY id LIMIT 1 OFFSET 3)`

describe('keys that are sealed on disk', () => {
  let sealed: Buffer | undefined

  const directoryWithKeys = async (): Promise<{ directory: string; file: string }> => {
    const directory = temporaryDirectory()
    const file = join(directory, 'junctura.db')
    if (sealed) writeFileSync(file, sealed)
    else {
      const store = await open(directory)
      await fill(store)
      await store.close()
      sealed = readFileSync(file)
    }
    return { directory, file }
  }

  it('are duplicates after a restart, with the position that took them', async () => {
    const { directory, file } = await directoryWithKeys()
    await using store = await open(directory)

    const reader = new DatabaseSync(file, { readOnly: true })
    const runs = reader.prepare(
      "SELECT sum(entries) n FROM junctura_claim_runs WHERE state = 'live'",
    )
    expect(Number(runs.get()?.['n'])).toBeGreaterThan(KEYS / 3)
    reader.close()
    expect(await heldIn(store)).toBe(KEYS)
    const outcomes = await store.commit([
      { appends: [append('again')], claims: [claim('new'), claim('4321')] },
    ])
    expect(outcomes).toEqual([{ status: 'duplicate', claim: 1, position: 5 }])
    expect(await store.check()).toEqual([])
  })

  it('are free once they have expired', async () => {
    const { directory } = await directoryWithKeys()
    const later = createVirtualClock({ startMs: Date.UTC(2026, 0, 7, 23, 59) })
    await using store = await createSqliteStore({ directory, clock: later, random })
    expect(await store.claimedPosition('acme', '7')).toBe(1)

    await later.advance(60_000)

    expect(await store.claimedPosition('acme', '7')).toBeUndefined()
    await later.advance(2 * 86_400_000)
    await store.expireClaims(later.now())
    const expiresAtMs = later.now() + 1_000
    const [outcome] = await store.commit([
      { appends: [append('free')], claims: [claim('7', { expiresAtMs })] },
    ])
    expect(outcome).toMatchObject({ status: 'committed' })
    expect(await store.check()).toEqual([])
  })

  it.each([
    ['a page', `UPDATE junctura_claim_pages SET words = zeroblob(8080) WHERE id = ${ENTRY_PAGE}`],
    ['a page that is gone', `DELETE FROM junctura_claim_pages WHERE id = ${ENTRY_PAGE}`],
  ])('are refused at start and mended by the repair but for %s (F30)', async (_, sql) => {
    const { directory, file } = await directoryWithKeys()
    change(file, sql)
    await expect(open(directory)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })

    const report = await repairSqliteStore({ directory, clock, random })
    await using store = await open(directory)

    expect(report.lost.join()).toContain(`${PAGE_ENTRIES} or more sealed idempotency keys`)
    expect(await heldIn(store)).toBe(KEYS - PAGE_ENTRIES)
    expect(await store.check()).toEqual([])
  })

  it('are all there after the repair of a store whose list of runs is damaged', async () => {
    const { directory, file } = await directoryWithKeys()
    const database = new DatabaseSync(file)
    database.exec('UPDATE junctura_claim_runs SET entries = entries + 1')
    database.close()
    await expect(open(directory)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })

    const report = await repairSqliteStore({ directory, clock, random })
    await using store = await open(directory)

    expect(report.lost).toEqual([])
    expect(await heldIn(store)).toBe(KEYS)
  })

  it('are found by doctor where they are damaged while the store is open', async () => {
    const { directory, file } = await directoryWithKeys()
    await using store = await open(directory)
    change(file, `UPDATE junctura_claim_pages SET checksum = 1 WHERE id = ${ENTRY_PAGE}`)

    const problems = await store.check()

    expect(problems.map(({ problem }) => problem).join()).toMatch(
      /page \d+ of junctura_claim_pages/,
    )
    await expect(heldIn(store)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
  })

  it('are the same under any ceiling, and none below the least is taken', async () => {
    const { directory, file } = await directoryWithKeys()
    const other = temporaryDirectory()
    copyFileSync(file, join(other, 'junctura.db'))
    const large = await createSqliteStore({ directory, clock, random, dedupeBytesMax: 64_000_000 })
    expect(await heldIn(large)).toBe(KEYS)
    await large.close()

    const tooSmall = createSqliteStore({ directory: other, clock, random, dedupeBytesMax: 1_000 })

    await expect(tooSmall).rejects.toMatchObject({
      code: 'JUNCTURA_POLICY_RANGE',
      message: expect.stringContaining('dedupeBytesMax is 1000'),
    })
  })
})
