import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { testStore } from '../../testing/index.ts'
import { createSqliteStore, SQLITE_FEATURES } from '../index.ts'

const registered = testStore({
  features: SQLITE_FEATURES,
  runner: {
    describe,
    // The suite asserts with node:assert, which vitest does not count.
    it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined()),
  },
  async create({ clock, random, smallPartitions }) {
    const root = mkdtempSync(join(tmpdir(), 'junctura-sqlite-'))
    let directory = join(root, 'store-0')
    let crashes = 0
    const open = () =>
      createSqliteStore({
        directory,
        clock,
        random,
        ...(smallPartitions && { partitionBytesMax: 1 }),
      })
    let store = await open()
    const left = [store]
    return {
      store,
      reopen: async () => {
        await store.close()
        store = await open()
        left.push(store)
        return store
      },
      // What a killed process leaves are its files as they are; the lock ends with the process.
      crash: async () => {
        crashes += 1
        const copy = join(root, `store-${crashes}`)
        const filter = (file: string): boolean => !basename(file).includes('lock')
        cpSync(directory, copy, { recursive: true, filter })
        directory = copy
        store = await open()
        left.push(store)
        return store
      },
      dispose: async () => {
        for (const opened of left) await opened.close()
        rmSync(root, { recursive: true, force: true })
      },
    }
  },
})

it('runs the whole conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(60)
})
