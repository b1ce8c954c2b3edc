import { type CommitUnit, generationRows, type RowWrite, type Store } from '../store/index.ts'
import { NEW_CURSOR, type OutboxCursor } from './cursor.ts'

/** A cursor as it stands in the store, and which generation of it that is. */
export interface StoredCursor {
  readonly cursor: OutboxCursor
  readonly generation: number
}

const generations = generationRows('outboxCursors', (key, row) => ({
  collection: 'outboxCursors',
  key,
  row,
}))

/** The cursor of an outbox; undefined before its first relay has begun. */
export const readCursor = async (
  store: Pick<Store, 'scan'>,
  outbox: string,
): Promise<StoredCursor | undefined> => {
  const found = await generations.read(store, outbox)
  return found && { cursor: found.row, generation: found.generation }
}

/** Writes the first generation; refused when another relay has begun meanwhile, or ever. */
export const beginCursor = (outbox: string): CommitUnit => ({
  ...generations.begin(outbox, NEW_CURSOR),
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
): Pick<CommitUnit, 'guards'> & { readonly rows: readonly RowWrite[] } =>
  generations.next(outbox, from.generation, cursor)
