import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, it } from 'vitest'
import pg from 'pg'
import { type RunningEngine, startEngine } from '../../test/engines/engine.ts'
import { postgresForTests } from '../../test/engines/postgres.ts'
import { createPostgresBench } from '../../test/engines/postgres-bench.ts'
import { createRuntime } from './create-runtime.ts'
import { meterConsumer } from './record.fixture.ts'
import { integration } from '../contract/index.ts'

const PROGRAM = join(import.meta.dirname, 'record-child.fixture.ts')
const ROUNDS = 5

let engine: RunningEngine | undefined
let directory = ''
let child: ChildProcess | undefined

afterEach(async () => {
  child?.kill('SIGKILL')
  await engine?.stop()
  engine = undefined
  if (directory) rmSync(directory, { recursive: true, force: true })
})

interface Running {
  readonly process: ChildProcess
  readonly confirmed: number[]
  readonly alerts: string[]
}

const start = (mode: string, name: string, first: number, store = directory): Running => {
  const args = [mode, name, engine?.url ?? '', 'record', store, String(first)]
  const process_ = spawn(process.execPath, ['--no-warnings', PROGRAM, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child = process_
  const confirmed: number[] = []
  const alerts: string[] = []
  let rest = ''
  process_.stdout.on('data', (data: Buffer) => {
    const lines = (rest + data.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line.startsWith('ok ')) confirmed.push(Number(line.slice(3)))
      else alerts.push(line.slice(6))
    }
  })
  process_.stderr.resume()
  return { process: process_, confirmed, alerts }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const effects = (): readonly {
  readonly consumer: string
  readonly key: string
  readonly n: number
}[] => {
  const db = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
  const rows = db.prepare('select consumer, key, n from effects order by seq').all()
  db.close()
  return rows.map(({ consumer, key, n }) => ({
    consumer: String(consumer),
    key: String(key),
    n: Number(n),
  }))
}

const of = (consumer: string, key?: string): number[] =>
  effects()
    .filter((one) => one.consumer === consumer && (key === undefined || one.key === key))
    .map(({ n }) => n)

/** What happens to the broker while the process is under load, by round. */
const FAULTS: readonly ((broker: RunningEngine) => Promise<void>)[] = [
  async () => undefined,
  async (broker) => {
    await broker.kill()
    await broker.restart()
  },
  async (broker) => {
    await broker.pause()
    await pause(1_500)
    await broker.resume()
  },
]

describe.each(['kafka', 'nats'] as const)("record: 'transport' on %s", (name) => {
  it('loses nothing confirmed, doubles no effect and keeps order through kill -9 and broker faults (M6, M14, M19, M44)', async () => {
    engine = await startEngine(name)
    directory = mkdtempSync(join(tmpdir(), 'junctura-record-'))
    const confirmed: number[] = []
    let first = 1
    for (let round = 0; round < ROUNDS; round++) {
      const running = start('publish', name, first)
      await expect.poll(() => running.confirmed.length, { timeout: 60_000 }).toBeGreaterThan(100)
      await FAULTS[round % FAULTS.length]?.(engine)
      await pause(300 + Math.random() * 1_200)
      running.process.kill('SIGKILL')
      await once(running.process, 'close')
      confirmed.push(...running.confirmed)
      first = Math.ceil(Math.max(...confirmed) / 1_200 + 1) * 1_200
    }
    const last = start('finish', name, first)
    const [code] = await once(last.process, 'close')
    expect(code).toBe(0)

    const books = of('books')
    const known = new Set(books)
    expect(confirmed.filter((n) => !known.has(n))).toEqual([])
    expect(books).toHaveLength(known.size)
    const bills = of('bills')
    expect(bills.toSorted((a, b) => a - b)).toEqual(
      books.filter((n) => n % 10 === 0).toSorted((a, b) => a - b),
    )
    for (const key of new Set(effects().map((one) => one.key))) {
      for (const consumer of ['books', 'bills']) {
        const numbers = of(consumer, key)
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
      }
    }
  }, 300_000)

  it('notices a wiped broker, tells of it and goes on', async () => {
    engine = await startEngine(name)
    directory = mkdtempSync(join(tmpdir(), 'junctura-record-'))
    const running = start('publish', name, 1)
    await expect.poll(() => running.confirmed.length, { timeout: 60_000 }).toBeGreaterThan(200)

    await engine.wipe()
    const before = running.confirmed.length
    await expect
      .poll(() => running.confirmed.length, { timeout: 90_000 })
      .toBeGreaterThan(before + 200)
    running.process.kill('SIGKILL')
    await once(running.process, 'close')
    const after = running.confirmed.slice(before + 12)
    const last = start('finish', name, 1)
    const [code] = await once(last.process, 'close')

    expect(code).toBe(0)
    const books = of('books')
    expect(new Set(books).size).toBe(books.length)
    const known = new Set(books)
    expect(after.filter((n) => !known.has(n))).toEqual([])
    expect(last.alerts).toContain('record-loss')
  }, 300_000)
})

describe("record: 'transport' on kafka, with a PostgreSQL store", () => {
  it('is divided among two processes, of which one dies: nothing is lost, doubled or out of order (M28)', async () => {
    const server = await postgresForTests()
    engine = await startEngine('kafka')
    try {
      const { url } = await createPostgresBench(server.url, `record_${process.pid}`)
      const one = start('publish', 'kafka', 1_200, url)
      await expect.poll(() => one.confirmed.length, { timeout: 60_000 }).toBeGreaterThan(50)
      const two = start('publish', 'kafka', 120_000, url)
      await expect.poll(() => two.confirmed.length, { timeout: 60_000 }).toBeGreaterThan(200)
      await pause(5_000)
      one.process.kill('SIGKILL')
      await once(one.process, 'close')
      await pause(5_000)
      two.process.kill('SIGKILL')
      await once(two.process, 'close')
      const [code] = await once(start('finish', 'kafka', 1, url).process, 'close')
      expect(code).toBe(0)

      const client = new pg.Client({ connectionString: url })
      await client.connect()
      const { rows } = await client.query<{ consumer: string; key: string; n: number }>(
        'select consumer, key, n from effects order by seq',
      )
      await client.end()
      const books = rows.filter(({ consumer }) => consumer === 'books').map(({ n }) => n)
      const known = new Set(books)
      expect(books).toHaveLength(known.size)
      expect([...one.confirmed, ...two.confirmed].filter((n) => !known.has(n))).toEqual([])
      for (const key of new Set(rows.map((row) => row.key))) {
        for (const range of [(n: number) => n < 120_000, (n: number) => n >= 120_000]) {
          const numbers = rows
            .filter((row) => row.consumer === 'books' && row.key === key && range(row.n))
            .map(({ n }) => n)
          expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
        }
      }
    } finally {
      await server.stop()
    }
  }, 300_000)
})

describe("record: 'transport' on rabbitmq", () => {
  it('is refused at start, because its queues cannot be read again', async () => {
    engine = await startEngine('rabbitmq')
    directory = mkdtempSync(join(tmpdir(), 'junctura-record-'))
    const parts = [meterConsumer('books', {}, async () => undefined)]

    const started = createRuntime(integration('meters', { parts }), {
      store: { engine: 'sqlite', directory },
      transport: { engine: 'rabbitmq', url: engine.url },
      send: () => Promise.resolve(),
    })

    await expect(started).rejects.toMatchObject({
      code: 'JUNCTURA_RECORD_REFUSED',
      message: expect.stringContaining('meters.metered'),
    })
  }, 120_000)
})
