import type { CollectionName, Row } from './catalogue.ts'
import type { RowWrite, Store, Unit } from './store.ts'

/** The collections that hold one row of a relay, by name and generation. */
export type GenerationCollection = Extract<CollectionName, 'outboxCursors' | 'topicCursors'>

/** A row as it stands in the store, and which generation of it that is. */
export interface Generation<C extends GenerationCollection> {
  readonly row: Row<C>
  readonly generation: number
}

/** What makes a commit the next step: it is refused when another has stepped from there. */
export interface GenerationStep {
  readonly guards: NonNullable<Unit['guards']>
  readonly rows: readonly RowWrite[]
}

/**
 * Where relays keep their place: one row for each name, `name SPACE generation`. Each commit writes
 * the next generation and guards the one before, so of two relays that read the same one commits,
 * and nothing is moved twice however many there are. The row `name` alone says that there was one.
 */
export interface GenerationRows<C extends GenerationCollection> {
  /** Undefined before a relay of that name has begun. */
  read(store: Pick<Store, 'scan'>, name: string): Promise<Generation<C> | undefined>
  /** Writes the first generation; refused when another has begun meanwhile, or ever. */
  begin(name: string, row: Row<C>): GenerationStep
  next(name: string, generation: number, row: Row<C>): GenerationStep
}

const keyOf = (name: string, generation: number): string =>
  `${name} ${String(generation).padStart(16, '0')}`

export const generationRows = <C extends GenerationCollection>(
  collection: C,
  write: (key: string, row: Row<C> | undefined) => RowWrite,
): GenerationRows<C> => ({
  async read(store, name) {
    const [found] = await store.scan({ collection, from: `${name} `, to: `${name} ~`, limit: 1 })
    if (!found) return undefined
    return { row: found.row, generation: Number(found.key.slice(name.length + 1)) }
  },
  begin: (name, row) => ({
    guards: [{ collection, key: name, is: 'absent' }],
    rows: [write(name, row), write(keyOf(name, 1), row)],
  }),
  next: (name, generation, row) => ({
    guards: [{ collection, key: keyOf(name, generation), is: 'present' }],
    rows: [write(keyOf(name, generation), undefined), write(keyOf(name, generation + 1), row)],
  }),
})
