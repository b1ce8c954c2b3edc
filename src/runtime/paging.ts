import { LIMITS } from '../kernel/index.ts'
import type { CollectionName, KeyedRow, ScanQuery, Store } from '../store/index.ts'
import type { Page, PageQuery } from './views.ts'

/** One page of rows for a person, with the key of the next. */
export const pageOf = async <C extends CollectionName, T>(
  store: Store,
  scan: Omit<ScanQuery<C>, 'limit' | 'after'>,
  how: { readonly query: PageQuery; readonly view: (keyed: KeyedRow<C>) => T },
): Promise<Page<T>> => {
  const limit = Math.min(LIMITS.pageRowsMax, Math.max(1, how.query.limit ?? 50))
  const rows = await store.scan({
    ...scan,
    limit: limit + 1,
    ...(how.query.after !== undefined && { after: how.query.after }),
  })
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const items = shown.map(how.view)
  return rows.length > limit && last ? { items, next: last.key } : { items }
}

/** All rows of a scan, a page at a time, up to a maximum. */
export async function* eachRow<C extends CollectionName>(
  store: Store,
  scan: Omit<ScanQuery<C>, 'limit' | 'after'> & { readonly after?: string },
  rowsMax: number = Number.POSITIVE_INFINITY,
): AsyncGenerator<KeyedRow<C>> {
  let { after } = scan
  let given = 0
  for (;;) {
    const page = await store.scan({
      ...scan,
      limit: LIMITS.pageRowsMax,
      ...(after !== undefined && { after }),
    })
    for (const keyed of page) {
      if (given >= rowsMax) return
      given += 1
      after = keyed.key
      yield keyed
    }
    if (page.length < LIMITS.pageRowsMax) return
  }
}
