import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { postgresForTests } from '../../test/engines/postgres.ts'

const script = join(import.meta.dirname, 'saga-child.fixture.ts')
const ORDERS = 30
const KILLS = 6

/** Starts the child again and again, kills it, and lets the last one end; gives what it said. */
const soak = async (engine: 'sqlite' | 'postgres', place: string): Promise<string> => {
  for (let kills = 0; ; kills++) {
    const child = spawn(process.execPath, ['--no-warnings', script, engine, place, `${ORDERS}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    let isKilled = false
    child.stdout.on('data', (chunk: Buffer) => {
      const wasReady = said.includes('ready')
      said += chunk.toString()
      if (wasReady || !said.includes('ready') || kills >= KILLS) return
      // Sometimes at once, sometimes in the middle of the timeouts.
      setTimeout(
        () => {
          isKilled = true
          child.kill('SIGKILL')
        },
        60 + kills * 350,
      )
    })
    await new Promise((resolve) => child.on('close', resolve))
    const done = said.split('\n').find((line) => line.startsWith('done '))
    if (done) return done.slice(5)
    if (!isKilled && kills >= KILLS)
      throw new Error(`the last process ended without a word: ${said}`)
  }
}

const check = (
  done: string,
  ledger: readonly { readonly what: unknown; readonly key: unknown }[],
): void => {
  const states = new Map<string, readonly unknown[]>(
    JSON.parse(done).map((one: readonly [string, ...unknown[]]) => [one[0], one.slice(1)]),
  )
  expect(states.size).toBe(ORDERS)
  const expected = new Map<string, readonly string[]>()
  const found = new Map<string, readonly string[]>()
  for (let n = 0; n < ORDERS; n++) {
    const [state] = states.get(`o${n}`) ?? []
    const isGone = n % 3 === 0
    const isRefused = n % 5 === 0
    const back = ['payments.refund', 'stock.release']
    const steps = ['stock.reserve', 'payments.charge']
    // A wait that a killed process left lying may be over before its event was read.
    const mayBeGone = state === 'compensated' && !isGone && !isRefused
    if (isGone || mayBeGone) steps.push(...back)
    else steps.push(...(isRefused ? ['no parcels.create', ...back] : ['parcels.create']))
    expected.set(`o${n}`, steps)
    found.set(
      `o${n}`,
      ledger.filter(({ key }) => key === `o${n}`).map(({ what }) => String(what)),
    )
    if (state === 'compensated') {
      const isShort = (found.get(`o${n}`) ?? []).length === 4
      if (isRefused && isShort) expected.set(`o${n}`, [...steps.slice(0, 2), ...back])
    }
  }
  expect(found).toEqual(expected)
}

describe('the order saga under kill -9', () => {
  it('takes each order one way, each effect once, on SQLite (S1, F150, F153)', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'saga-kills-'))
    const done = await soak('sqlite', directory)
    const db = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
    check(done, db.prepare('select what, key from ledger order by seq').all() as never)
    db.close()
    await rm(directory, { recursive: true })
  }, 180_000)

  it('takes each order one way, each effect once, on PostgreSQL (S1, S2, F150, F153)', async () => {
    const server = await postgresForTests()
    const done = await soak('postgres', server.url)
    const client = new Client({ connectionString: server.url })
    await client.connect()
    const { rows } = await client.query('select what, key from public.ledger order by seq')
    await client.end()
    await server.stop()
    check(done, rows)
  }, 240_000)
})
