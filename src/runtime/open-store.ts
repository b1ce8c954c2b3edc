import type { Kernel } from '../kernel/index.ts'
import {
  createMemoryStore,
  createPostgresStore,
  createSqliteStore,
  type Store,
} from '../store/index.ts'

/** The one line that changes when a team outgrows one machine. */
export type StoreChoice =
  /** `<directory>/junctura.db`: needs nothing but Node. */
  | { readonly engine: 'sqlite'; readonly directory: string }
  /** Gone with the process: for tests. */
  | { readonly engine: 'memory' }
  /** Needs the package `pg`. */
  | { readonly engine: 'postgres'; readonly url: string; readonly schema?: string }

/**
 * @throws JUNCTURA_STORE_LOCKED, JUNCTURA_STORE_DAMAGED, JUNCTURA_STORE_FORMAT from the driver.
 * @throws JUNCTURA_PEER_MISSING when the driver's package is not installed.
 */
export const openStore = async (choice: StoreChoice, kernel: Kernel): Promise<Store> => {
  const { clock, random, log } = kernel
  switch (choice.engine) {
    case 'sqlite':
      return createSqliteStore({ directory: choice.directory, clock, random, log })
    case 'memory':
      return createMemoryStore({ clock, random })
    case 'postgres':
      return createPostgresStore({ ...choice, clock, random })
  }
}
