import { type CollectionName, indexesOf } from '../../store/index.ts'

/** What a store must answer, in the plainest way: rows in a list, sorted and filtered. */
export interface ModelRow {
  readonly key: string
  readonly row: Readonly<Record<string, unknown>>
}

export interface ModelQuery {
  readonly collection: CollectionName
  readonly index?: string
  readonly where?: readonly (string | number)[]
  readonly from?: string | number
  readonly to?: string | number
  readonly reverse?: boolean
}

/** All rows of a query, without paging. */
export const answerOf = (
  rows: readonly ModelRow[],
  { collection, index, where = [], from, to, reverse = false }: ModelQuery,
): readonly ModelRow[] => {
  const fields = index === undefined ? [] : (indexesOf(collection)[index] ?? [])
  const placed = rows.flatMap(({ key, row }) => {
    const values = fields.map((field) => row[field]).filter(isIndexed)
    return values.length === fields.length ? [{ key, row, place: [...values, key] }] : []
  })
  const found = placed
    .filter(({ place }) => where.every((value, at) => place[at] === value))
    .filter(({ place }) => from === undefined || compare(place[where.length], from) >= 0)
    .filter(({ place }) => to === undefined || compare(place[where.length], to) <= 0)
    .sort((left, right) => comparePlaces(left.place, right.place))
    .map(({ key, row }) => ({ key, row }))
  return reverse ? found.reverse() : found
}

export const isIndexed = (value: unknown): value is string | number =>
  typeof value === 'string' || typeof value === 'number'

/** By UTF-8 bytes; JavaScript compares UTF-16, which puts an emoji before the last of its plane. */
export const compareText = (left: string, right: string): number =>
  Buffer.compare(Buffer.from(left, 'utf8'), Buffer.from(right, 'utf8'))

/** Numbers come before text. */
const compare = (left: string | number = '', right: string | number = ''): number => {
  if (typeof left === 'number') return typeof right === 'number' ? left - right : -1
  return typeof right === 'number' ? 1 : compareText(left, right)
}

function comparePlaces(
  left: readonly (string | number)[],
  right: readonly (string | number)[],
): number {
  for (let at = 0; at < left.length; at++) {
    const order = compare(left[at], right[at])
    if (order !== 0) return order
  }
  return 0
}
