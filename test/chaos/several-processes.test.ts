import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { build } from '../../tools/build.ts'
import { type PostgresEngine, startPostgres } from '../engines/postgres.ts'
import { createPostgresBench } from '../engines/postgres-bench.ts'
import { SOUND } from './chaos.fixture.ts'
import { REPOSITORY } from './runtime-process.ts'
import {
  runRollingRestart,
  runScale,
  runSeveralKilled,
  runZombie,
  type SeveralOptions,
} from './several-processes.ts'

let engine: PostgresEngine | undefined
const dataDir = mkdtempSync(join(tmpdir(), 'junctura-several-'))

beforeAll(async () => {
  const built = await build(REPOSITORY)
  expect(built.ok, built.problem).toBe(true)
  engine = await startPostgres({ settings: { max_connections: '100' } })
})

afterAll(async () => {
  await engine?.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

const optionsOf = async (name: string, seed: number): Promise<SeveralOptions> => {
  const { url } = await createPostgresBench(engine?.url ?? '', name)
  return { databaseUrl: url, dataDir, seed }
}

const TAKE_OVER_MS_MAX = 10_000

describe('several processes on one PostgreSQL store', () => {
  it('lose nothing acknowledged and double nothing while gateways and workers are killed (F3, F7, F15)', async () => {
    const options = await optionsOf('killed', 20_271)
    const result = await runSeveralKilled({ ...options, rounds: 2 })

    console.log('take-over ms', result.takeOverMs, 'acknowledged', result.verdict.acknowledged)
    expect(result.verdict).toMatchObject(SOUND)
    expect(result.verdict.acknowledged).toBeGreaterThan(50)
    expect(result.partner.complaints).toEqual([])
    for (const ms of result.takeOverMs) expect(ms).toBeLessThan(TAKE_OVER_MS_MAX)
  }, 180_000)

  it('fence off a worker that slept past its lease: it writes nothing more, and ends (F15, F16)', async () => {
    const result = await runZombie(await optionsOf('zombie', 20_272))

    console.log('take-over ms', result.takeOverMs, 'acknowledged', result.verdict.acknowledged)
    expect(result.zombieEnd.code).toBe(70)
    expect(result.zombieLog).toContain('JUNCTURA_STORE_FENCED')
    expect(result.verdict).toMatchObject(SOUND)
    expect(result.verdict.acknowledged).toBeGreaterThan(50)
    for (const ms of result.takeOverMs) expect(ms).toBeLessThan(TAKE_OVER_MS_MAX)
  }, 180_000)

  it('are restarted one after the other under load, and the sender sees no 5xx and no cut connection (M39)', async () => {
    const result = await runRollingRestart(await optionsOf('rolling', 20_273))

    const { unavailable, broken } = result.partner.counts
    console.log('take-over ms', result.takeOverMs, 'acknowledged', result.verdict.acknowledged)
    expect({ unavailable, broken }).toEqual({ unavailable: 0, broken: 0 })
    expect(result.partner.complaints).toEqual([])
    expect(result.verdict).toMatchObject(SOUND)
    expect(result.verdict.acknowledged).toBeGreaterThan(50)
    // A clean stop gives the leases back: the next one has them with its next look.
    for (const ms of result.takeOverMs) expect(ms).toBeLessThan(3_000)
  }, 180_000)

  it('share the consumers as they come and go, from one to eight workers and back (F7, F15, M39)', async () => {
    const options = await optionsOf('scale', 20_274)
    const result = await runScale({ ...options, partitions: 8 })

    const { spreadMs, gatheredMs, takeOverMs, perSecond } = result
    const { acknowledged } = result.verdict
    console.log({
      spreadMs,
      gatheredMs,
      takeOverMs,
      perSecond: Math.round(perSecond),
      acknowledged,
    })
    expect(result.verdict).toMatchObject(SOUND)
    expect(result.verdict.acknowledged).toBeGreaterThan(500)
    const { unavailable, broken } = result.partner.counts
    expect({ unavailable, broken }).toEqual({ unavailable: 0, broken: 0 })
    expect(result.partner.complaints).toEqual([])
    for (const ms of takeOverMs) expect(ms).toBeLessThan(TAKE_OVER_MS_MAX)
  }, 300_000)
})
