import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { build } from '../../tools/build.ts'
import { type RunningEngine, startEngine } from '../engines/engine.ts'
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
import { SOUND_OUTSIDE, withOutsideReader } from './several-with-broker.ts'

let database: PostgresEngine | undefined
let broker: RunningEngine | undefined
const dataDir = mkdtempSync(join(tmpdir(), 'junctura-several-'))

beforeAll(async () => {
  const built = await build(REPOSITORY)
  expect(built.ok, built.problem).toBe(true)
  database = await startPostgres({ settings: { max_connections: '100' } })
  broker = await startEngine('nats')
})

afterAll(async () => {
  await database?.stop()
  await broker?.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

const optionsOf = async (name: string, seed: number): Promise<SeveralOptions> => {
  const { url } = await createPostgresBench(database?.url ?? '', `broker_${name}`)
  return { databaseUrl: url, dataDir, seed, transport: broker?.url }
}

const TAKE_OVER_MS_MAX = 10_000

describe('several processes on one PostgreSQL store with a broker between', () => {
  it('lose nothing and double nothing while gateways, workers and the relay are killed; readers elsewhere get everything in order (F3, F7, F15, M6)', async () => {
    const options = await optionsOf('killed', 20_281)
    const { result, outside } = await withOutsideReader('nats', options, (given) =>
      runSeveralKilled({ ...given, rounds: 2 }),
    )

    console.log('take-over ms', result.takeOverMs, 'acknowledged', result.verdict.acknowledged)
    expect(result.verdict).toMatchObject(SOUND)
    expect(result.verdict.acknowledged).toBeGreaterThan(50)
    expect(result.partner.complaints).toEqual([])
    for (const ms of result.takeOverMs) expect(ms).toBeLessThan(TAKE_OVER_MS_MAX)
    expect(outside).toEqual(SOUND_OUTSIDE)
  }, 180_000)

  it('fence off a worker that slept past its lease, also what it published (F15, F16)', async () => {
    const options = await optionsOf('zombie', 20_282)
    const { result, outside } = await withOutsideReader('nats', options, runZombie)

    console.log('take-over ms', result.takeOverMs, 'acknowledged', result.verdict.acknowledged)
    expect(result.zombieEnd.code).toBe(70)
    expect(result.zombieLog).toContain('JUNCTURA_STORE_FENCED')
    expect(result.verdict).toMatchObject(SOUND)
    expect(result.verdict.acknowledged).toBeGreaterThan(50)
    for (const ms of result.takeOverMs) expect(ms).toBeLessThan(TAKE_OVER_MS_MAX)
    expect(outside).toEqual(SOUND_OUTSIDE)
  }, 180_000)

  it('are restarted one after the other under load, and the sender sees no 5xx and no cut connection (M39)', async () => {
    const options = await optionsOf('rolling', 20_283)
    const { result, outside } = await withOutsideReader('nats', options, runRollingRestart)

    const { unavailable, broken } = result.partner.counts
    console.log('take-over ms', result.takeOverMs, 'acknowledged', result.verdict.acknowledged)
    expect({ unavailable, broken }).toEqual({ unavailable: 0, broken: 0 })
    expect(result.partner.complaints).toEqual([])
    expect(result.verdict).toMatchObject(SOUND)
    expect(result.verdict.acknowledged).toBeGreaterThan(50)
    for (const ms of result.takeOverMs) expect(ms).toBeLessThan(3_000)
    expect(outside).toEqual(SOUND_OUTSIDE)
  }, 180_000)

  it('share the consumers as they come and go, from one to eight workers and back (F7, F15, M39)', async () => {
    const options = await optionsOf('scale', 20_284)
    const { result, outside } = await withOutsideReader('nats', options, (given) =>
      runScale({ ...given, partitions: 8 }),
    )

    const { spreadMs, gatheredMs, takeOverMs, perSecond, unpublished } = result
    const { acknowledged } = result.verdict
    const rate = Math.round(perSecond)
    console.log({ spreadMs, gatheredMs, takeOverMs, rate, acknowledged })
    expect(result.verdict).toMatchObject(SOUND)
    expect(acknowledged).toBeGreaterThan(300)
    const { unavailable, broken } = result.partner.counts
    expect({ unavailable, broken, unpublished }).toEqual({
      unavailable: 0,
      broken: 0,
      unpublished: 0,
    })
    expect(result.partner.complaints).toEqual([])
    for (const ms of takeOverMs) expect(ms).toBeLessThan(TAKE_OVER_MS_MAX)
    expect(outside).toEqual(SOUND_OUTSIDE)
  }, 300_000)
})
