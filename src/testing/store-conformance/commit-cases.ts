import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { isJuncturaError, JuncturaError, LIMITS } from '../../kernel/index.ts'
import {
  appendOf,
  claimOf,
  commitAll,
  type ConformanceCase,
  commitOne,
  positionsOf,
  readAll,
  reads,
  timerDelete,
  timerWrite,
} from './conformance-case.ts'

export const COMMIT_CASES: readonly ConformanceCase[] = [
  {
    title: 'a refused unit leaves nothing behind and does not disturb its neighbours',
    run: async ({ store }) => {
      await commitOne(store, {
        appends: [appendOf('first')],
        claims: [claimOf('taken')],
        rows: [timerWrite('there')],
      })

      const outcomes = await store.commit([
        { appends: [appendOf('before')], rows: [timerWrite('before')] },
        {
          appends: [appendOf('refused')],
          claims: [claimOf('taken'), claimOf('not-claimed')],
          rows: [timerWrite('refused')],
        },
        {
          appends: [appendOf('guarded')],
          claims: [claimOf('not-claimed')],
          guards: [{ collection: 'timers', key: 'there', is: 'absent' }],
          rows: [timerWrite('guarded'), timerDelete('there')],
        },
        { appends: [appendOf('after')], rows: [timerWrite('after')] },
      ])

      deepEqual(
        outcomes.map(({ status }) => status),
        ['committed', 'duplicate', 'guarded', 'committed'],
      )
      const records = await readAll(store, 'orders')
      equal(records.length, 3)
      ok(reads(records[1], 'before'))
      ok(reads(records[2], 'after'))
      const rows = await store.scan({ collection: 'timers', limit: 10 })
      deepEqual(
        rows.map(({ key }) => key),
        ['after', 'before', 'there'],
      )
      equal(await store.claimedPosition('default/acme', 'not-claimed'), undefined)
    },
  },
  {
    title: 'a record that is too large fails its unit alone',
    run: async ({ store, features }) => {
      const bytes = new Uint8Array(Math.min(features.recordBytesMax, LIMITS.recordBytesMax) + 1)
      const [before, failed, after] = await store.commit([
        { appends: [appendOf('before')] },
        { appends: [appendOf('beside'), { ...appendOf('large'), bytes }], rows: [timerWrite('x')] },
        { appends: [appendOf('after')] },
      ])

      positionsOf(before)
      positionsOf(after)
      ok(failed?.status === 'failed')
      ok(isJuncturaError(failed.error, 'JUNCTURA_RECORD_TOO_LARGE'))
      equal((await readAll(store, 'orders')).length, 2)
      equal(await store.row('timers', 'x'), undefined)
    },
  },
  {
    title: 'a finish that throws takes the whole commit back, and the next one works',
    run: async ({ store }) => {
      const unit = {
        appends: [appendOf('one')],
        claims: [claimOf('key')],
        rows: [timerWrite('row')],
      }

      const reasons = [new TypeError('x'), new JuncturaError('JUNCTURA_INVARIANT')]
      for (const reason of reasons) {
        await rejects(
          store.commit([unit], () => {
            throw reason
          }),
          (error) => isJuncturaError(error, 'JUNCTURA_STORE_FAILED'),
        )
      }

      deepEqual(await readAll(store, 'orders'), [])
      equal(await store.row('timers', 'row'), undefined)
      equal(await store.claimedPosition('default/acme', 'key'), undefined)
      const [position] = await commitOne(store, unit)
      ok(reads(await store.recordAt(position ?? 0), 'one'))
    },
  },
  {
    title: 'finish sees the outcomes in order, and its rows commit with the units',
    run: async ({ store }) => {
      await commitOne(store, { appends: [appendOf('first')], claims: [claimOf('taken')] })
      let seen: unknown

      const outcomes = await store.commit(
        [
          { appends: [appendOf('a'), appendOf('b')], rows: [timerWrite('unit', 1)] },
          { appends: [appendOf('c')], claims: [claimOf('taken')] },
        ],
        (results) => {
          seen = results
          return [timerWrite('finish', 7), timerWrite('unit', 2)]
        },
      )

      deepEqual(seen, outcomes)
      deepEqual(
        outcomes.map(({ status }) => status),
        ['committed', 'duplicate'],
      )
      equal((await store.row('timers', 'finish'))?.dueAtMs, 7)
      equal((await store.row('timers', 'unit'))?.dueAtMs, 2, 'finish runs last')
    },
  },
  {
    title: 'finish alone writes its rows, and nothing at all is a commit too',
    run: async ({ store }) => {
      deepEqual(await store.commit([]), [])
      deepEqual(await store.commit([], () => [timerWrite('only')]), [])
      ok(await store.row('timers', 'only'))
      deepEqual(await store.commit([{}]), [{ status: 'committed', positions: [] }])
    },
  },
  {
    title: 'positions grow strictly, in the order of units and of commits started together',
    run: async ({ store }) => {
      const groups = await Promise.all(
        Array.from({ length: 20 }, (_, group) =>
          commitAll(store, [
            { appends: [appendOf(`${group}-a`), appendOf(`${group}-b`)] },
            {},
            { appends: [appendOf(`${group}-c`)] },
          ]),
        ),
      )

      const positions = groups.flat(2)
      equal(positions.length, 60)
      ok((positions[0] ?? 0) > 0)
      positions.forEach((position, index) =>
        ok(index === 0 || position > (positions[index - 1] ?? 0), 'positions grow'),
      )
      equal(await store.headPosition(), positions.at(-1))
      ok(reads(await store.recordAt(groups[7]?.[2]?.[0] ?? 0), '7-c'))
    },
  },
  {
    title: 'a position is never given twice, also after a failed commit and reopening',
    run: async (bench) => {
      const [first = 0] = await commitOne(bench.store, { appends: [appendOf('first')] })
      const reason = new TypeError('finish gave up')
      await rejects(
        bench.store.commit([{ appends: [appendOf('lost')] }], () => {
          throw reason
        }),
      )
      await bench.reopen()
      equal(await bench.store.headPosition(), first)

      const [second = 0] = await commitOne(bench.store, { appends: [appendOf('second')] })

      ok(second > first)
      ok(reads(await bench.store.recordAt(first), 'first'))
      ok(reads(await bench.store.recordAt(second), 'second'))
    },
  },
  {
    title: 'what was acknowledged survives a crash, whole (F22)',
    run: async (bench) => {
      const positions: number[] = []
      for (let round = 0; round < 5; round++) {
        const [position = 0] = await commitOne(bench.store, {
          appends: [appendOf(`round-${round}`)],
          claims: [claimOf(`key-${round}`)],
          rows: [timerWrite(`row-${round}`)],
        })
        positions.push(position)
        await bench.crash()
      }

      for (const [round, position] of positions.entries()) {
        ok(reads(await bench.store.recordAt(position), `round-${round}`))
        equal(await bench.store.claimedPosition('default/acme', `key-${round}`), position)
        ok(await bench.store.row('timers', `row-${round}`))
      }
      equal(await bench.store.headPosition(), positions.at(-1))
    },
  },
  {
    title: 'a writer may use its bytes and rows for something else once they are committed',
    run: async ({ store }) => {
      const append = appendOf('one')
      const row = { owner: 'o', reference: 'r', dueAtMs: 1 }
      const [position = 0] = await commitOne(store, {
        appends: [append],
        rows: [{ collection: 'timers', key: 'row', row }],
      })

      append.bytes.fill(0)
      row.dueAtMs = 2

      ok(reads(await store.recordAt(position), 'one'))
      equal((await store.row('timers', 'row'))?.dueAtMs, 1)
    },
  },
  {
    title: 'a reader that changes what it was given changes nothing for the next',
    run: async ({ store }) => {
      const [position = 0] = await commitOne(store, {
        appends: [appendOf('one')],
        rows: [timerWrite('row', 1)],
      })
      const backwards = { beforePosition: position + 1, limit: 1 }
      const readers = [
        () => store.recordAt(position),
        async () => (await readAll(store, 'orders'))[0],
        async () => (await store.readLogBackwards(backwards))[0],
      ]
      for (const read of readers) (await read())?.bytes.fill(0)
      const row = await store.row('timers', 'row')
      Object.assign(row ?? {}, { dueAtMs: 2 })

      for (const read of readers) ok(reads(await read(), 'one'))
      equal((await store.row('timers', 'row'))?.dueAtMs, 1)
    },
  },
  {
    title: 'readers see a commit whole or not at all',
    run: async ({ store, clock }) => {
      const commits = Array.from({ length: 10 }, (_, round) =>
        commitOne(store, {
          appends: Array.from({ length: 20 }, (_, at) => appendOf(`${round}-${at}`)),
          claims: [claimOf(`key-${round}`)],
          rows: [timerWrite(`row-${round}`)],
        }),
      )
      let running = true
      const done = Promise.all(commits).finally(() => {
        running = false
      })

      do {
        const records = await store.readLogBackwards({
          beforePosition: Number.MAX_SAFE_INTEGER,
          limit: 1_000,
        })
        // Where the log is read up to the head this process knows, rows may show a moment sooner.
        const rows = await store.count({ collection: 'timers' })
        equal(records.length % 20, 0, 'the records of one commit come together')
        ok(records.length <= rows * 20, 'and never without its rows')
        await clock.yield()
      } while (running)

      await done
      equal((await readAll(store, 'orders')).length, 200)
    },
  },
  {
    title: 'a commit of a thousand units keeps every one',
    run: async ({ store }) => {
      const units = Array.from({ length: LIMITS.commitUnitsMax }, (_, at) => ({
        appends: [appendOf(`unit-${at}`, { slot: at % 64 })],
        claims: [claimOf(`key-${at}`)],
        rows: [timerWrite(`row-${at}`, at)],
      }))

      const positions = (await commitAll(store, units)).flat()

      equal(new Set(positions).size, LIMITS.commitUnitsMax)
      equal(await store.count({ collection: 'timers' }), LIMITS.commitUnitsMax)
      const records = await readAll(store, 'orders', { limit: 300 })
      deepEqual(
        records.map(({ position }) => position),
        positions,
      )
      ok(records.every((record, at) => reads(record, `unit-${at}`) && record.slot === at % 64))
      equal(await store.claimedPosition('default/acme', 'key-999'), positions[999])
    },
  },
]
