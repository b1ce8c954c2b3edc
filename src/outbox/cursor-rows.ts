import type { CommitUnit, RowWrite, Store } from '../store/index.ts'
import { NEW_CURSOR, type OutboxCursor } from './cursor.ts'

/** A cursor as it stands in the store, and which generation of it that is. */
export interface StoredCursor {
  readonly cursor: OutboxCursor
  readonly generation: number
}

const keyOf = (outbox: string, generation: number): string =>
  `${outbox} ${String(generation).padStart(16, '0')}`

/** The cursor of an outbox; undefined before its first relay has begun. */
export const readCursor = async (
  store: Pick<Store, 'scan'>,
  outbox: string,
): Promise<StoredCursor | undefined> => {
  const range = { from: `${outbox} `, to: `${outbox} ~`, limit: 1 }
  const [found] = await store.scan({ collection: 'outboxCursors', ...range })
  if (!found) return undefined
  return { cursor: found.row, generation: Number(found.key.slice(outbox.length + 1)) }
}

/** Writes the first generation; refused when another relay has begun meanwhile, or ever. */
export const beginCursor = (outbox: string): CommitUnit => ({
  guards: [{ collection: 'outboxCursors', key: outbox, is: 'absent' }],
  rows: [write(outbox, NEW_CURSOR), write(keyOf(outbox, 1), NEW_CURSOR)],
  isInternal: true,
})

/**
 * What makes a commit the next step of one relay: it is refused when another relay has moved rows
 * since this generation was read, so that no row is moved twice, however many relays there are.
 */
export const nextCursor = (
  outbox: string,
  from: StoredCursor,
  cursor: OutboxCursor,
): Pick<CommitUnit, 'guards'> & { readonly rows: readonly RowWrite[] } => {
  const key = keyOf(outbox, from.generation)
  return {
    guards: [{ collection: 'outboxCursors', key, is: 'present' }],
    rows: [
      { collection: 'outboxCursors', key, row: undefined },
      write(keyOf(outbox, from.generation + 1), cursor),
    ],
  }
}

const write = (key: string, row: OutboxCursor): RowWrite => ({
  collection: 'outboxCursors',
  key,
  row,
})
