import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { createSeededRandom, type Random } from '../kernel/index.ts'
import { createVirtualClock, type VirtualClock } from '../testing/index.ts'
import { createMemoryDisk, createMemoryStore } from './memory/index.ts'
import { createSqliteStore, type SqliteStoreOptions } from './sqlite/index.ts'
import type { Store } from './store.ts'

export * from './units.fixture.ts'

export interface Bench {
  readonly clock: VirtualClock
  /** Closes the store and opens it again on what is there. */
  reopen(): Promise<Store>
  readonly store: Store
}

export interface BenchOptions {
  readonly partitionBytesMax?: number
  readonly partitionMs?: number
}

export const temporaryDirectory = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'junctura-store-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Both drivers, for what both promise. */
export const DRIVERS: readonly (readonly [
  name: string,
  open: (options?: BenchOptions) => Promise<Bench>,
])[] = [
  ['memory', openMemory],
  ['sqlite', openSqlite],
]

export interface SqliteBench extends Bench {
  readonly directory: string
}

export async function openSqlite(options: Partial<SqliteStoreOptions> = {}): Promise<SqliteBench> {
  const clock = createVirtualClock()
  const random = createSeededRandom(1)
  const directory = options.directory ?? temporaryDirectory()
  const open = (): Promise<Store> => createSqliteStore({ clock, random, ...options, directory })
  return { clock, directory, ...(await reopening(open)) }
}

async function openMemory(options: BenchOptions = {}): Promise<Bench> {
  const clock = createVirtualClock()
  const disk = createMemoryDisk()
  const random: Random = createSeededRandom(1)
  const open = async (): Promise<Store> => createMemoryStore({ clock, random, disk, ...options })
  return { clock, ...(await reopening(open)) }
}

async function reopening(open: () => Promise<Store>): Promise<Pick<Bench, 'store' | 'reopen'>> {
  let store = await open()
  onTestFinished(() => store.close())
  return {
    store,
    reopen: async () => {
      await store.close()
      store = await open()
      return store
    },
  }
}

export const textsOf = async (store: Store, channel = 'orders'): Promise<string[]> => {
  const query = { channel, afterPosition: 0, limit: 10_000, bytesMax: 1e9 }
  const { records } = await store.readLog(query)
  return records.map(({ bytes }) => Buffer.from(bytes).toString())
}
