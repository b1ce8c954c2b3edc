import { JuncturaError } from './errors.ts'

/** An optional package, and what it is needed for, as people read it. */
export interface Peer {
  /** Several are separated by spaces, as npm takes them. */
  readonly package: string
  readonly feature: string
}

/**
 * Imports an optional package when it is first needed.
 *
 * @throws JUNCTURA_PEER_MISSING when it is not installed; any other failure of the import as it is.
 */
export const loadPeer = async <T>(peer: Peer, load: () => Promise<T>): Promise<T> => {
  try {
    return await load()
  } catch (error) {
    const missing =
      error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
    if (!missing) throw error
    throw new JuncturaError('JUNCTURA_PEER_MISSING', { cause: error, details: { ...peer } })
  }
}
