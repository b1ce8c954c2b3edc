import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { must, sleep } from '../kernel/index.ts'
import {
  append,
  type Bench,
  claim,
  DRIVERS,
  ORDER_EFFECTS,
  textsOf,
  unitOf,
} from './drivers.fixture.ts'
import type { CollectionName } from './catalogue.ts'
import type { RowWrite, ScanQuery, Store, Unit, UnitOutcome } from './store.ts'

const effectsIn = async (store: Store): Promise<unknown> => {
  let rows: unknown
  await store.commit([
    {
      tx: async (db) => {
        rows = (await db.all('SELECT text FROM effects ORDER BY seq')).map(({ text }) => text)
        return {}
      },
    },
  ])
  return rows
}

const timer = (key: string, dueAtMs: number): RowWrite => ({
  collection: 'timers',
  key,
  row: { owner: 'test', reference: key, dueAtMs },
})

describe.each(DRIVERS)('the %s store', (_, open) => {
  it('gives one of fifty equal claims, and the others its position', async () => {
    const { store } = await open()
    const units = Array.from({ length: 50 }, (__, index) =>
      unitOf(`${index}`, { claims: [claim('same')] }),
    )

    const first = await store.commit(units.slice(0, 30))
    const second = await store.commit(units.slice(30))

    const statuses = [...first, ...second].map(({ status }) => status)
    expect(statuses).toEqual(['committed', ...Array<string>(49).fill('duplicate')])
    expect(second[0]).toEqual({ status: 'duplicate', claim: 0, position: 1 })
    expect(await textsOf(store)).toEqual(['0'])
  })

  it('undoes a unit that is refused and keeps those around it', async () => {
    const { store } = await open()
    await store.migrate([ORDER_EFFECTS])
    await store.commit([unitOf('before', { claims: [claim('taken')], rows: [timer('there', 1)] })])
    const cyclic: Record<string, unknown> = {}
    cyclic['self'] = cyclic

    const outcomes = await store.commit([
      unitOf('one', { rows: [timer('one', 1)] }),
      unitOf('x', { claims: [claim('free'), claim('taken')], rows: [timer('x', 1)] }),
      unitOf('x', { guards: [{ collection: 'timers', key: 'there', is: 'absent' }] }),
      unitOf('x', { guards: [{ collection: 'timers', key: 'one', is: 'present' }] }),
      unitOf('x', {
        rows: [timer('x', 1), { collection: 'meta', key: 'x', row: { value: cyclic } }],
      }),
      unitOf('x', { claims: [claim('free', { append: 3 })] }),
      unitOf('x', { tx: (db) => db.run('INSERT INTO nowhere VALUES (1)').then(() => ({})) }),
      unitOf('free', { claims: [claim('free')] }),
    ])

    expect(outcomes.map(({ status }) => status)).toEqual([
      'committed',
      'duplicate',
      'guarded',
      'committed',
      'failed',
      'failed',
      'failed',
      'committed',
    ])
    expect(outcomes[1]).toEqual({ status: 'duplicate', claim: 1, position: 1 })
    expect(await textsOf(store)).toEqual(['before', 'one', 'x', 'free'])
    expect(await store.row('timers', 'x')).toBeUndefined()
    expect(await store.claimedPosition('acme', 'free')).toBe(4)
    expect(await store.headPosition()).toBe(4)
  })

  it('rolls the whole group back when its last rows cannot be written', async () => {
    const { store, reopen } = await open()
    await store.migrate([ORDER_EFFECTS])
    const tx: NonNullable<Unit['tx']> = async (db) => {
      await db.run('INSERT INTO effects (text) VALUES ($1)', 'lost')
      return {}
    }

    const commit = store.commit(
      [unitOf('lost', { claims: [claim('lost')], rows: [timer('lost', 1)] }), { tx }],
      () => {
        throw new TypeError('the book is torn')
      },
    )
    await expect(commit).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
    const reopened = await reopen()

    expect(await reopened.headPosition()).toBe(0)
    expect(await reopened.claimedPosition('acme', 'lost')).toBeUndefined()
    expect(await reopened.count({ collection: 'timers' })).toBe(0)
    expect(await effectsIn(reopened)).toEqual([])
    const [again] = await reopened.commit([unitOf('found', { claims: [claim('lost')] })])
    expect(again).toEqual({ status: 'committed', positions: [1] })
  })

  it('rolls back a callback that awaits something else, and nothing but it', async () => {
    const { store, clock } = await open()
    await store.migrate([ORDER_EFFECTS])
    const insert =
      (text: string, leave?: () => Promise<void>): NonNullable<Unit['tx']> =>
      async (db) => {
        await db.run('INSERT INTO effects (text) VALUES ($1)', text)
        await leave?.()
        return { appends: [append(`emitted by ${text}`)] }
      }

    const outcomes = await store.commit([
      unitOf('first', { tx: insert('first') }),
      unitOf('left', { tx: insert('left', () => sleep(clock, 5)), claims: [claim('left')] }),
      unitOf('last', { tx: insert('last') }),
    ])

    expect(outcomes).toMatchObject([
      { status: 'committed', positions: [1, 2] },
      { status: 'failed', error: { code: 'JUNCTURA_TX_LEFT' } },
      { status: 'committed', positions: [3, 4] },
    ])
    expect(await effectsIn(store)).toEqual(['first', 'last'])
    expect(await store.claimedPosition('acme', 'left')).toBeUndefined()
  })

  it('shows readers nothing of a commit that is still open', async () => {
    const { store } = await open()
    const seen: unknown[] = []
    const look = async (): Promise<void> => {
      seen.push(
        await store.headPosition(),
        await store.row('timers', 'new'),
        await store.claimedPosition('acme', 'new'),
        await store.recordAt(1),
        (await store.readLog({ channel: 'orders', afterPosition: 0, limit: 9, bytesMax: 1e6 }))
          .records.length,
      )
    }
    let looking: Promise<void> | undefined

    await store.commit([
      unitOf('new', { rows: [timer('new', 1)], claims: [claim('new')] }),
      {
        tx: async (db) => {
          looking = look()
          await db.all('SELECT 1')
          await looking.catch(() => undefined)
          return {}
        },
      },
    ])
    await looking

    expect(seen).toEqual([0, undefined, undefined, undefined, 0])
    expect(await store.headPosition()).toBe(1)
  })

  it('refuses values of the user that no store takes alike', async () => {
    const { store } = await open()
    await store.migrate([ORDER_EFFECTS])
    const attempts: (readonly [string, ...(string | number)[]])[] = [
      ['INSERT INTO effects (text) VALUES ($1)'],
      ['INSERT INTO effects (text) VALUES ($1)', 'a', 'b'],
      ['INSERT INTO effects (text) VALUES (?)', 'a'],
      ["INSERT INTO effects (text) VALUES ('a'); DELETE FROM effects"],
      ["INSERT OR ROLLBACK INTO effects (text) VALUES ('a')"],
    ]

    const outcomes = await store.commit(
      attempts.map(([sql, ...values]) => ({
        tx: (db) => db.run(sql, ...values).then(() => ({})),
      })),
    )

    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: 'failed',
        error: { code: 'JUNCTURA_TX_STATEMENT' },
      })
    }
    expect(await effectsIn(store)).toEqual([])
  })

  it('binds numbered values in any order, and truth as a number', async () => {
    const { store } = await open()
    let row: unknown

    await store.commit([
      {
        tx: async (db) => {
          row = await db.get("SELECT $2 AS b, $1 AS a, $2 AS c, '$9 ; ?' AS d", true, 'two')
          return {}
        },
      },
    ])

    expect(row).toEqual({ a: 1, b: 'two', c: 'two', d: '$9 ; ?' })
  })

  it('begins a partition by size and by age, drops it whole, and counts on', async () => {
    const { store, clock, reopen } = await open({ partitionBytesMax: 2_000, partitionMs: 60_000 })
    const kilobyte = 'x'.repeat(1_000)
    for (let count = 0; count < 4; count++) {
      await store.commit([unitOf(kilobyte, { appends: [append(kilobyte, { atMs: count })] })])
    }
    await clock.advance(60_000)
    await store.commit([unitOf('late')])
    const before = await store.partitions()

    for (const { id } of before) await store.dropPartition(id)
    await store.dropPartition(must(before[0], 'there is a first').id)
    const reopened = await reopen()

    expect(before.map(({ firstPosition, lastPosition }) => [firstPosition, lastPosition])).toEqual([
      [1, 2],
      [3, 4],
      [5, 5],
    ])
    expect(before[0]).toMatchObject({ firstAtMs: 0, lastAtMs: 1, open: false })
    expect(before[2]).toMatchObject({ open: true })
    expect(await reopened.partitions()).toMatchObject([{ firstPosition: 5, lastPosition: 5 }])
    expect(await reopened.recordAt(1)).toBeUndefined()
    expect(await textsOf(reopened)).toEqual(['late'])
    expect(await reopened.headPosition()).toBe(5)
    const [next] = await reopened.commit([unitOf('next')])
    expect(next).toEqual({ status: 'committed', positions: [6] })
  })

  it('keeps its head when everything but an empty partition was dropped', async () => {
    const { store, clock, reopen } = await open({ partitionMs: 1_000 })
    await store.commit([unitOf('old')])
    await clock.advance(1_000)
    await store.commit([{ rows: [timer('a', 1)] }])
    const [old] = await store.partitions()
    await store.dropPartition(must(old, 'there is a first').id)
    const reopened = await reopen()

    expect(await reopened.headPosition()).toBe(1)
    expect(await textsOf(reopened)).toEqual([])
  })

  it('applies a migration once, and refuses one that was changed (F12)', async () => {
    const { store, reopen } = await open()
    await store.migrate([ORDER_EFFECTS])
    const reopened = await reopen()
    await reopened.migrate([ORDER_EFFECTS])
    const half = {
      ...ORDER_EFFECTS,
      name: 'half',
      sqlite: 'CREATE TABLE half (a); INSERT INTO nowhere VALUES (1)',
    }

    await expect(reopened.migrate([{ ...ORDER_EFFECTS, checksum: 'two' }])).rejects.toMatchObject({
      code: 'JUNCTURA_MIGRATION_CHANGED',
    })
    await expect(reopened.migrate([half])).rejects.toMatchObject({
      code: 'JUNCTURA_MIGRATION_FAILED',
      details: { name: 'half' },
    })
    await reopened.migrate([{ ...half, sqlite: 'CREATE TABLE half (a)' }])
  })

  it('forgets a key when it expires, also after it was opened again', async () => {
    const { store, clock, reopen } = await open()
    const expiresAtMs = clock.now() + 3_600_000
    await store.commit([unitOf('a', { claims: [claim('key', { expiresAtMs })] })])
    const reopened = await reopen()

    await clock.advance(3_599_999)
    expect(await reopened.claimedPosition('acme', 'key')).toBe(1)
    expect(await reopened.claimedPosition('other', 'key')).toBeUndefined()
    await clock.advance(1)
    expect(await reopened.claimedPosition('acme', 'key')).toBeUndefined()
    await clock.advance(86_400_000)
    await reopened.expireClaims(clock.now())
    const last = await reopen()

    const later = claim('key', { expiresAtMs: clock.now() + 1_000 })
    const [outcome] = await last.commit([unitOf('b', { claims: [later] })])
    expect(outcome).toEqual({ status: 'committed', positions: [2] })
  })

  it('refuses everything once it is closed', async () => {
    const { store } = await open()
    await store.close()
    await store.close()

    await expect(store.commit([unitOf('x')])).rejects.toMatchObject({ code: 'JUNCTURA_CLOSED' })
    await expect(store.headPosition()).rejects.toMatchObject({ code: 'JUNCTURA_CLOSED' })
  })
})

describe('both stores', () => {
  const names = ['a', 'b', 'é', '\u{ff5e}', '\u{1f600}', 'A', 'aa', '']
  const name = fc.constantFrom(...names)
  const value = fc.integer({ min: -2, max: 3 })
  const write: fc.Arbitrary<RowWrite> = fc.oneof(
    fc.record({ key: name, value }).map(({ key, value: dueAtMs }) => timer(key, dueAtMs)),
    name.map((key): RowWrite => ({ collection: 'timers', key, row: undefined })),
    fc
      .record({ key: name, lane: name, position: value })
      .map(({ key, lane, position }): RowWrite => ({
        collection: 'successors',
        key,
        row: { consumer: 'c', lane, position },
      })),
  )
  const unit: fc.Arbitrary<Unit> = fc.record(
    {
      appends: fc.array(
        fc
          .record({ text: name, channel: fc.constantFrom('orders', 'stock') })
          .map(({ text, channel }) => append(text, { channel })),
        { minLength: 1, maxLength: 3 },
      ),
      rows: fc.array(write, { maxLength: 4 }),
      claims: fc.array(
        fc
          .record({ key: name, append: fc.integer({ min: 0, max: 3 }) })
          .map((wanted) => claim(wanted.key, { append: wanted.append })),
        { maxLength: 2 },
      ),
      guards: fc.array(
        fc.record({
          collection: fc.constantFrom<CollectionName>('timers', 'successors'),
          key: name,
          is: fc.constantFrom('absent', 'present'),
        }),
        { maxLength: 1 },
      ),
    },
    { requiredKeys: ['appends'] },
  )
  const bounds = { from: value, to: value, after: name, reverse: fc.boolean() }
  const limit = fc.integer({ min: 1, max: 5 })
  const scan: fc.Arbitrary<ScanQuery<'timers'> | ScanQuery<'successors'>> = fc.oneof(
    fc.record(
      { ...bounds, collection: fc.constant('timers'), index: fc.constant('byDue'), limit },
      { requiredKeys: ['collection', 'index', 'limit'] },
    ),
    fc.record(
      {
        ...bounds,
        collection: fc.constant('successors'),
        index: fc.constant('byLane'),
        where: name.map((lane) => [lane]),
        limit,
      },
      { requiredKeys: ['collection', 'index', 'where', 'limit'] },
    ),
    fc.record(
      { collection: fc.constant('timers'), from: name, to: name, after: name, limit },
      { requiredKeys: ['collection', 'limit'] },
    ),
  )
  const shapeOf = (outcomes: readonly UnitOutcome[]): unknown =>
    outcomes.map((outcome) => (outcome.status === 'failed' ? outcome.status : outcome))

  it('give the same answers to the same calls', async () => {
    const benches: Bench[] = []
    for (const [, open] of DRIVERS) benches.push(await open())
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(unit, { maxLength: 4 }), { maxLength: 4 }),
        fc.array(scan, { maxLength: 5 }),
        async (commits, scans) => {
          const answers = await Promise.all(
            benches.map(async ({ store }) => {
              const found: unknown[] = []
              for (const units of commits) found.push(shapeOf(await store.commit(units)))
              for (const query of scans) {
                found.push(await store.scan(query))
                const { after, from, to, limit: _, ...rest } = query
                found.push(await store.count(rest), after, from, to)
              }
              for (const key of names) found.push(await store.claimedPosition('acme', key))
              const afterPosition = Math.max(0, (await store.headPosition()) - 20)
              const log = { channel: 'stock', afterPosition, limit: 7, bytesMax: 6 }
              const { records, scannedTo } = await store.readLog(log)
              found.push(scannedTo, await store.headPosition())
              found.push(records.map(({ bytes, ...rest }) => ({ ...rest, text: String(bytes) })))
              const backwards = await store.readLogBackwards({
                channel: 'orders',
                beforePosition: afterPosition + 10,
                limit: 5,
              })
              found.push(backwards.map(({ position }) => position))
              return found
            }),
          )
          expect(answers[1]).toEqual(answers[0])
        },
      ),
      { numRuns: 60 },
    )
  })
})
