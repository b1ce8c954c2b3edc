import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createSeededRandom, type LogFields, silentLogger } from '../../kernel/index.ts'
import { createVirtualClock } from '../../testing/index.ts'
import { openSqlite, temporaryDirectory, textsOf, unitOf } from '../drivers.fixture.ts'
import { createSqliteStore } from './index.ts'
import { checkWal } from './wal-check.ts'

const COMMITS = 30
const FILES = ['junctura.db', 'junctura.db-wal', 'junctura.db-shm', 'junctura.pid'] as const
const crashed = new Map<string, Buffer>()

/** The files of a store as a kill -9 would leave them, in a directory of their own. */
const crashedStore = (): { directory: string; file: string; wal: string; shm: string } => {
  const directory = temporaryDirectory()
  for (const [name, bytes] of crashed) writeFileSync(join(directory, name), bytes)
  const [file, wal, shm] = FILES.map((name) => join(directory, name))
  return { directory, file: file ?? '', wal: wal ?? '', shm: shm ?? '' }
}

const change = (file: string, edit: (bytes: Buffer) => Buffer | void): void => {
  const bytes = readFileSync(file)
  writeFileSync(file, edit(bytes) ?? bytes)
}

const flip = (file: string, offset: number): void =>
  change(file, (bytes) => {
    bytes[offset] = (bytes[offset] ?? 0) ^ 1
  })

const FRAME_BYTES = 24 + 8_192
const frameAt = (number: number): number => 32 + (number - 1) * FRAME_BYTES

describe('the write-ahead log that a crash left', () => {
  beforeAll(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'junctura-wal-'))
    const store = await createSqliteStore({
      directory,
      clock: createVirtualClock(),
      random: createSeededRandom(1),
    })
    for (let number = 1; number <= COMMITS; number++) await store.commit([unitOf(`${number}`)])
    for (const name of FILES) crashed.set(name, readFileSync(join(directory, name)))
    await store.close()
    rmSync(directory, { recursive: true })
  })

  it('gives back every commit (F22)', async () => {
    const { directory, file } = crashedStore()

    expect(checkWal(file, { trustsIndex: true })).toBe(0)
    const { store } = await openSqlite({ directory })

    expect(await textsOf(store)).toHaveLength(COMMITS)
  })

  it.each([
    ['its header', 5],
    ['the salts of its header', 17],
    ['a page in the middle', frameAt(20) + 1_000],
    ['the head of a frame in the middle', frameAt(20) + 1],
    ['the salts of a frame in the middle', frameAt(20) + 9],
  ])('is refused with a bit flipped in %s, with or without its index (F24)', async (_, offset) => {
    const { directory, wal, shm } = crashedStore()
    flip(wal, offset)
    const damaged = { code: 'JUNCTURA_STORE_DAMAGED', details: { file: wal } }

    await expect(openSqlite({ directory })).rejects.toMatchObject(damaged)
    rmSync(shm)
    await expect(openSqlite({ directory })).rejects.toMatchObject(damaged)
  })

  // Skipped: which boot of the machine wrote a file, only Linux tells.
  describe.runIf(process.platform === 'linux')('with its newest commit damaged', () => {
    it('is refused when its index says that the commit was whole', async () => {
      const { directory, wal } = crashedStore()
      flip(wal, readFileSync(wal).length - 100)

      const damaged = { code: 'JUNCTURA_STORE_DAMAGED', details: { file: wal } }
      await expect(openSqlite({ directory })).rejects.toMatchObject(damaged)
      // And again: a start that was refused changes nothing for the next.
      await expect(openSqlite({ directory })).rejects.toMatchObject(damaged)
    })

    it('loses that commit after the machine went down, for its sync had not returned', async () => {
      const { directory, wal } = crashedStore()
      flip(wal, readFileSync(wal).length - 100)
      writeFileSync(join(directory, 'junctura.pid'), '1\nanother-boot\n')

      const { store } = await openSqlite({ directory })

      expect(await textsOf(store)).toHaveLength(COMMITS - 1)
    })
  })

  it('loses an unfinished write at its end, says so, and nothing else (F23)', async () => {
    const { directory, wal, shm } = crashedStore()
    // After the loss of power the index is gone or old, and the last pages may be half written.
    rmSync(shm)
    change(wal, (bytes) => bytes.subarray(0, bytes.length - 100))
    const warnings: LogFields[] = []

    const log = { ...silentLogger, warn: (fields: LogFields) => void warnings.push(fields) }
    const { store } = await openSqlite({ directory, log })

    const texts = await textsOf(store)
    expect(texts).toHaveLength(COMMITS - 1)
    expect(texts.at(-1)).toBe(`${COMMITS - 1}`)
    expect(warnings).toMatchObject([{ torn: 1 }])
  })

  it('counts the frames of a torn commit', () => {
    const { file, wal, shm } = crashedStore()
    rmSync(shm)
    flip(wal, readFileSync(wal).length - 100)

    expect(checkWal(file, { trustsIndex: true })).toBe(1)
  })

  it('may be missing or empty', async () => {
    const { directory, file, wal } = crashedStore()
    writeFileSync(wal, '')
    expect(checkWal(file, { trustsIndex: true })).toBe(0)
    rmSync(wal)
    expect(checkWal(file, { trustsIndex: true })).toBe(0)
    expect(existsSync(join(directory, 'junctura.db'))).toBe(true)
  })
})
