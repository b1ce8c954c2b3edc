import { deepEqual, equal, ok } from 'node:assert/strict'
import type { StoredRecord } from '../../store/index.ts'
import {
  appendOf,
  claimOf,
  commitAll,
  commitOne,
  type ConformanceCase,
  fillPartitions,
  readAll,
  reads,
  recordOf,
} from './conformance-case.ts'

const positionsIn = (records: readonly StoredRecord[]): readonly number[] =>
  records.map(({ position }) => position)

const EVERYTHING = { limit: 1_000, bytesMax: 100_000_000 } as const

export const LOG_CASES: readonly ConformanceCase[] = [
  {
    title: 'a record comes back with its channel, slot, time and bytes',
    run: async (bench) => {
      const append = appendOf('one', { channel: 'orders', slot: 63, atMs: 1_767_312_000_123 })
      const [position = 0] = await commitOne(bench.store, { appends: [append] })

      for (let times = 0; times < 2; times++) {
        const record = await bench.store.recordAt(position)
        ok(reads(record, 'one'))
        const { bytes: _, ...rest } = record ?? {}
        deepEqual(rest, { position, channel: 'orders', slot: 63, atMs: 1_767_312_000_123 })
        await bench.reopen()
      }
    },
  },
  {
    title: 'an empty log has nothing at any position',
    run: async ({ store }) => {
      equal(await store.headPosition(), 0)
      equal(await store.recordAt(0), undefined)
      equal(await store.recordAt(1), undefined)
      deepEqual(await store.readLogBackwards({ beforePosition: 10, limit: 10 }), [])
      const page = await store.readLog({ channel: 'orders', afterPosition: 0, ...EVERYTHING })
      deepEqual(page.records, [])
    },
  },
  {
    title: 'a channel is read in order, page by page, past the records of other channels',
    run: async ({ store }) => {
      const units = Array.from({ length: 60 }, (_, at) => ({
        appends: [appendOf(`${at}`, { channel: at % 10 < 5 ? 'orders' : 'stock' })],
      }))
      const positions = (await commitAll(store, units)).flat()

      for (const limit of [1, 3, 7, 30, 1_000]) {
        const orders = await readAll(store, 'orders', { limit })
        deepEqual(
          positionsIn(orders),
          positions.filter((_, at) => at % 10 < 5),
        )
        equal((await readAll(store, 'stock', { limit })).length, 30)
      }
      deepEqual(await readAll(store, 'nothing'), [])
    },
  },
  {
    title: 'of the slots asked for every record is read, page by page, and no other',
    run: async ({ store }) => {
      const units = Array.from({ length: 64 }, (_, slot) => ({
        appends: [appendOf(`${slot}`, { channel: slot < 60 ? 'orders' : 'stock', slot })],
      }))
      const positions = (await commitAll(store, units)).flat()
      const head = await store.headPosition()
      const slots = [
        { first: 3, last: 7 },
        { first: 40, last: 40 },
        { first: 58, last: 63 },
      ]
      const wanted = [3, 4, 5, 6, 7, 40, 58, 59].map((slot) => positions[slot])

      for (const limit of [1, 3, 100]) {
        const page = { limit, slots }
        deepEqual(positionsIn(await readAll(store, 'orders', page)), wanted)
      }
      const query = { channel: 'orders', slots, limit: 10, bytesMax: 1_000_000 }
      const rest = await store.readLog({ ...query, afterPosition: positions[59] ?? 0 })
      deepEqual([rest.records, rest.scannedTo], [[], head])
      const none = await store.readLog({ ...query, slots: [], afterPosition: 0 })
      deepEqual([none.records, none.scannedTo], [[], head])
    },
  },
  {
    title: 'scannedTo covers what other channels wrote behind the last record',
    run: async ({ store }) => {
      const [a = 0, b = 0] = await commitOne(store, { appends: [appendOf('a'), appendOf('b')] })
      await commitOne(store, { appends: [appendOf('other', { channel: 'stock' })] })
      const head = await store.headPosition()
      const query = { channel: 'orders', bytesMax: 1_000_000 } as const

      const cut = await store.readLog({ ...query, afterPosition: 0, limit: 1 })
      deepEqual([positionsIn(cut.records), cut.scannedTo >= a && cut.scannedTo < b], [[a], true])
      const rest = await store.readLog({ ...query, afterPosition: a, limit: 10 })
      deepEqual([positionsIn(rest.records), rest.scannedTo], [[b], head])
      const none = await store.readLog({ ...query, afterPosition: head, limit: 10 })
      deepEqual([positionsIn(none.records), none.scannedTo], [[], head])
    },
  },
  {
    title: 'a page stops after the record that reaches bytesMax, and has at least one',
    run: async ({ store }) => {
      const appends = ['a', 'b', 'c', 'd'].map((text) => appendOf(text, { dataBytes: 1_000 }))
      const positions = await commitOne(store, { appends })
      const size = recordOf('a', 1_000).length
      const page = async (bytesMax: number) =>
        positionsIn(
          (await store.readLog({ channel: 'orders', afterPosition: 0, limit: 10, bytesMax }))
            .records,
        )

      deepEqual(await page(1), positions.slice(0, 1))
      deepEqual(await page(size), positions.slice(0, 1))
      deepEqual(await page(size + 1), positions.slice(0, 2))
      deepEqual(await page(size * 4), positions)
      deepEqual(positionsIn(await readAll(store, 'orders', { bytesMax: size + 1 })), positions)
    },
  },
  {
    title: 'backwards, the newest come first, over all channels or one',
    run: async ({ store }) => {
      const units = Array.from({ length: 10 }, (_, at) => ({
        appends: [appendOf(`${at}`, { channel: at % 2 ? 'stock' : 'orders' })],
      }))
      const positions = (await commitAll(store, units)).flat()
      const newest = positions.toReversed()
      const head = await store.headPosition()
      const back = async (query: { channel?: string; beforePosition: number; limit: number }) =>
        positionsIn(await store.readLogBackwards(query))

      deepEqual(await back({ beforePosition: head + 1, limit: 100 }), newest)
      deepEqual(
        await back({ beforePosition: Number.MAX_SAFE_INTEGER, limit: 3 }),
        newest.slice(0, 3),
      )
      deepEqual(await back({ beforePosition: positions[4] ?? 0, limit: 2 }), [
        positions[3],
        positions[2],
      ])
      deepEqual(await back({ channel: 'orders', beforePosition: head + 1, limit: 2 }), [
        positions[8],
        positions[6],
      ])
      deepEqual(await back({ channel: 'nothing', beforePosition: head + 1, limit: 2 }), [])
      deepEqual(await back({ beforePosition: positions[0] ?? 0, limit: 2 }), [])
    },
  },
  {
    title: 'records of a megabyte are kept, also many in one commit',
    run: async (bench) => {
      const appends = Array.from({ length: 20 }, (_, at) =>
        appendOf(`large-${at}`, { dataBytes: 1_048_576 }),
      )
      const positions = await commitOne(bench.store, { appends })
      await bench.reopen()

      const records = await readAll(bench.store, 'orders', { bytesMax: 3_000_000 })
      deepEqual(positionsIn(records), positions)
      for (const [at, { bytes }] of records.entries()) {
        equal(Buffer.compare(bytes, recordOf(`large-${at}`, 1_048_576)), 0)
      }
    },
  },
  {
    title: 'who follows the log while it grows misses nothing and sees nothing twice',
    run: async ({ store, clock }) => {
      let written = 0
      const writing = Promise.all(
        Array.from({ length: 40 }, async (_, at) => {
          const channel = at % 3 === 0 ? 'stock' : 'orders'
          await commitOne(store, { appends: [appendOf(`${at}`, { channel })] })
          written += 1
        }),
      )
      const seen: StoredRecord[] = []
      let afterPosition = 0
      for (let last = false; ;) {
        const page = await store.readLog({
          channel: 'orders',
          afterPosition,
          limit: 3,
          bytesMax: 100_000,
        })
        for (const record of page.records) {
          ok(record.position > afterPosition, 'no record comes at or below one that was seen')
          afterPosition = record.position
          seen.push(record)
        }
        ok(page.scannedTo >= afterPosition)
        afterPosition = page.scannedTo
        if (last && page.records.length === 0) break
        last = written === 40
        await clock.yield()
      }

      await writing
      deepEqual(positionsIn(seen), positionsIn(await readAll(store, 'orders')))
      equal(seen.length, 26)
    },
  },
  {
    title: 'partitions follow one another without overlap, and only the newest is open',
    smallPartitions: true,
    run: async (bench) => {
      const appended = await fillPartitions(bench, 4)

      for (let times = 0; times < 2; times++) {
        const partitions = await bench.store.partitions()
        ok(partitions.length >= 4)
        partitions.forEach((partition, at) => {
          const before = partitions[at - 1]
          ok(!before || partition.firstPosition === before.lastPosition + 1)
          ok(!before || partition.id !== before.id)
          equal(partition.open, at === partitions.length - 1)
          const inside = appended.filter(
            ({ position }) =>
              position >= partition.firstPosition && position <= partition.lastPosition,
          )
          if (inside.length === 0) return
          equal(partition.firstAtMs, Math.min(...inside.map(({ atMs }) => atMs)))
          equal(partition.lastAtMs, Math.max(...inside.map(({ atMs }) => atMs)))
        })
        equal(partitions[0]?.firstPosition, appended[0]?.position)
        await bench.reopen()
      }
    },
  },
  {
    title: 'reading goes across partitions as if there were none',
    smallPartitions: true,
    run: async (bench) => {
      const appended = await fillPartitions(bench, 4)
      const { store } = bench

      for (const limit of [1, 2, 1_000]) {
        const records = await readAll(store, 'orders', { limit })
        const expected = appended.filter((_, at) => at % 3 !== 1)
        deepEqual(
          positionsIn(records),
          expected.map(({ position }) => position),
        )
        ok(records.every((record, at) => reads(record, expected[at]?.text ?? '')))
      }
      const backwards = await store.readLogBackwards({
        beforePosition: Number.MAX_SAFE_INTEGER,
        limit: 1_000,
      })
      deepEqual(positionsIn(backwards), appended.map(({ position }) => position).toReversed())
      for (const { position, text } of appended) ok(reads(await store.recordAt(position), text))
    },
  },
  {
    title: 'a dropped partition is gone and the rest is untouched; dropping again does nothing',
    smallPartitions: true,
    run: async (bench) => {
      const appended = await fillPartitions(bench, 4)
      const [first, second] = await bench.store.partitions()
      const head = await bench.store.headPosition()

      await bench.store.dropPartition(first?.id ?? -1)
      await bench.store.dropPartition(first?.id ?? -1)
      await bench.store.dropPartition(987_654)

      for (let times = 0; times < 2; times++) {
        equal((await bench.store.partitions())[0]?.id, second?.id)
        equal(await bench.store.headPosition(), head)
        const kept = appended.filter(({ position }) => position >= (second?.firstPosition ?? 0))
        for (const { position, text } of appended) {
          const record = await bench.store.recordAt(position)
          if (position < (second?.firstPosition ?? 0)) equal(record, undefined)
          else ok(reads(record, text))
        }
        equal(
          (await readAll(bench.store, 'orders')).length +
            (await readAll(bench.store, 'other')).length,
          kept.length,
        )
        await bench.reopen()
      }
    },
  },
  {
    title: 'the newest partition is not dropped, and no position is given again after dropping',
    smallPartitions: true,
    run: async (bench) => {
      await fillPartitions(bench, 3)
      const head = await bench.store.headPosition()

      const before = await bench.store.partitions()
      await bench.store.dropPartition(before.at(-1)?.id ?? -1)
      deepEqual(await bench.store.partitions(), before)

      for (const { id } of before) await bench.store.dropPartition(id)

      equal((await bench.store.partitions()).length, 1)
      equal(await bench.store.headPosition(), head)
      await bench.reopen()
      equal(await bench.store.headPosition(), head)
      const [position = 0] = await commitOne(bench.store, {
        appends: [appendOf('next')],
        claims: [claimOf('key')],
      })
      ok(position > head)
      ok(reads(await bench.store.recordAt(position), 'next'))
    },
  },
]
