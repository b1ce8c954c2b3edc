import { beforeAll, describe, expect, it } from 'vitest'
import { ensureBuilt, SOUND, temporaryFolder } from './chaos.fixture.ts'
import { describeEngineRounds, FAULT_NAMES, runEngineRounds } from './engine-rounds.ts'
import { tableLine } from './results-page.ts'

beforeAll(ensureBuilt)

describe.each(['nats', 'kafka', 'rabbitmq'] as const)('%s as the transport', (engine) => {
  it('may be killed, stopped, frozen, emptied, cut off, slowed and swallowed under load: nothing acknowledged is lost, nothing is done twice, no order is broken', async () => {
    const result = await runEngineRounds({
      engine,
      faults: FAULT_NAMES,
      rounds: 1,
      dataDir: temporaryFolder(),
      seed: 20_261,
      connections: 8,
      perSecond: 150,
    })
    for (const line of describeEngineRounds(result)) console.log(tableLine(line))

    expect(result.complaints).toEqual([])
    expect(result.partner.complaints).toEqual([])
    expect(result.verdict).toMatchObject(SOUND)
    expect(result.verdict.acknowledged).toBeGreaterThan(500)
  }, 600_000)
})
