import { describe, expect, it } from 'vitest'
import { testStore } from '../../testing/index.ts'
import { createMemoryDisk, createMemoryStore, MEMORY_FEATURES } from '../index.ts'

const registered = testStore({
  features: MEMORY_FEATURES,
  runner: {
    describe,
    // The suite asserts with node:assert, which vitest does not count.
    it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined()),
  },
  async create({ clock, random, smallPartitions }) {
    const disk = createMemoryDisk()
    const open = () =>
      createMemoryStore({ clock, random, disk, ...(smallPartitions && { partitionBytesMax: 1 }) })
    let store = open()
    return {
      store,
      reopen: async () => {
        await store.close()
        store = open()
        return store
      },
      crash: async () => {
        disk.crash()
        store = open()
        return store
      },
      dispose: () => store.close(),
    }
  },
})

it('runs the whole conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(60)
})
