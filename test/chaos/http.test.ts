import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { ensureBuilt, temporaryFolder } from './chaos.fixture.ts'
import { fuzzCommandLines, fuzzParsers } from './fuzz-parsers.ts'
import { fuzzProcess } from './fuzz-process.ts'
import { runHttpAttacks } from './http-attacks.ts'

beforeAll(ensureBuilt)

it('takes nothing from smugglers, floods and bombs on either listener, and goes on (F45, F46, F101, F102, F105)', async () => {
  const { faults, attacks } = await runHttpAttacks(join(temporaryFolder(), 'data'))

  expect(faults).toEqual([])
  expect(attacks).toBeGreaterThan(80)
})

it('answers no nonsense with a 500, and is neither ended nor held up by any (F47, F48, F102, F104, F110)', async () => {
  const dataDir = join(temporaryFolder(), 'data')
  const { faults, statuses } = await fuzzProcess({ dataDir, seed: 41, inputs: 270 })

  expect(faults).toEqual([])
  // Nonsense that is all refused at the door tries little.
  expect([...statuses.keys()]).toEqual(expect.arrayContaining([200, 202, 400, 401, 422]))
})

it('reads nonsense as records, contexts, JSON and command lines, or refuses it by a code (F24, F48)', async () => {
  const { faults, refused, inputs } = fuzzParsers(42, 500)
  const commandLineFaults = await fuzzCommandLines(42, 150)

  expect([...faults, ...commandLineFaults]).toEqual([])
  expect(refused).toBeGreaterThan(inputs / 10)
})
