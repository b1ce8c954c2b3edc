import { deepEqual, equal, ok } from 'node:assert/strict'
import {
  appendOf,
  claimOf,
  commitOne,
  type ConformanceCase,
  DAY_MS,
  positionsOf,
  readAll,
  timerDelete,
  timerWrite,
} from './conformance-case.ts'

const SCOPE = 'default/acme'

/** Keys that partners send: nothing about a key may be special. */
export const UNUSUAL_KEYS: readonly string[] = [
  '',
  ' ',
  '\n',
  'a\nb',
  "it's",
  '"quoted"',
  '\\back\\slash',
  '{1,2}',
  '$1',
  '%_',
  'NULL',
  'ä',
  'a\u0308',
  '日本語',
  '😀',
  '\uffff',
  '\u0000',
  'a\u0000b',
  'k'.repeat(512),
]

export const CLAIM_CASES: readonly ConformanceCase[] = [
  {
    title: 'a claimed key stands for the record it names',
    run: async ({ store }) => {
      const positions = await commitOne(store, {
        appends: [appendOf('a'), appendOf('b')],
        claims: [claimOf('second', { append: 1 }), claimOf('first', { append: 0 })],
      })

      equal(await store.claimedPosition(SCOPE, 'first'), positions[0])
      equal(await store.claimedPosition(SCOPE, 'second'), positions[1])
      equal(await store.claimedPosition(SCOPE, 'third'), undefined)
    },
  },
  {
    title: 'a key claimed before is refused with the position that took it',
    run: async ({ store }) => {
      const [position] = await commitOne(store, {
        appends: [appendOf('first')],
        claims: [claimOf('key')],
      })

      const outcomes = await store.commit([
        { appends: [appendOf('again')], claims: [claimOf('fresh'), claimOf('key')] },
      ])

      deepEqual(outcomes, [{ status: 'duplicate', claim: 1, position }])
      equal(await store.claimedPosition(SCOPE, 'fresh'), undefined, 'all of a unit, or nothing')
      equal((await readAll(store, 'orders')).length, 1)
    },
  },
  {
    title: 'two units of one commit with the same key: the first has it',
    run: async ({ store }) => {
      const unit = { appends: [appendOf('twin')], claims: [claimOf('key')] }

      const [first, second] = await store.commit([unit, unit])

      const [position] = positionsOf(first)
      deepEqual(second, { status: 'duplicate', claim: 0, position })
      equal((await readAll(store, 'orders')).length, 1)
    },
  },
  {
    title: 'a key of a refused unit is free for the next unit of the same commit',
    run: async ({ store }) => {
      const [refused, next] = await store.commit([
        {
          appends: [appendOf('refused')],
          claims: [claimOf('key')],
          guards: [{ collection: 'timers', key: 'nothing', is: 'present' }],
        },
        { appends: [appendOf('next')], claims: [claimOf('key')] },
      ])

      deepEqual(refused, { status: 'guarded', guard: 0 })
      equal(await store.claimedPosition(SCOPE, 'key'), positionsOf(next)[0])
    },
  },
  {
    title: 'a hundred commits of one key at once: one has it, the others learn its position',
    run: async ({ store }) => {
      const outcomes = await Promise.all(
        Array.from({ length: 100 }, (_, at) =>
          store.commit([{ appends: [appendOf(`copy-${at}`)], claims: [claimOf('key')] }]),
        ),
      )

      const committed = outcomes.flat().filter(({ status }) => status === 'committed')
      equal(committed.length, 1)
      const [position] = positionsOf(committed[0])
      const others = outcomes.flat().filter(({ status }) => status !== 'committed')
      equal(others.length, 99)
      for (const other of others) deepEqual(other, { status: 'duplicate', claim: 0, position })
      equal((await readAll(store, 'orders')).length, 1)
    },
  },
  {
    title: 'the same key in another scope is another key (F62)',
    run: async ({ store }) => {
      const scopes = ['tenant/acme', 'tenant/globex', 'tenant', '', 'tenant/acme/key']
      const positions: number[] = []
      for (const scope of scopes) {
        const [position = 0] = await commitOne(store, {
          appends: [appendOf(scope)],
          claims: [claimOf('key', { scope })],
        })
        positions.push(position)
      }

      // Nor do scope and key run into each other.
      equal(await store.claimedPosition('tenant/acme/ke', 'y'), undefined)
      equal(await store.claimedPosition('', 'tenant/acmekey'), undefined)
      for (const [at, scope] of scopes.entries()) {
        equal(await store.claimedPosition(scope, 'key'), positions[at])
      }
    },
  },
  {
    title: 'a key is held until it expires, and can then be claimed anew',
    run: async ({ store, clock }) => {
      const expiresAtMs = clock.now() + 60_000
      const claim = claimOf('key', { expiresAtMs })
      const [first] = await commitOne(store, { appends: [appendOf('first')], claims: [claim] })

      await clock.advance(59_999)
      const early = await store.commit([{ appends: [appendOf('early')], claims: [claim] }])
      deepEqual(early, [{ status: 'duplicate', claim: 0, position: first }])
      await clock.advance(1)
      equal(await store.claimedPosition(SCOPE, 'key'), undefined)

      // Into the same span of expiry times, and over the old one.
      const again = claimOf('key', { expiresAtMs: clock.now() + 10 })
      const [second] = await commitOne(store, { appends: [appendOf('second')], claims: [again] })
      equal(await store.claimedPosition(SCOPE, 'key'), second)
      await clock.advance(10)
      equal(await store.claimedPosition(SCOPE, 'key'), undefined)
    },
  },
  {
    title: 'expireClaims forgets no key that is held, however often it runs',
    run: async (bench) => {
      const { clock } = bench
      const days = [1, 2, 7, 30, 400]
      const startMs = clock.now()
      const positions = new Map<number, number>()
      for (const day of days) {
        const [position = 0] = await commitOne(bench.store, {
          appends: [appendOf(`day-${day}`)],
          claims: [claimOf(`day-${day}`, { expiresAtMs: startMs + day * DAY_MS })],
        })
        positions.set(day, position)
      }

      for (const day of days) {
        await clock.advance(startMs + day * DAY_MS - clock.now() - 1)
        for (let times = 0; times < 5; times++) await bench.store.expireClaims(clock.now())
        await bench.reopen()
        for (const [held, position] of positions) {
          const expected = held >= day ? position : undefined
          equal(await bench.store.claimedPosition(SCOPE, `day-${held}`), expected, `day ${held}`)
        }
      }
    },
  },
  {
    title: 'keys are held across reopening and a crash',
    run: async (bench) => {
      const unit = { appends: [appendOf('first')], claims: [claimOf('key')] }
      const [position] = await commitOne(bench.store, unit)

      await bench.reopen()
      deepEqual(await bench.store.commit([unit]), [{ status: 'duplicate', claim: 0, position }])
      await bench.crash()
      deepEqual(await bench.store.commit([unit]), [{ status: 'duplicate', claim: 0, position }])
    },
  },
  {
    title: 'nothing about a key is special: each unusual one is itself and no other',
    run: async (bench) => {
      const positions: number[] = []
      for (const key of UNUSUAL_KEYS) {
        const [position = 0] = await commitOne(bench.store, {
          appends: [appendOf('record')],
          claims: [claimOf(key), claimOf('key', { scope: key })],
        })
        positions.push(position)
      }
      await bench.reopen()

      for (const [at, key] of UNUSUAL_KEYS.entries()) {
        equal(await bench.store.claimedPosition(SCOPE, key), positions[at])
        equal(await bench.store.claimedPosition(key, 'key'), positions[at])
      }
    },
  },
  {
    title: 'a guard holds or refuses, and says which one did',
    run: async ({ store }) => {
      await commitOne(store, { rows: [timerWrite('there')] })
      const guard = (key: string, is: 'absent' | 'present') => ({
        appends: [appendOf(`${key}-${is}`)],
        guards: [
          { collection: 'timers' as const, key: 'there', is: 'present' as const },
          { collection: 'timers' as const, key, is },
        ],
      })

      const outcomes = await store.commit([
        guard('there', 'present'),
        guard('there', 'absent'),
        guard('nothing', 'present'),
        guard('nothing', 'absent'),
      ])

      deepEqual(
        outcomes.map((outcome) => (outcome.status === 'guarded' ? outcome.guard : outcome.status)),
        ['committed', 1, 1, 'committed'],
      )
    },
  },
  {
    title: 'a guard sees the units before it in its commit, and not its own rows',
    run: async ({ store }) => {
      const absent = { collection: 'timers', key: 'row', is: 'absent' } as const
      const present = { collection: 'timers', key: 'row', is: 'present' } as const

      const outcomes = await store.commit([
        { guards: [absent], rows: [timerWrite('row', 1)] },
        { guards: [absent], rows: [timerWrite('row', 2)] },
        { guards: [present], rows: [timerDelete('row')] },
        { guards: [present], rows: [timerWrite('row', 3)] },
        { guards: [absent], rows: [timerWrite('row', 4)] },
      ])

      deepEqual(
        outcomes.map(({ status }) => status),
        ['committed', 'guarded', 'committed', 'guarded', 'committed'],
      )
      equal((await store.row('timers', 'row'))?.dueAtMs, 4)
      ok((await store.headPosition()) === 0, 'rows take no position')
    },
  },
]
