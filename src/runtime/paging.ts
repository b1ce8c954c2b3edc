import { LIMITS } from '../kernel/index.ts'
import type { CollectionName, DeadLetterRow, KeyedRow, ScanQuery, Store } from '../store/index.ts'
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

/** When the newest open dead letter died, which a wall clock set back leaves in the future. */
export const newestDeathMs = async (
  store: Store,
  scan: Pick<ScanQuery<'deadLetters'>, 'index' | 'where'>,
): Promise<number> => {
  const page = await store.scan({ collection: 'deadLetters', ...scan, reverse: true, limit: 1 })
  return page[0]?.row.diedAtMs ?? 0
}

/**
 * Open dead letters of an index that ends in `diedAtMs`, oldest first, each once, though they leave
 * the index, or come back later in it, while it is read. Those that died after `to` are not given.
 */
export async function* openLetters(
  store: Store,
  scan: Pick<ScanQuery<'deadLetters'>, 'index' | 'where'>,
  { from = 0, to }: { readonly from?: number; readonly to: number },
): AsyncGenerator<DeadLetterRow> {
  let fromMs = from
  /** Given already, of the moment that the next page begins with. */
  let seen = new Set<string>()
  for (;;) {
    const limit = LIMITS.pageRowsMax + seen.size
    const page = await store.scan({ collection: 'deadLetters', ...scan, from: fromMs, to, limit })
    const fresh = page.filter(({ key }) => !seen.has(key))
    for (const { row } of fresh) {
      if (row.diedAtMs > fromMs) seen = new Set()
      fromMs = row.diedAtMs
      seen.add(row.id)
      yield row
    }
    if (page.length < limit || fresh.length === 0) return
  }
}
