import { beforeAll, expect, it } from 'vitest'
import { ensureBuilt, temporaryFolder } from './chaos.fixture.ts'
import { type DamageCase, makeKilledStore, runDamages } from './random-damage.ts'

beforeAll(ensureBuilt)

/** Where the database itself is damaged stands in damage.test.ts. */
const CASES: readonly (DamageCase & { readonly isRefused: boolean })[] = [
  { file: 'junctura.db-wal', place: 'middle', damage: 'one bit', seed: 1, isRefused: true },
  { file: 'junctura.db-wal', place: 'head', damage: 'cut off there', seed: 1, isRefused: true },
  { file: 'junctura.db-shm', place: 'head', damage: '64 random bytes', seed: 1, isRefused: false },
  { file: 'junctura.lock', place: 'head', damage: '64 random bytes', seed: 1, isRefused: false },
  { file: 'junctura.pid', place: 'head', damage: '64 random bytes', seed: 1, isRefused: false },
]

it('refuses the damaged log beside a killed store by name and repairs it, or is unharmed (F24, F25, F30)', async () => {
  const store = await makeKilledStore(temporaryFolder(), 100)

  const results = await runDamages(store, CASES, 2)

  expect(results.flatMap(({ faults }) => faults)).toEqual([])
  expect(results.map(({ wasRefused }) => wasRefused)).toEqual(
    CASES.map(({ isRefused }) => isRefused),
  )
  expect(results.filter(({ wasStarted }) => !wasStarted)).toEqual([])
})
