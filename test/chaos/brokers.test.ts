import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { build } from '../../tools/build.ts'
import { spread } from './attack.ts'
import { runBrokerFaults } from './broker-faults.ts'
import { SOUND } from './chaos.fixture.ts'
import { REPOSITORY } from './runtime-process.ts'

const folders: string[] = []

beforeAll(async () => {
  const built = await build(REPOSITORY)
  expect(built.ok, built.problem).toBe(true)
})

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

describe('a broker under load that is killed, frozen, restarted, wiped, cut off, slowed and swallowed', () => {
  it.each(['nats', 'kafka', 'rabbitmq'] as const)(
    'loses nothing, doubles nothing and keeps the order of each key: %s (F, M6, M14)',
    async (broker) => {
      const dataDir = mkdtempSync(join(tmpdir(), 'junctura-chaos-'))
      folders.push(dataDir)
      const options = { broker, dataDir, seed: 20_267, rounds: 1 }
      const { verdict, partner, recoveryMs, unpublished } = await runBrokerFaults(options)
      console.log(`${broker}: ${verdict.acknowledged} acknowledged; ${spread(recoveryMs)}`)

      expect(verdict).toMatchObject(SOUND)
      expect(verdict.acknowledged).toBeGreaterThan(50)
      expect(partner.complaints).toEqual([])
      expect(unpublished).toBe(0)
    },
  )
})
