import { deepEqual, equal } from 'node:assert/strict'
import type { Database, SqlValue } from '../../contract/index.ts'
import { JuncturaError } from '../../kernel/index.ts'
import type { Store, Unit } from '../../store/index.ts'
import { appendOf, commitOne, type ConformanceCase, ITEMS, readAll } from './conformance-case.ts'

interface ItemRow {
  readonly id: string
  readonly whole: SqlValue
  readonly bytes: SqlValue
}

const UNITS = 60
const MANY = 70

// Those that read, write bytes or write much are not like the others to every driver.
const reads = (place: number): boolean => place % 5 === 1
const writesBytes = (place: number): boolean => place % 5 === 2
const writesMuch = (place: number): boolean => place % 5 === 3
const throws = (place: number): boolean => place % 7 === 6
const writesTwice = (place: number): boolean => place % 11 === 10
const stays = (place: number): boolean => !throws(place) && !writesTwice(place)

const PLACES: readonly number[] = Array.from({ length: UNITS }, (_, place) => place)

const insert = (db: Database, id: string): Promise<unknown> =>
  db.run('insert into items (id, whole) values ($1, $2)', id, 1)

const many = (place: number): readonly string[] =>
  Array.from({ length: MANY }, (_, index) => `${place}+${index}`)

/** Ids that a unit leaves. */
const idsOf = (place: number): readonly string[] =>
  writesMuch(place) ? [`${place}`, ...many(place)] : [`${place}`]

/** What the callback of a unit finds, its own row included. */
const countAt = (place: number): number =>
  1 + PLACES.filter((one) => one < place && stays(one)).flatMap(idsOf).length

const write = async (db: Database, place: number, seen: Map<number, number>): Promise<void> => {
  await insert(db, `${place}`)
  if (reads(place)) {
    const [row] = await db.all<{ n: number }>('select count(*) as n from items')
    seen.set(place, Number(row?.n))
  }
  if (writesBytes(place)) {
    const bytes = Uint8Array.of(place)
    await db.run('update items set bytes = $1 where id = $2', bytes, `${place}`)
    bytes[0] = 255
  }
  if (writesMuch(place)) for (const id of many(place)) await insert(db, id)
  // What callbacks wrote is there for those after them, once.
  await db.run('update items set whole = whole + 1 where id = $1', `${place - 1}`)
  if (throws(place))
    throw new JuncturaError('JUNCTURA_USAGE', { details: { problem: 'the handler gives up' } })
  if (writesTwice(place)) await insert(db, `${place}`)
}

/** All rows of the user's table, read in a unit of its own. */
const itemRows = async (store: Store): Promise<readonly ItemRow[]> => {
  let rows: readonly ItemRow[] = []
  await commitOne(store, {
    tx: async (db) => {
      rows = await db.all<ItemRow>('select id, whole, bytes from items')
      return {}
    },
  })
  return rows
}

export const TX_TOGETHER_CASES: readonly ConformanceCase[] = [
  {
    title: 'of callbacks that commit together each one that fails is taken back alone (M1)',
    needs: (features) => features.transactions,
    run: async ({ store }) => {
      await store.migrate([ITEMS])
      const calls: number[] = []
      const seen = new Map<number, number>()
      const units = PLACES.map((place): Unit => ({
        tx: async (db) => {
          calls.push(place)
          await write(db, place, seen)
          return { appends: [appendOf(`${place}`)] }
        },
      }))

      const outcomes = await store.commit(units)

      deepEqual(
        outcomes.map(({ status }) => status === 'committed'),
        PLACES.map(stays),
      )
      deepEqual(calls, PLACES)
      deepEqual(
        [...seen],
        PLACES.filter(reads).map((place) => [place, countAt(place)]),
      )
      equal((await readAll(store, 'orders')).length, PLACES.filter(stays).length)
      const rows = new Map((await itemRows(store)).map((row) => [row.id, row]))
      deepEqual([...rows.keys()].toSorted(), PLACES.filter(stays).flatMap(idsOf).toSorted())
      for (const place of PLACES.filter(stays)) {
        const row = rows.get(`${place}`)
        equal(Number(row?.whole), place + 1 < UNITS && stays(place + 1) ? 2 : 1)
        if (writesBytes(place)) deepEqual([...Buffer.from(bytesOf(row))], [place])
      }
    },
  },
]

const bytesOf = (row: ItemRow | undefined): Uint8Array =>
  row?.bytes instanceof Uint8Array ? row.bytes : new Uint8Array()
