import { beforeAll, describe, expect, it } from 'vitest'
import { ensureBuilt, SOUND, temporaryFolder } from './chaos.fixture.ts'
import { describeRecoveries, POSTGRES_FAULTS, runPostgresFaults } from './postgres-faults.ts'

beforeAll(ensureBuilt)

describe('PostgreSQL under load that is killed, stopped, frozen, restarted, cut off, slowed, swallowed and exhausted', () => {
  it('loses nothing acknowledged, doubles nothing and keeps the order of each key (F80, M6, M14)', async () => {
    const engine =
      process.env['JUNCTURA_TEST_POSTGRES_VERSION'] === '15' ? 'postgres15' : 'postgres18'
    const options = { engine, dataDir: temporaryFolder(), seed: 20_281, rounds: 1 } as const
    const { verdict, partner, recoveryMs, ends } = await runPostgresFaults(options)
    console.log(
      `${engine}: ${verdict.acknowledged} acknowledged; ${describeRecoveries(recoveryMs)}`,
    )

    expect(verdict).toMatchObject(SOUND)
    expect(verdict.acknowledged).toBeGreaterThan(50)
    expect(partner.complaints).toEqual([])
    expect([...recoveryMs.keys()].toSorted()).toEqual([...POSTGRES_FAULTS].toSorted())
    // None of these faults is a reason to end: a supervisor has nothing to do.
    expect(ends).toEqual([])
  })
})
