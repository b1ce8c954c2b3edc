import { deepEqual, equal, ok } from 'node:assert/strict'
import { type Random, randomInteger } from '../../kernel/index.ts'
import {
  COLLECTIONS,
  type CollectionName,
  indexesOf,
  type KeyedRow,
  type Store,
} from '../../store/index.ts'
import { commitAll, writeOf } from './conformance-case.ts'
import { answerOf, isIndexed, type ModelQuery, type ModelRow } from './row-model.ts'

const ROUNDS = 3
const WRITES_PER_ROUND = 40
const QUERIES_PER_INDEX = 8

const KEYS = ['', 'a', 'a\nb', 'a\n', 'b', 'ä', 'é', '\uffff', '😀', "'", '"', '%', 'Z', '0', '10']
const TEXTS = ['', 'a', 'b', 'open', 'Open', 'ä', '\uffff', '😀', 'x\ny', '10', '9']
const NUMBERS = [0, 1, -1, 2, 9, 10, 0.5, -2.5, 1_767_225_600_000, 2 ** 53 - 1, -(2 ** 40)]

/**
 * Writes random rows into every collection, in several commits that also replace and delete, and
 * after each round asks random questions of every index, page by page. The seed is the caller's,
 * so that what fails fails again.
 */
export const compareWithModel = async (store: Store, random: Random): Promise<void> => {
  for (const collection of collectionNames()) {
    const rows = new Map<string, ModelRow>()
    for (let round = 0; round < ROUNDS; round++) {
      await writeRandomly(store, collection, { rows, random })
      const indexes = [undefined, ...Object.keys(indexesOf(collection))]
      for (const index of indexes) {
        for (let count = 0; count < QUERIES_PER_INDEX; count++) {
          const query = randomQuery(collection, index, { rows: [...rows.values()], random })
          await askBoth(store, [...rows.values()], {
            query,
            limit: randomInteger(random, 1, WRITES_PER_ROUND),
          })
        }
      }
    }
  }
}

const collectionNames = (): readonly CollectionName[] =>
  // `Object.keys` of a constant gives its keys.
  Object.keys(COLLECTIONS) as CollectionName[]

const pick = <T>(random: Random, items: readonly T[]): T | undefined =>
  items[randomInteger(random, 0, items.length - 1)]

async function writeRandomly(
  store: Store,
  collection: CollectionName,
  { rows, random }: { readonly rows: Map<string, ModelRow>; readonly random: Random },
): Promise<void> {
  const fields = [...new Set(Object.values(indexesOf(collection)).flat())]
  const writes = Array.from({ length: WRITES_PER_ROUND }, () => {
    const key = pick(random, KEYS) ?? ''
    if (random.next() < 0.2) {
      rows.delete(key)
      return writeOf(collection, key, undefined)
    }
    const row: Record<string, unknown> = { note: randomInteger(random, 0, 1_000) }
    for (const field of fields) {
      // A field that is missing, or neither text nor number, keeps the row out of the index.
      if (random.next() < 0.1) row[field] = pick<unknown>(random, [null, true, [1], {}])
      else if (random.next() < 0.9)
        row[field] = pick<string | number>(random, isNumeric(field) ? NUMBERS : TEXTS)
    }
    rows.set(key, { key, row })
    return writeOf(collection, key, row)
  })
  const half = randomInteger(random, 0, writes.length)
  await commitAll(store, [{ rows: writes.slice(0, half) }, { rows: writes.slice(half) }])
}

const isNumeric = (field: string): boolean => /Ms$|^position$/.test(field)

function randomQuery(
  collection: CollectionName,
  index: string | undefined,
  { rows, random }: { readonly rows: readonly ModelRow[]; readonly random: Random },
): ModelQuery {
  const fields = index === undefined ? [] : (indexesOf(collection)[index] ?? [])
  const model = pick(random, rows)
  const valueOf = (field: string): string | number => {
    const value = model?.row[field]
    const other = pick<string | number>(random, isNumeric(field) ? NUMBERS : TEXTS) ?? ''
    return isIndexed(value) && random.next() < 0.8 ? value : other
  }
  const where = fields.slice(0, randomInteger(random, 0, fields.length)).map(valueOf)
  const bounded = fields[where.length]
  const bound = (): string | number =>
    bounded === undefined ? (pick(random, KEYS) ?? '') : valueOf(bounded)
  return {
    collection,
    ...(index !== undefined && { index }),
    ...((where.length > 0 || random.next() < 0.5) && { where }),
    ...(random.next() < 0.3 && { from: bound() }),
    ...(random.next() < 0.3 && { to: bound() }),
    ...(random.next() < 0.5 && { reverse: random.next() < 0.8 }),
  }
}

async function askBoth(
  store: Store,
  rows: readonly ModelRow[],
  { query, limit }: { readonly query: ModelQuery; readonly limit: number },
): Promise<void> {
  const expected = answerOf(rows, query)
  const found: KeyedRow<CollectionName>[] = []
  for (let after: string | undefined; found.length <= expected.length;) {
    const page = await store.scan({ ...query, limit, ...(after !== undefined && { after }) })
    ok(page.length <= limit, 'a page has no more rows than were asked for')
    found.push(...page)
    after = page.at(-1)?.key
    if (page.length < limit) break
  }
  deepEqual(found, expected, `scan ${JSON.stringify({ ...query, limit })}`)
  const { collection, index, where, from, to } = query
  if (from !== undefined || to !== undefined) return
  const counted = await store.count({
    collection,
    ...(index !== undefined && { index }),
    ...(where !== undefined && { where }),
  })
  equal(counted, expected.length, `count ${JSON.stringify(query)}`)
}
