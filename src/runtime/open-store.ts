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
       * Starts also on a store that is older than what has run in this directory: give it once,
       * after a restore.
       *
       * @default false
       */
      readonly acceptRollback?: boolean
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
 * @throws JUNCTURA_STORE_LOCKED, JUNCTURA_STORE_DAMAGED, JUNCTURA_STORE_ROLLED_BACK,
 *   JUNCTURA_STORE_FORMAT from the driver.
 * @throws JUNCTURA_POLICY_RANGE when `dedupeBytesMax` is out of bounds.
 * @throws JUNCTURA_PEER_MISSING when the driver's package is not installed.
 */
export const openStore = async (choice: StoreChoice, kernel: Kernel): Promise<Store> => {
  const { clock, random, log } = kernel
  switch (choice.engine) {
    case 'sqlite':
      return createSqliteStore({ ...choice, clock, random, log })
    case 'memory':
      return createMemoryStore({ clock, random })
    case 'postgres':
      return createPostgresStore({ ...choice, clock, random })
  }
}
