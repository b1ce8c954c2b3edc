// publish → durable → handler → done, in process; and its twins. Prints one line of JSON.
//   node bench/publish-load.ts ours|bare|queue [--seconds S] [--bytes B] [--consumers N]
//     [--store URL] [--rate R] [--many M] [--batch B] [--in-flight F] [--directory DIR]
// `bare` is a log by hand: batches of 100 rows, nothing else. `queue` is the usual table of jobs: a
// unique key, one transaction per send, one to take and one to finish. A rate is an open loop:
// latency counts from when a message was due. `--many M` publishes M at a time. A directory that is
// given stays, and may hold a store already. For such stores: `park` leaves one message that waits
// behind a dead one of the key `parked`, `start` gets ready and dies as of kill -9.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  consumer,
  createRuntime,
  event,
  integration,
  isJuncturaError,
  jsonSchema,
  type Runtime,
  team,
} from 'junctura'
import { openServerCpu } from './server-cpu.ts'

const number = (fallback: string) => ({ type: 'string', default: fallback }) as const
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: number('3'),
    bytes: number('1000'),
    consumers: number('1'),
    rate: number('0'),
    many: number('1'),
    batch: number('0'),
    'in-flight': number('512'),
    directory: { type: 'string' },
    store: { type: 'string' },
  },
})
const seconds = Number(values.seconds)
const bytes = Number(values.bytes)
const consumers = Number(values.consumers)
const rate = Number(values.rate)
const many = Number(values.many)
const batch = Number(values.batch)
const inFlight = Number(values['in-flight'])
const directory = values.directory ?? mkdtempSync(join(tmpdir(), 'junctura-bench-'))
const file = join(directory, 'bench.db')
/** The key, the time it was due and the names of the members take the rest. */
const padding = 'x'.repeat(Math.max(0, bytes - 60))
const KEYS = 1_000
const PARKED = 'parked'

interface Measured {
  readonly key: string
  readonly due: number
  readonly padding: string
}

interface Result {
  /** From the opening of the store until everything may begin. */
  readonly readyMs: number
  readonly perSecond: number
  readonly ingestPerSecond: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Not taken, because more than the store's queue was waiting. */
  readonly refused: number
  /** CPU for one message, in microseconds: of this process, and of a PostgreSQL on this machine. */
  readonly cpuUs?: number
  readonly serverCpuUs?: number
}

const owner = team('bench')
const Sample = event('bench.measured', {
  owner,
  key: 'key',
  versions: {
    1: jsonSchema<Measured>({
      type: 'object',
      required: ['key', 'due', 'padding'],
      properties: {
        key: { type: 'string' },
        due: { type: 'number' },
        padding: { type: 'string' },
      },
    }),
  },
})

const open = (take: (data: Measured) => void): Promise<Runtime> => {
  const base = {
    owner,
    on: Sample,
    idempotency: 'natural',
    retry: { attempts: 1, first: '1s', max: '10s' },
    deadLetter: { alert: owner.oncall },
    afterDeadLetter: 'park',
    replay: 'safe',
  } as const
  const readers = Array.from({ length: consumers }, (_, index) =>
    batch > 0
      ? consumer(`reader-${index}`, {
          ...base,
          batch: { max: batch, maxAge: '0ms' },
          handleBatch: (items) => {
            for (const { data } of items) take(data)
            return Promise.resolve()
          },
        })
      : consumer(`reader-${index}`, {
          ...base,
          concurrency: 256,
          handle: (data) => {
            take(data)
            return Promise.resolve()
          },
        }),
  )
  return createRuntime(integration('bench', { parts: readers }), {
    store: values.store
      ? { engine: 'postgres', url: values.store, schema: `bench_${process.pid}` }
      : { engine: 'sqlite', directory },
  })
}

async function ours(): Promise<Result> {
  const latencies: number[] = []
  let done = 0
  const openedMs = performance.now()
  const runtime = await open(({ due }) => {
    done += 1
    latencies.push(performance.now() - due)
  })
  const readyMs = performance.now() - openedMs
  let next = 0
  let refused = 0
  const drafts = (count: number, due: number) =>
    Array.from({ length: count }, () => Sample.of({ key: `k${next++ % KEYS}`, due, padding }))
  const publish = async (count: number, due: number): Promise<void> => {
    const list = drafts(count, due)
    const [only] = list
    try {
      if (list.length === 1 && only) await runtime.publish(only)
      else await runtime.publishMany(list)
    } catch (error) {
      if (!isJuncturaError(error, 'JUNCTURA_STORE_BUSY')) throw error
      refused += count
    }
  }
  const serverCpu = values.store === undefined ? undefined : await openServerCpu(values.store)
  const serverMs = serverCpu?.() ?? 0
  const cpu = process.cpuUsage()
  const startedMs = performance.now()
  if (rate > 0) await openLoop(publish)
  else await closedLoop(publish)
  const ingestSeconds = (performance.now() - startedMs) / 1_000
  await runtime.idle()
  const elapsed = (performance.now() - startedMs) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  const serverUs = ((serverCpu?.() ?? serverMs) - serverMs) * 1_000
  await runtime.close()
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0
  return {
    readyMs,
    perSecond: done / consumers / elapsed,
    ingestPerSecond: next / ingestSeconds,
    p50: at(0.5),
    p99: at(0.99),
    max: latencies.at(-1) ?? 0,
    refused,
    cpuUs: (user + system) / next,
    serverCpuUs: serverUs / next,
  }
}

/** One message of a key is dead, and the next one waits behind it. */
async function park(): Promise<object> {
  const runtime = await open(({ key }) => {
    if (key === PARKED) throw new Error('this key is parked')
  })
  for (let count = 0; count < 2; count++) {
    await runtime.publish(Sample.of({ key: PARKED, due: 0, padding: 'x'.repeat(100) }))
    await runtime.idle()
  }
  await runtime.close()
  return {}
}

/** What a supervisor sees: from the start of the process until the runtime is ready. */
async function start(): Promise<object> {
  await open(() => undefined)
  return { readyMs: performance.now() }
}

type Publish = (count: number, due: number) => Promise<void>

async function closedLoop(publish: Publish): Promise<void> {
  const endMs = performance.now() + seconds * 1_000
  const work = async (): Promise<void> => {
    while (performance.now() < endMs) await publish(many, performance.now())
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.floor(inFlight / many)) }, work))
}

/** On a schedule, whether or not the earlier ones are durable yet. */
async function openLoop(publish: Publish): Promise<void> {
  const startedMs = performance.now()
  const total = rate * seconds
  const open: Promise<void>[] = []
  for (let due = 0; due < total;) {
    const shouldBe = Math.min(total, ((performance.now() - startedMs) / 1_000) * rate)
    while (due + many <= shouldBe || (due < shouldBe && shouldBe >= total)) {
      const dueMs = startedMs + (due / rate) * 1_000
      open.push(publish(Math.min(many, total - due), dueMs))
      due += many
    }
    await delay(1)
  }
  await Promise.all(open)
}

const finished = (count: number, startedMs: number): Result => {
  const rateReached = count / ((performance.now() - startedMs) / 1_000)
  return {
    readyMs: 0,
    perSecond: rateReached,
    ingestPerSecond: rateReached,
    p50: 0,
    p99: 0,
    max: 0,
    refused: 0,
  }
}

function openDatabase(schema: string): DatabaseSync {
  const db = new DatabaseSync(file)
  db.exec('pragma journal_mode = wal; pragma synchronous = full')
  db.exec(schema)
  return db
}

function bare(): Result {
  const db = openDatabase(
    'create table log(position integer primary key, key text, at_ms integer, body blob)',
  )
  const insert = db.prepare('insert into log values (?, ?, ?, ?)')
  const body = Buffer.alloc(bytes)
  let position = 0
  const startedMs = performance.now()
  while (performance.now() < startedMs + seconds * 1_000) {
    db.exec('begin immediate')
    for (let row = 0; row < 100; row++) insert.run(++position, `k${position % KEYS}`, 0, body)
    db.exec('commit')
  }
  db.close()
  return finished(position, startedMs)
}

function queue(): Result {
  const db = openDatabase(`
    create table jobs(id integer primary key, unique_key text unique, status text, body blob);
    create index by_status on jobs(status, id)`)
  const send = db.prepare("insert into jobs(unique_key, status, body) values (?, 'ready', ?)")
  const take = db.prepare(
    "update jobs set status = 'active' where id = (select id from jobs where status = 'ready' order by id limit 1) returning id",
  )
  const finish = db.prepare("update jobs set status = 'done' where id = ?")
  const body = Buffer.alloc(bytes)
  let count = 0
  const startedMs = performance.now()
  while (performance.now() < startedMs + seconds * 1_000) {
    send.run(`key-${count}-${Math.random()}`, body)
    finish.run(Number(take.get()?.['id']))
    count += 1
  }
  db.close()
  return finished(count, startedMs)
}

const KINDS = { ours, bare, queue, park, start } as const

const [which = 'ours'] = positionals
const kind = Object.entries(KINDS).find(([name]) => name === which)?.[1]
if (!kind) throw new Error(`the first argument is one of ${Object.keys(KINDS).join(', ')}`)
const result = await kind()
if (values.directory === undefined) rmSync(directory, { recursive: true, force: true })
process.stdout.write(`${JSON.stringify(result)}\n`, () => {
  if (which === 'start') process.kill(process.pid, 'SIGKILL')
})
