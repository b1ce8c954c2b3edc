import { deepEqual, equal, ok } from 'node:assert/strict'
import type { DeadLetterRow } from '../../store/index.ts'
import { UNUSUAL_KEYS } from './claim-cases.ts'
import {
  commitAll,
  commitOne,
  type ConformanceCase,
  timerDelete,
  timerWrite,
  writeOf,
} from './conformance-case.ts'
import { compareText } from './row-model.ts'
import { compareWithModel } from './scan-property.ts'

const VALUES: readonly unknown[] = [
  null,
  0,
  -1.5,
  2 ** 53 - 1,
  1e-300,
  true,
  '',
  'text with "quotes", \n, \\ and \u0000',
  'ä 日本語 😀',
  [],
  {},
  { nested: [{ deep: [null, 'x'] }] },
]

export const ROW_CASES: readonly ConformanceCase[] = [
  {
    title: 'a row is put, replaced whole and deleted',
    run: async ({ store }) => {
      await commitOne(store, {
        rows: [
          writeOf('meta', 'k', { value: 1, extra: true }),
          writeOf('meta', 'other', { value: 2 }),
        ],
      })
      deepEqual(await store.row('meta', 'k'), { value: 1, extra: true })

      await commitOne(store, { rows: [writeOf('meta', 'k', { value: 3 })] })
      deepEqual(await store.row('meta', 'k'), { value: 3 })

      await commitOne(store, { rows: [writeOf('meta', 'k', undefined)] })
      equal(await store.row('meta', 'k'), undefined)
      deepEqual(await store.row('meta', 'other'), { value: 2 })
      await commitOne(store, { rows: [writeOf('meta', 'never-there', undefined)] })
    },
  },
  {
    title: 'the last write to a row in a commit counts, within a unit and across units',
    run: async ({ store }) => {
      await commitAll(store, [
        { rows: [timerWrite('a', 1), timerDelete('a'), timerWrite('a', 2)] },
        { rows: [timerWrite('b', 1), timerDelete('b')] },
        { rows: [timerWrite('c', 1)] },
        { rows: [timerDelete('c')] },
        { rows: [timerWrite('b', 3)] },
      ])

      const rows = await store.scan({ collection: 'timers', limit: 10 })
      deepEqual(
        rows.map(({ key, row }) => [key, row.dueAtMs]),
        [
          ['a', 2],
          ['b', 3],
        ],
      )
    },
  },
  {
    title: 'a value comes back as it was written, also after reopening',
    run: async (bench) => {
      await commitOne(bench.store, {
        rows: VALUES.map((value, at) => writeOf('meta', `value-${at}`, { value })),
      })
      for (let times = 0; times < 2; times++) {
        for (const [at, value] of VALUES.entries()) {
          deepEqual(await bench.store.row('meta', `value-${at}`), { value })
        }
        await bench.reopen()
      }
    },
  },
  {
    title: 'a row of a megabyte is kept',
    run: async (bench) => {
      const value = '"ä\\\n'.repeat(262_144)
      await commitOne(bench.store, { rows: [writeOf('meta', 'large', { value })] })
      await bench.reopen()

      deepEqual(await bench.store.row('meta', 'large'), { value })
    },
  },
  {
    title: 'nothing about the key of a row is special, and keys sort by their UTF-8 bytes',
    run: async (bench) => {
      await commitOne(bench.store, {
        rows: UNUSUAL_KEYS.map((key, at) => timerWrite(key, at)),
      })
      await bench.reopen()

      for (const [at, key] of UNUSUAL_KEYS.entries()) {
        equal((await bench.store.row('timers', key))?.dueAtMs, at, JSON.stringify(key))
      }
      const rows = await bench.store.scan({ collection: 'timers', limit: 100 })
      deepEqual(
        rows.map(({ key }) => key),
        [...UNUSUAL_KEYS].sort(compareText),
      )
    },
  },
  {
    title: 'an index field holds any text, and sorts by its UTF-8 bytes',
    run: async ({ store }) => {
      await commitOne(store, {
        rows: UNUSUAL_KEYS.map((lane, at) =>
          writeOf('successors', `row-${at}`, { consumer: 'c', lane, position: at }),
        ),
      })

      for (const [at, lane] of UNUSUAL_KEYS.entries()) {
        const query = { collection: 'successors', index: 'byLane', where: [lane] } as const
        deepEqual(
          (await store.scan({ ...query, limit: 10 })).map(({ key }) => key),
          [`row-${at}`],
        )
        equal(await store.count(query), 1)
      }
      const rows = await store.scan({ collection: 'successors', index: 'byLane', limit: 100 })
      deepEqual(
        rows.map(({ row }) => row.lane),
        [...UNUSUAL_KEYS].sort(compareText),
      )
    },
  },
  {
    title: 'a row moves in the indexes when it is replaced, and leaves those it has no field for',
    run: async ({ store }) => {
      const letter: Partial<DeadLetterRow> = { consumer: 'finance', state: 'open', diedAtMs: 5 }
      const open = {
        collection: 'deadLetters',
        index: 'byConsumer',
        where: ['finance', 'open'],
      } as const
      await commitOne(store, {
        rows: [writeOf('deadLetters', 'a', letter), writeOf('deadLetters', 'b', letter)],
      })
      equal(await store.count(open), 2)

      await commitAll(store, [
        { rows: [writeOf('deadLetters', 'a', { ...letter, state: 'resolved' })] },
        { rows: [writeOf('deadLetters', 'b', { consumer: 'finance', state: 'open' })] },
      ])

      equal(await store.count(open), 0)
      deepEqual(await store.scan({ ...open, limit: 10 }), [])
      equal(await store.count({ ...open, where: ['finance', 'resolved'] }), 1)
      equal(await store.count({ collection: 'deadLetters' }), 2)
      equal(await store.count({ collection: 'deadLetters', index: 'byMessage' }), 0)
    },
  },
  {
    title: 'numbers sort by size and bounds are inclusive',
    run: async ({ store }) => {
      const times = [-5, 0, 1, 2, 9, 10, 100, 1.5, 2 ** 53 - 1]
      await commitOne(store, { rows: times.map((dueAtMs) => timerWrite(`${dueAtMs}`, dueAtMs)) })
      const query = { collection: 'timers', index: 'byDue', limit: 100 } as const
      const dues = async (bounds: { from?: number; to?: number; reverse?: boolean }) =>
        (await store.scan({ ...query, ...bounds })).map(({ row }) => row.dueAtMs)

      deepEqual(await dues({}), [-5, 0, 1, 1.5, 2, 9, 10, 100, 2 ** 53 - 1])
      deepEqual(await dues({ from: 1, to: 10 }), [1, 1.5, 2, 9, 10])
      deepEqual(await dues({ from: 1, to: 10, reverse: true }), [10, 9, 2, 1.5, 1])
      deepEqual(await dues({ from: 101, to: 102 }), [])
    },
  },
  {
    title: 'a page goes on after the row named, and starts over when that row is gone',
    run: async ({ store }) => {
      await commitOne(store, { rows: ['a', 'b', 'c', 'd'].map((key) => timerWrite(key, 7)) })
      const query = { collection: 'timers', index: 'byDue', limit: 2 } as const
      const keys = async (more: { after: string; reverse?: boolean }) =>
        (await store.scan({ ...query, ...more })).map(({ key }) => key)

      deepEqual(await keys({ after: 'b' }), ['c', 'd'])
      deepEqual(await keys({ after: 'c', reverse: true }), ['b', 'a'])
      deepEqual(await keys({ after: 'd' }), [])

      await commitOne(store, { rows: [timerDelete('b')] })
      deepEqual(await keys({ after: 'b' }), ['a', 'c'])
    },
  },
  {
    title: 'in the order of keys, a page goes on after a key that is gone',
    run: async ({ store }) => {
      await commitOne(store, { rows: ['a', 'b', 'c'].map((key) => timerWrite(key)) })
      await commitOne(store, { rows: [timerDelete('b')] })
      const query = { collection: 'timers', limit: 5 } as const
      const keys = async (more: object) =>
        (await store.scan({ ...query, ...more })).map(({ key }) => key)

      deepEqual(await keys({ after: 'b' }), ['c'])
      deepEqual(await keys({ after: 'b', reverse: true }), ['a'])
      deepEqual(await keys({ from: 'b' }), ['c'])
      deepEqual(await keys({ from: 'a', to: 'a' }), ['a'])
    },
  },
  {
    title: 'every index scans and counts as a plain model does, whatever the rows and the query',
    run: async ({ store, random }) => {
      await compareWithModel(store, random)
      ok(await store.count({ collection: 'timers' }))
    },
  },
]
