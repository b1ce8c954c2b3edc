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
  | {
      readonly engine: 'sqlite'
      readonly directory: string
      /**
       * Memory for the idempotency keys, in bytes; more keys are found on disk.
       *
       * @default 134_217_728
       * @minimum 4_194_304
       */
      readonly dedupeBytesMax?: number
    }
  /** Gone with the process: for tests. */
  | { readonly engine: 'memory' }
  /** Needs the package `pg`. */
  | { readonly engine: 'postgres'; readonly url: string; readonly schema?: string }

/**
 * @throws JUNCTURA_STORE_LOCKED, JUNCTURA_STORE_DAMAGED, JUNCTURA_STORE_FORMAT from the driver.
 * @throws JUNCTURA_POLICY_RANGE when `dedupeBytesMax` is out of bounds.
 * @throws JUNCTURA_PEER_MISSING when the driver's package is not installed.
 */
export const openStore = async (choice: StoreChoice, kernel: Kernel): Promise<Store> => {
  const { clock, random } = kernel
  switch (choice.engine) {
    case 'sqlite': {
      const { directory, dedupeBytesMax } = choice
      const limits = dedupeBytesMax === undefined ? {} : { dedupeBytesMax }
      return createSqliteStore({ directory, clock, random, ...limits })
    }
    case 'memory':
      return createMemoryStore({ clock, random })
    case 'postgres':
      return createPostgresStore({ ...choice, clock, random })
  }
}
