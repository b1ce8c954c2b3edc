/**
 * What an engine gives, as data. The runtime emulates what is missing and prints the difference,
 * the linter reads the same record, and the conformance suite holds a driver to it.
 */
export interface Features {
  /** Shown to people: `sqlite`, `memory`, `postgres`. */
  readonly engine: string
  /** What an acknowledged write survives. */
  readonly durability: 'process' | 'fsync' | 'replicated'
  /** Smallest thing within which order holds. */
  readonly unitOfOrder: 'key' | 'slot' | 'partition'
  /** Whether user statements commit together with progress and emits. */
  readonly transactions: boolean
  /** Whether several processes may write at once. */
  readonly multiProcess: boolean
  /**
   * Whether a commit without statements of the user goes on while one with such waits for them.
   *
   * @default false
   */
  readonly commitsInParallel?: boolean
  /** Dialect of user statements in `ctx.tx`. */
  readonly sql: 'sqlite' | 'postgres'
  readonly recordBytesMax: number
}
