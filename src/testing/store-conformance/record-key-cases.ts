import { deepEqual, equal } from 'node:assert/strict'
import type { Database } from '../../contract/index.ts'
import type { Append, Store, UnitOutcome } from '../../store/index.ts'
import {
  appendOf,
  claimOf,
  commitOne,
  type ConformanceCase,
  ITEMS,
  positionsOf,
  readAll,
  timerWrite,
} from './conformance-case.ts'

const SCOPE = 'default/fact/orders'

/** A record that is written only if nobody has its key. */
const onlyFirst = (key: string, text: string = key, expiresAtMs?: number): Append => {
  const claim = claimOf(key, { scope: SCOPE, ...(expiresAtMs !== undefined && { expiresAtMs }) })
  return { ...appendOf(text), claim }
}

const leftOutOf = (outcome: UnitOutcome | undefined): readonly number[] | undefined =>
  outcome?.status === 'committed' ? outcome.leftOut : undefined

const logLength = async (store: Store): Promise<number> => (await readAll(store, 'orders')).length

/** Records with a key of their own. */
export const RECORD_KEY_CASES: readonly ConformanceCase[] = [
  {
    title:
      'a record whose own key is taken is left out alone, and the rest of its unit commits (M5)',
    run: async ({ store }) => {
      const [first = 0] = await commitOne(store, { appends: [onlyFirst('taken', 'first')] })

      const [outcome] = await store.commit([
        {
          appends: [appendOf('before'), onlyFirst('taken', 'again'), onlyFirst('free')],
          claims: [claimOf('hard', { append: 2 })],
          rows: [timerWrite('effect')],
        },
      ])

      const [before = 0, again, free = 0] = positionsOf(outcome)
      equal(again, first, 'it is told where the key was claimed')
      deepEqual(leftOutOf(outcome), [1])
      deepEqual([before, free], [first + 1, first + 2], 'positions have no gap')
      equal(await logLength(store), 3)
      equal(await store.claimedPosition(SCOPE, 'taken'), first)
      equal(await store.claimedPosition(SCOPE, 'free'), free)
      equal(await store.claimedPosition('default/acme', 'hard'), free)
      equal(await store.count({ collection: 'timers' }), 1)
    },
  },
  {
    title: 'twice in one unit, and in two units of one commit, the first record has the key',
    run: async ({ store }) => {
      const outcomes = await store.commit([
        { appends: [onlyFirst('key', 'one'), onlyFirst('key', 'two')] },
        { appends: [onlyFirst('key', 'three')], rows: [timerWrite('effect')] },
        { appends: [appendOf('whole')], claims: [claimOf('key', { scope: SCOPE })] },
      ])

      const [position = 0] = positionsOf(outcomes[0])
      deepEqual(outcomes, [
        { status: 'committed', positions: [position, position], leftOut: [1] },
        { status: 'committed', positions: [position], leftOut: [0] },
        { status: 'duplicate', claim: 0, position },
      ])
      equal(await logLength(store), 1)
      equal(await store.count({ collection: 'timers' }), 1)
    },
  },
  {
    title: 'a record whose key a unit claimed for another is left out',
    run: async ({ store }) => {
      const claims = [claimOf('key', { scope: SCOPE })]
      const [first] = await commitOne(store, { appends: [appendOf('published')], claims })

      const [outcome] = await store.commit([{ appends: [onlyFirst('key')] }])

      deepEqual(outcome, { status: 'committed', positions: [first], leftOut: [0] })
    },
  },
  {
    title: 'the key of a record is held across reopening and a crash, until it expires',
    run: async (bench) => {
      const { clock } = bench
      const expiresAtMs = clock.now() + 60_000
      const unit = { appends: [onlyFirst('key', 'first', expiresAtMs)] }
      const [first = 0] = await commitOne(bench.store, unit)
      const repeat = { status: 'committed', positions: [first], leftOut: [0] }

      await bench.reopen()
      deepEqual(await bench.store.commit([unit]), [repeat])
      await bench.crash()
      deepEqual(await bench.store.commit([unit]), [repeat])

      await clock.advance(60_000)
      const later = { appends: [onlyFirst('key', 'later', clock.now() + 60_000)] }
      const [position] = await commitOne(bench.store, later)
      equal(position, first + 1)
      equal(await bench.store.claimedPosition(SCOPE, 'key'), position)
    },
  },
  {
    title: 'a unit that is refused claims no key of its records',
    run: async ({ store }) => {
      const [refused, next] = await store.commit([
        {
          appends: [onlyFirst('key', 'refused')],
          guards: [{ collection: 'timers', key: 'nothing', is: 'present' }],
        },
        { appends: [onlyFirst('key', 'next')] },
      ])

      deepEqual(refused, { status: 'guarded', guard: 0 })
      equal(leftOutOf(next), undefined)
      equal(await store.claimedPosition(SCOPE, 'key'), positionsOf(next)[0])
    },
  },
  {
    title: 'a record that statements return may be left out, and their effects stay (M1, M5)',
    needs: ({ transactions }) => transactions,
    run: async (bench) => {
      await bench.store.migrate([ITEMS])
      const unit = (id: string, ...appends: Append[]) => ({
        appends: [appendOf(`own-${id}`)],
        tx: async (db: Database) => {
          await db.run('insert into items (id) values ($1)', id)
          return { appends, rows: [timerWrite(id)] }
        },
      })
      const failing = {
        tx: async (db: Database) => {
          await db.run('insert into items (id) values ($1)', 'failed')
          return await Promise.reject(new TypeError('the handler gave up'))
        },
      }

      const outcomes = await bench.store.commit([
        failing,
        unit('a', onlyFirst('key', 'first'), onlyFirst('key', 'twin')),
        unit('b', onlyFirst('key', 'second'), onlyFirst('other')),
      ])

      const [, first] = positionsOf(outcomes[1])
      deepEqual(leftOutOf(outcomes[1]), [2])
      deepEqual(leftOutOf(outcomes[2]), [1])
      equal(positionsOf(outcomes[2])[1], first)
      await bench.crash()
      const [late] = await bench.store.commit([unit('c', onlyFirst('other', 'third'))])
      deepEqual(leftOutOf(late), [1])

      const items: unknown[] = []
      await commitOne(bench.store, {
        tx: async (db) => {
          items.push(...(await db.all('select id from items order by id')))
          return {}
        },
      })
      deepEqual(items, [{ id: 'a' }, { id: 'b' }, { id: 'c' }])
      equal(await bench.store.count({ collection: 'timers' }), 3)
      equal(await logLength(bench.store), 5)
      equal(await bench.store.claimedPosition(SCOPE, 'key'), first)
    },
  },
]
