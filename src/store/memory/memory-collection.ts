import { assert, must } from '../../kernel/index.ts'
import { type CollectionName, indexesOf } from '../catalogue.ts'
import type { ScanQuery } from '../store.ts'
import { type EncodedRow, indexedFieldsOf } from '../unit-check.ts'

type Place = readonly (string | number)[]

interface StoredRow {
  readonly value: string
  readonly fields: readonly (string | number | null)[]
}

/** Rows of one collection, each index kept as a sorted list of places that end in the key. */
export class MemoryCollection {
  readonly #name: CollectionName
  readonly #rows = new Map<string, StoredRow>()
  readonly #byKey: Place[] = []
  readonly #indexes = new Map<string, { readonly columns: number[]; readonly places: Place[] }>()

  constructor(name: CollectionName) {
    this.#name = name
    const all = indexedFieldsOf(name)
    for (const [index, fields] of Object.entries(indexesOf(name))) {
      const columns = fields.map((field) => all.indexOf(field))
      this.#indexes.set(index, { columns, places: [] })
    }
  }

  value(key: string): string | undefined {
    return this.#rows.get(key)?.value
  }

  put({ key, value, fields }: EncodedRow): void {
    const before = this.#rows.get(key)
    if (before === undefined && value === undefined) return
    if (before === undefined) insert(this.#byKey, [key])
    if (value === undefined) remove(this.#byKey, [key])
    for (const { columns, places } of this.#indexes.values()) {
      const oldPlace = before && placeOf(columns, before.fields, key)
      const newPlace = value === undefined ? undefined : placeOf(columns, fields, key)
      if (oldPlace && newPlace && comparePlaces(oldPlace, newPlace) === 0) continue
      if (oldPlace) remove(places, oldPlace)
      if (newPlace) insert(places, newPlace)
    }
    if (value === undefined) this.#rows.delete(key)
    else this.#rows.set(key, { value, fields })
  }

  /** Keys in order. */
  scan(query: ScanQuery<CollectionName>): readonly string[] {
    const matching = this.#matching(query)
    if (query.reverse === true) matching.reverse()
    const after = query.after === undefined ? undefined : this.#placeAfter(query, query.after)
    const direction = query.reverse === true ? -1 : 1
    const rest =
      after === undefined
        ? matching
        : matching.filter((place) => comparePlaces(place, after) * direction > 0)
    return rest.slice(0, query.limit).map(keyOf)
  }

  count(query: Pick<ScanQuery<CollectionName>, 'index' | 'where'>): number {
    return this.#matching(query).length
  }

  #matching(query: Omit<ScanQuery<CollectionName>, 'collection' | 'limit'>): Place[] {
    const { where = [], from, to } = query
    const places = this.#placesOf(query.index)
    const length = this.#lengthOf(query.index)
    assert(where.length < length, 'where gives values for fields of the index')
    const low = lowerBound(places, from === undefined ? where : [...where, from])
    const matching: Place[] = []
    for (let index = low; index < places.length; index++) {
      const place = must(places[index], 'the list has no holes')
      if (!beginsWith(place, where)) break
      const bounded = must(place[where.length], 'a place ends in its key')
      if (to !== undefined && compareValues(bounded, to) > 0) break
      matching.push(place)
    }
    return matching
  }

  /** Where a page goes on: behind the values of that row now, under the same `where`. */
  #placeAfter(query: ScanQuery<CollectionName>, key: string): Place | undefined {
    const index = query.index === undefined ? undefined : this.#indexes.get(query.index)
    // In the order of the keys the key is its own place, also when its row is gone.
    if (index === undefined) return [key]
    const row = this.#rows.get(key)
    const place = row && placeOf(index.columns, row.fields, key)
    return place && [...(query.where ?? []), ...place.slice(query.where?.length ?? 0)]
  }

  #placesOf(index: string | undefined): readonly Place[] {
    if (index === undefined) return this.#byKey
    return must(this.#indexes.get(index), `${this.#name} has an index ${index}`).places
  }

  #lengthOf(index: string | undefined): number {
    return index === undefined ? 1 : (this.#indexes.get(index)?.columns.length ?? 0) + 1
  }
}

/** Numbers before text; text by code points, as the engines on disk compare its UTF-8 bytes. */
export const compareValues = (left: string | number, right: string | number): number => {
  if (typeof left === 'number') return typeof right === 'number' ? left - right : -1
  if (typeof right === 'number') return 1
  if (left === right) return 0
  let at = 0
  while (left[at] === right[at]) at++
  const leftUnit = at < left.length ? left.charCodeAt(at) : -1
  const rightUnit = at < right.length ? right.charCodeAt(at) : -1
  return orderOf(leftUnit) - orderOf(rightUnit)
}

/** Half of a surrogate pair stands for a code point above all others. */
const orderOf = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit)

function comparePlaces(left: Place, right: Place): number {
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const order = compareValues(left[index] ?? '', right[index] ?? '')
    if (order !== 0) return order
  }
  return left.length - right.length
}

function placeOf(
  columns: readonly number[],
  fields: readonly (string | number | null)[],
  key: string,
): Place | undefined {
  const place: (string | number)[] = []
  for (const column of columns) {
    const value = fields[column] ?? null
    if (value === null) return undefined
    place.push(value)
  }
  place.push(key)
  return place
}

const beginsWith = (place: Place, where: Place): boolean => {
  for (let index = 0; index < where.length; index++) {
    if (compareValues(place[index] ?? '', where[index] ?? '') !== 0) return false
  }
  return true
}

const keyOf = (place: Place): string => String(place.at(-1))

/** Index of the first place that is not before `bound`. */
function lowerBound(places: readonly Place[], bound: Place): number {
  let low = 0
  let high = places.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (comparePlaces(must(places[middle], 'the list has no holes'), bound) < 0) low = middle + 1
    else high = middle
  }
  return low
}

function insert(places: Place[], place: Place): void {
  places.splice(lowerBound(places, place), 0, place)
}

function remove(places: Place[], place: Place): void {
  const index = lowerBound(places, place)
  const found = places[index]
  if (found !== undefined && comparePlaces(found, place) === 0) places.splice(index, 1)
}
