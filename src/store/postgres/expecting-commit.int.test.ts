import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { postgresForTests } from '../../../test/engines/postgres.ts'
import {
  createPostgresBench,
  type PostgresBench,
  unitOf,
} from '../../../test/engines/postgres-bench.ts'
import { createSeededRandom, must } from '../../kernel/index.ts'
import type { PostgresStoreOptions, Store, StoredRecord, Unit, UnitOutcome } from '../index.ts'

let server: Awaited<ReturnType<typeof postgresForTests>> | undefined
let bench: PostgresBench | undefined
let databases = 0
let opened = 0

beforeAll(async () => {
  server = await postgresForTests()
})

afterAll(async () => {
  await server?.stop()
})

beforeEach(async () => {
  databases += 1
  const name = `expecting_${process.pid}_${databases}`
  bench = await createPostgresBench(must(server, 'the server runs').url, name)
})

afterEach(async () => {
  await bench?.close()
})

const theBench = (): PostgresBench => must(bench, 'a test has a database')
/** Each as another process would. */
const open = (options?: Partial<PostgresStoreOptions>): Promise<Store> =>
  theBench().open({ random: createSeededRandom(++opened), ...options })

/** A record without a key: nothing has to be looked at. */
const record = (text: string, channel = 'orders'): Unit => ({
  appends: (unitOf(text).appends ?? []).map((append) => ({ ...append, channel })),
})

const commit = (store: Store, units: readonly Unit[]): Promise<readonly UnitOutcome[]> =>
  store.commit(units, () => [], { needsNoPositions: true })

const positionsOf = (outcomes: readonly UnitOutcome[]): readonly number[] =>
  outcomes.flatMap((outcome) => (outcome.status === 'committed' ? outcome.positions : []))

const textsOf = async (store: Store, channel = 'orders'): Promise<Map<number, string>> => {
  const records: StoredRecord[] = []
  const head = await store.headPosition()
  for (let afterPosition = 0; afterPosition < head;) {
    const page = await store.readLog({ channel, afterPosition, limit: 100, bytesMax: 1e6 })
    records.push(...page.records)
    afterPosition = page.scannedTo
  }
  return new Map(
    records.map(({ position, bytes }) => [position, Buffer.from(bytes).toString('latin1')]),
  )
}

describe('a commit that looks at nothing first', () => {
  it('numbers records without a gap beside other processes, through new partitions, few and many at once (M7)', async () => {
    const stores = [await open(), await open({ partitionBytesMax: 65_536 }), await open()]
    const texts = new Map<number, string>()

    await Promise.all(
      stores.map(async (store, at) => {
        for (let round = 0; round < 30; round++) {
          const names = Array.from(
            { length: (round % 4) ** 3 + 1 },
            (_, n) => `${at}-${round}-${n}`,
          )
          // Some have keys, and are looked up.
          const units = names.map((name) => (round % 7 === 3 ? unitOf(name) : record(name)))
          const positions = positionsOf(await commit(store, units))
          expect(positions.length).toBe(names.length)
          positions.forEach((position, n) => texts.set(position, names[n] ?? ''))
        }
      }),
    )

    const stored = await textsOf(await open())
    expect([...stored.keys()]).toEqual(Array.from({ length: texts.size }, (_, at) => at + 1))
    for (const [position, text] of texts) expect(stored.get(position)).toContain(`"${text}"`)
    expect((await must(stores[0], 'it is open').partitions()).length).toBeGreaterThan(1)
  }, 60_000)

  it('counts from where others have come to, also when that was undone', async () => {
    const one = await open()
    const two = await open()
    expect(positionsOf(await commit(one, [record('a'), record('b')]))).toEqual([1, 2])
    const failing: Unit = { tx: () => Promise.reject(new Error('undone')) }
    await two.commit([failing, record('c')])

    expect(positionsOf(await commit(one, [record('d')]))).toEqual([4])
    expect(positionsOf(await commit(two, [record('e'), record('f')]))).toEqual([5, 6])
  })

  it('writes nothing once another process has its lease (F15)', async () => {
    const slept = await open({ leaseMs: 60_000 })
    const lease = await slept.leases?.take({ name: 'all' })
    expect(lease).toBeDefined()
    // The first makes the table and the second measures it; from then on nothing is looked at.
    for (const text of ['one', 'two', 'three']) await commit(slept, [record(text)])
    await theBench().query(
      `update junctura.lease set owner = 'another', epoch = epoch + 1 where name = 'all'`,
    )

    await expect(commit(slept, [record('late')])).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FENCED',
    })
    expect((await textsOf(await open())).size).toBe(3)
  })

  it('goes on in a table that an earlier release has begun, which numbers nothing', async () => {
    const store = await open()
    await commit(store, [record('a')])
    await theBench().query('alter table junctura.log_1 alter column position drop default')

    expect(positionsOf(await commit(store, [record('b')]))).toEqual([2])
    const many = Array.from({ length: 20 }, (_, at) => record(`c${at}`))
    expect(positionsOf(await commit(store, many)).at(-1)).toBe(22)
  })

  it('is told of what another process made of the tables, and its rows go along', async () => {
    const one = await open()
    const two = await open({ partitionMs: 0 })
    for (const text of ['a', 'aa', 'aaa']) await commit(one, [record(text)])
    await commit(two, [record('b')])
    const row = { collection: 'meta', key: 'k', row: { value: 7 } } as const

    const outcomes = await one.commit([record('c')], () => [row], { needsNoPositions: true })

    expect(positionsOf(outcomes)).toEqual([5])
    expect(await two.row('meta', 'k')).toEqual({ value: 7 })
    expect((await textsOf(two)).size).toBe(5)
  })
})

describe('a page of some slots', () => {
  it('holds all records of them, and says how far it looked', async () => {
    const store = await open()
    const slots = Array.from({ length: 40 }, (_, at) => at % 8)
    await commit(
      store,
      slots.map((slot, at) => ({
        appends: (record(`r${at}`).appends ?? []).map((append) => ({ ...append, slot })),
      })),
    )
    const query = { channel: 'orders', afterPosition: 0, bytesMax: 1e6 }
    const wanted = [
      { first: 1, last: 2 },
      { first: 6, last: 6 },
    ]

    const all = await store.readLog({ ...query, limit: 100, slots: wanted })
    const some = await store.readLog({ ...query, limit: 4, slots: wanted })

    expect(all.records.map(({ slot }) => slot)).toEqual(
      slots.filter((slot) => [1, 2, 6].includes(slot)),
    )
    expect(all.scannedTo).toBe(40)
    expect(some.records.length).toBe(4)
    expect(some.scannedTo).toBe(some.records.at(-1)?.position)
  })
})
