import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { createSeededRandom, randomInteger } from '../../kernel/index.ts'
import { createVirtualClock } from '../../testing/index.ts'
import {
  append,
  claim,
  openSqlite,
  ORDER_EFFECTS,
  temporaryDirectory,
  unitOf,
} from '../drivers.fixture.ts'
import type { Store } from '../store.ts'
import { createSqliteStore, repairSqliteStore } from './index.ts'

const clock = createVirtualClock()
const random = createSeededRandom(7)
const RECORDS = 200

const open = (directory: string): Promise<Store> => createSqliteStore({ directory, clock, random })

/** Everything of ours, so that a difference is seen. */
const contentOf = async (store: Store): Promise<object> => {
  const log = { channel: 'orders', afterPosition: 0, limit: 10_000, bytesMax: 1e9 }
  const { records } = await store.readLog(log)
  const claimed = []
  for (let key = 0; key < RECORDS; key++)
    claimed.push(await store.claimedPosition('acme', `${key}`))
  return {
    records: records.map(({ bytes, ...rest }) => ({
      ...rest,
      text: Buffer.from(bytes).toString(),
    })),
    claimed,
    timers: await store.scan({ collection: 'timers', index: 'byDue', limit: 10_000 }),
    byKey: await store.scan({ collection: 'timers', limit: 10_000 }),
    partitions: await store.partitions(),
  }
}

/** A closed store with records, claims, rows and rows of the user's. */
const makeStore = async (): Promise<{ directory: string; file: string; content: object }> => {
  const { store, directory } = await openSqlite({ clock, partitionBytesMax: 100_000 })
  await store.migrate([ORDER_EFFECTS])
  for (let batch = 0; batch < RECORDS; batch += 20) {
    await store.commit(
      Array.from({ length: 20 }, (_, index) => {
        const key = `${batch + index}`
        return unitOf(key, {
          appends: [
            append(`${key} `.repeat(300), { slot: index, atMs: 1_700_000_000_000 + batch }),
          ],
          claims: [claim(key)],
          rows: [
            { collection: 'timers', key, row: { owner: 't', reference: key, dueAtMs: batch } },
          ],
          tx: (db) => db.run('INSERT INTO effects (text) VALUES ($1)', key).then(() => ({})),
        })
      }),
    )
  }
  const content = await contentOf(store)
  await store.close()
  return { directory, file: join(directory, 'junctura.db'), content }
}

const flip = (file: string, offset: number, mask = 0x10): void => {
  const bytes = readFileSync(file)
  bytes[offset] = (bytes[offset] ?? 0) ^ mask
  writeFileSync(file, bytes)
}

const sizeOf = (file: string): number => readFileSync(file).length

describe('a damaged store', () => {
  it.each([
    ['in the first bytes', () => 3],
    ['in the page size', () => 16],
    ['in the fixed fractions', () => 21],
    ['in the mark of the application', () => 69],
    ['in a record in the middle', (bytes: Buffer) => bytes.indexOf('100 100 100') + 500],
    ['in the newest record', (bytes: Buffer) => bytes.indexOf('199 199 199') + 500],
    ['in a row of the state', (bytes: Buffer) => bytes.indexOf('"reference":"199"') + 3],
  ])(
    'is refused at start when a bit is flipped %s, naming file and repair (F24)',
    async (_, at) => {
      const { directory, file } = await makeStore()
      flip(file, at(readFileSync(file)))

      const opening = open(directory)

      await expect(opening).rejects.toMatchObject({
        code: 'JUNCTURA_STORE_DAMAGED',
        details: { file },
        advice: expect.stringContaining('--repair'),
      })
      const again = open(directory)
      await expect(again).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
    },
  )

  it('is refused or gives exactly what was stored, wherever a bit is flipped (F24, F30)', async () => {
    const { file, content } = await makeStore()
    const size = sizeOf(file)
    let refused = 0
    for (let run = 0; run < 150; run++) {
      const directory = temporaryDirectory()
      const copy = join(directory, 'junctura.db')
      copyFileSync(file, copy)
      const offset = randomInteger(random, 0, size - 1)
      flip(copy, offset, 1 << randomInteger(random, 0, 7))

      const store = await open(directory).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
        refused += 1
      })
      if (store) expect(await contentOf(store), `bit flipped at ${offset}`).toEqual(content)
      await store?.close()
    }
    // The rest met space that no page uses, or rows of the user's, which have no checksum.
    expect(refused).toBeGreaterThan(20)
  })

  it('is refused when it was cut short (F25)', async () => {
    const { directory, file } = await makeStore()
    writeFileSync(file, readFileSync(file).subarray(0, sizeOf(file) - 3 * 8_192))

    await expect(open(directory)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
  })

  it('refuses the one record that was changed while it was open, and finds it', async () => {
    const { directory, file } = await makeStore()
    await using store = await open(directory)
    const other = new DatabaseSync(file)
    other.exec('UPDATE junctura_log_1 SET slot = slot + 1 WHERE position = 101')
    other.close()

    await expect(store.recordAt(101)).rejects.toMatchObject({
      code: 'JUNCTURA_RECORD_DAMAGED',
      details: { position: 101, file },
    })
    expect(await store.recordAt(102)).toBeDefined()
    const problems = await store.check()
    expect(problems.map(({ problem }) => problem).join()).toContain('position 101')
    expect(problems[0]).toMatchObject({
      resource: file,
      fix: expect.stringContaining(`junctura doctor --data ${directory} --repair`),
    })
  })

  it('opens whatever stands in its lock file, unless another has it (F28)', async () => {
    const { directory } = await makeStore()
    const lock = join(directory, 'junctura.lock')
    writeFileSync(lock, random.bytes(4_096))

    await using _store = await open(directory)

    expect(sizeOf(lock)).toBe(0)
    await expect(open(directory)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_LOCKED' })
  })

  it('has no problem when nothing is damaged', async () => {
    const { directory } = await makeStore()
    await using store = await open(directory)

    expect(await store.check()).toEqual([])
  })
})

describe('the repair', () => {
  it('loses nothing when only the header is damaged', async () => {
    const { directory, file, content } = await makeStore()
    const bytes = readFileSync(file)
    bytes.fill(0xff, 0, 100)
    writeFileSync(file, bytes)

    const report = await repairSqliteStore({ directory, clock, random })
    await using store = await open(directory)

    expect(report).toMatchObject({ records: RECORDS, lostPositions: [], lost: [] })
    expect(await contentOf(store)).toMatchObject({ ...content, partitions: [{}, {}, {}] })
    expect(readFileSync(report.damagedFile)).toEqual(bytes)
    const [outcome] = await store.commit([unitOf('next')])
    expect(outcome).toEqual({ status: 'committed', positions: [RECORDS + 1] })
  })

  it('keeps what is readable, names the positions that are not, and gives none twice', async () => {
    const { directory, file } = await makeStore()
    const bytes = readFileSync(file)
    const page = Math.floor(bytes.indexOf('100 100 100 100') / 8_192)
    bytes.fill(0xa5, page * 8_192, (page + 1) * 8_192)
    writeFileSync(file, bytes)
    await expect(open(directory)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })

    const report = await repairSqliteStore({ directory, clock, random })
    await using store = await open(directory)

    const [lost, ...more] = report.lostPositions
    const from = lost?.from ?? 0
    const to = lost?.to ?? 0
    expect(more).toEqual([])
    expect(from <= 101 && 101 <= to && to - from < 10).toBe(true)
    expect(report.records).toBe(RECORDS - (to - from + 1))
    expect(report.damagedFile).toBe(`${file}.damaged-1`)
    expect(await store.check()).toEqual([])
    expect(await store.recordAt(from - 1)).toBeDefined()
    expect(await store.recordAt(101)).toBeUndefined()
    expect(await store.recordAt(to + 1)).toBeDefined()
    expect(await store.claimedPosition('acme', '199')).toBe(200)
    expect(await store.count({ collection: 'timers', index: 'byDue' })).toBe(RECORDS)
    let effects: unknown
    const [outcome] = await store.commit([
      unitOf('next', {
        tx: async (db) => {
          await db.run('INSERT INTO effects (text) VALUES ($1)', 'next')
          effects = await db.get('SELECT count(*) AS rows, max(seq) AS last FROM effects')
          return {}
        },
      }),
    ])
    expect(effects).toEqual({ rows: RECORDS + 1, last: RECORDS + 1 })
    expect(outcome).toMatchObject({ status: 'committed' })
    expect(await store.headPosition()).toBeGreaterThan(RECORDS + 1_000)
  })

  it('makes a store that reads well of whatever is left, or changes nothing and says so (F24)', async () => {
    const { file } = await makeStore()
    const whole = readFileSync(file)
    let repaired = 0
    for (let run = 0; run < 24; run++) {
      const directory = temporaryDirectory()
      const copy = join(directory, 'junctura.db')
      const at = randomInteger(random, 0, whole.length - 4_096)
      const bytes = Buffer.from(whole)
      if (run % 3 === 0) bytes.fill(0, at, at + 4_096)
      if (run % 3 === 1) bytes.set(random.bytes(4_096), at)
      writeFileSync(copy, run % 3 === 2 ? bytes.subarray(0, at) : bytes)
      const opened = await open(directory).catch(() => undefined)
      await opened?.close()
      // It met space that no page uses, or rows of the user's.
      if (opened) continue

      const report = await repairSqliteStore({ directory, clock, random }).catch(
        (error: unknown) => {
          expect(error, `run ${run} at ${at}`).toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
        },
      )
      if (!report) continue
      repaired += 1
      await using store = await open(directory)
      expect(await store.check(), `run ${run} at ${at}`).toEqual([])
      expect(await store.headPosition()).toBeGreaterThanOrEqual(RECORDS)
    }
    expect(repaired).toBeGreaterThan(6)
  })

  it('is asked for again when it was cut short, instead of a new empty store (F12)', async () => {
    const { directory, file } = await makeStore()
    renameSync(file, `${file}.damaged-1`)

    await expect(open(directory)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
    const report = await repairSqliteStore({ directory, clock, random })
    await using store = await open(directory)

    expect(report.records).toBe(RECORDS)
    expect(await store.headPosition()).toBeGreaterThanOrEqual(RECORDS)
  })

  it('keeps out of a store that is in use, and of a directory without one', async () => {
    const { directory } = await makeStore()
    await using _store = await open(directory)

    const busy = repairSqliteStore({ directory, clock, random })
    await expect(busy).rejects.toMatchObject({ code: 'JUNCTURA_STORE_LOCKED' })
    const nothing = repairSqliteStore({ directory: temporaryDirectory(), clock, random })
    await expect(nothing).rejects.toMatchObject({ code: 'JUNCTURA_STORE_DAMAGED' })
  })
})
