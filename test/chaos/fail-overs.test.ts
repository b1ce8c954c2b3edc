import { beforeAll, describe, expect, it } from 'vitest'
import { startEngine } from '../engines/engine.ts'
import { spread } from './attack.ts'
import { ensureBuilt, SOUND, temporaryFolder } from './chaos.fixture.ts'
import { runFailOvers } from './fail-overs.ts'

beforeAll(ensureBuilt)

const engine = process.env['JUNCTURA_TEST_POSTGRES_VERSION'] === '15' ? 'postgres15' : 'postgres18'

describe('a PostgreSQL that fails over under load', () => {
  it('to a replica that commits waited for loses nothing acknowledged (F80, M6, M14)', async () => {
    const dataDir = temporaryFolder()
    const options = { engine, isSynchronous: true, dataDir, seed: 20_291, rounds: 1 } as const
    const { verdict, partner, told, alerts, recoveryMs, ends } = await runFailOvers(options)
    console.log(`${verdict.acknowledged} acknowledged; ${spread(recoveryMs)}`)

    expect(verdict).toMatchObject(SOUND)
    // A machine with much else to do takes few.
    expect(verdict.acknowledged).toBeGreaterThan(10)
    expect(partner.complaints).toEqual([])
    expect(told).toMatchObject([{ missing: 0 }])
    expect(alerts).toEqual([])
    expect(ends.length).toBeGreaterThan(0)
    for (const end of ends) expect(end).toMatch(/timeline|JUNCTURA_STORE_FAILED/)
  })

  it('to one that lagged says how many positions are gone, and goes on with the rest (F80)', async () => {
    const dataDir = temporaryFolder()
    const options = { engine, isSynchronous: false, dataDir, seed: 20_292, rounds: 1 } as const
    const { verdict, partner, lost, told, alerts, recoveryMs } = await runFailOvers(options)
    console.log(`${verdict.acknowledged} kept, ${lost.length} lost; ${spread(recoveryMs)}`)

    expect(verdict).toMatchObject(SOUND)
    expect(partner.complaints).toEqual([])
    expect(lost.length).toBeGreaterThan(0)
    // Each lost message had its position, and so had what handlers emitted.
    expect(told).toHaveLength(1)
    expect(told[0]?.missing).toBeGreaterThanOrEqual(lost.length)
    expect(alerts).toMatchObject([
      { severity: 'critical', title: expect.stringContaining(`${told[0]?.missing} position(s)`) },
    ])
  })

  it('to one that lagged while nobody remembers, with a broker that is ahead, goes on beyond both (F80)', async () => {
    const nats = await startEngine('nats')
    try {
      const { verdict, partner, lost, told, alerts } = await runFailOvers({
        engine,
        isSynchronous: false,
        dataDir: temporaryFolder(),
        seed: 20_293,
        rounds: 1,
        transport: nats.url,
        isForgotten: true,
      })

      expect(verdict).toMatchObject(SOUND)
      expect(partner.complaints).toEqual([])
      expect(lost.length).toBeGreaterThan(0)
      expect(told).toMatchObject([{ reached: null, missing: null }])
      expect(alerts).toMatchObject([
        { severity: 'warning', title: expect.stringContaining('may be gone') },
      ])
    } finally {
      await nats.stop()
    }
  })
})
