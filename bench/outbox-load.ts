// The outbox in a user's PostgreSQL, and its twins by hand. Prints one line of JSON.
//   node bench/outbox-load.ts URL emit|insert [--seconds S]
//   node bench/outbox-load.ts URL fill [--rows N]
//   node bench/outbox-load.ts URL drain|copy [--rows N]
//   node bench/outbox-load.ts URL latency [--seconds S] [--rate R]
// `emit` is a transaction with an order and a message; `insert` is the same with the same bytes,
// and the INSERT written out. `drain` moves what `fill` wrote into a SQLite store; `copy` is a loop
// that selects a thousand rows behind the last and inserts them with its place in one transaction
// of SQLite. `latency` counts from the answer to the commit until a handler runs.
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
  jsonSchema,
  outbox,
  outboxSource,
  outboxSql,
  type Runtime,
  secret,
  team,
} from 'junctura'
import pg from 'pg'
import { openServerCpu } from './server-cpu.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '100000' },
    rate: { type: 'string', default: '500' },
  },
})
const [url = '', mode = 'emit'] = positionals
const seconds = Number(values.seconds)
const rows = Number(values.rows)
const owner = team('bench')
const padding = 'x'.repeat(900)

interface Placed {
  readonly orderId: string
  readonly n: number
  readonly padding: string
}

const OrderPlaced = event('orders.placed', {
  owner,
  key: 'orderId',
  versions: {
    1: jsonSchema<Placed>({
      type: 'object',
      required: ['orderId', 'n', 'padding'],
      properties: {
        orderId: { type: 'string' },
        n: { type: 'integer' },
        padding: { type: 'string' },
      },
    }),
  },
})

const placed = (n: number): Placed => ({ orderId: `order-${n % 1_000}`, n, padding })

const client = new pg.Client({ connectionString: url })
await client.connect()
await client.query(outboxSql())
await client.query('create table if not exists bench_orders (id text, n integer)')

const result = await run()
await client.end()
process.stdout.write(`${JSON.stringify(result)}\n`)

function run(): Promise<object> {
  if (mode === 'emit' || mode === 'insert') return transactions()
  if (mode === 'fill') return fill()
  if (mode === 'drain') return drain()
  if (mode === 'copy') return copy()
  return latency()
}

async function transactions(): Promise<object> {
  await client.query('truncate junctura_outbox')
  const bytes = await recordOfOne()
  const insert =
    'insert into junctura_outbox (id, type, version, key, fact, record) values ($1, $2, $3, $4, $5, $6)'
  const write = async (n: number): Promise<unknown> =>
    mode === 'emit'
      ? outbox(client).emit(OrderPlaced, placed(n))
      : client.query(insert, [`msg_${n}`, 'orders.placed', 1, `order-${n % 1_000}`, null, bytes])
  let done = 0
  const one = async (): Promise<void> => {
    await client.query('begin')
    await client.query('insert into bench_orders (id, n) values ($1, $2)', [`o-${done}`, done])
    await write(done)
    await client.query('commit')
  }
  for (; done < 200; done++) await one()
  const counted = done
  const startedMs = performance.now()
  while (performance.now() - startedMs < seconds * 1_000) {
    await one()
    done += 1
  }
  return { perSecond: ((done - counted) / (performance.now() - startedMs)) * 1_000 }
}

async function recordOfOne(): Promise<Buffer> {
  await client.query('begin')
  await outbox(client).emit(OrderPlaced, placed(1))
  const found = await client.query<{ record: Buffer }>('select record from junctura_outbox limit 1')
  await client.query('rollback')
  return found.rows[0]?.record ?? Buffer.alloc(0)
}

async function fill(): Promise<object> {
  await client.query('truncate junctura_outbox')
  for (let n = 0; n < rows; n += 1_000) {
    await client.query('begin')
    const drafts = Array.from({ length: 1_000 }, (_, at) => OrderPlaced.of(placed(n + at)))
    await outbox(client).emitMany(drafts)
    await client.query('commit')
  }
  return { rows }
}

async function openRuntime(directory: string, onOrder?: (order: Placed) => void): Promise<Runtime> {
  process.env['OUTBOX_URL'] = url
  const database = { url: secret.env('OUTBOX_URL') }
  const source = outboxSource('bench', { owner, database, accepts: [OrderPlaced] })
  const reader = consumer('reader', {
    owner,
    on: OrderPlaced,
    from: 'earliest',
    idempotency: 'natural',
    retry: { attempts: 1, first: '1s', max: '1s' },
    deadLetter: { alert: owner.oncall },
    afterDeadLetter: 'skip',
    replay: 'never',
    handle: async (order) => onOrder?.(order),
  })
  const parts = onOrder ? [source, reader] : [source]
  return createRuntime(integration('bench', { parts }), { store: { engine: 'sqlite', directory } })
}

async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'junctura-bench-'))
  try {
    return await work(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function watchMemory(): { peak(): number } {
  let peak = 0
  const look = (): void => void (peak = Math.max(peak, process.memoryUsage.rss()))
  const timer = setInterval(look, 20)
  return {
    peak() {
      clearInterval(timer)
      look()
      return Math.round(peak / 1_048_576)
    },
  }
}

/** CPU for one row, in microseconds: of this process, and of PostgreSQL's where it is here. */
async function watchCpu(
  count: number,
): Promise<() => { readonly cpuUs: number; readonly serverCpuUs: number }> {
  const server = await openServerCpu(url)
  const serverMs = server() ?? 0
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    const serverUs = ((server() ?? serverMs) - serverMs) * 1_000
    return { cpuUs: (user + system) / count, serverCpuUs: serverUs / count }
  }
}

function drain(): Promise<object> {
  return inDirectory(async (directory) => {
    const runtime = await openRuntime(directory)
    const moved = runtime.metrics
    // What loading the package takes is no part of moving rows, and on the other side not counted.
    const first = movedIn(moved.collect())
    const cpu = await watchCpu(rows - first)
    const memory = watchMemory()
    const startedMs = performance.now()
    while (movedIn(moved.collect()) < rows) await delay(10)
    const perSecond = ((rows - first) / (performance.now() - startedMs)) * 1_000
    const rssMiB = memory.peak()
    const used = cpu()
    await runtime.close()
    return { perSecond, rssMiB, ...used }
  })
}

function movedIn(collected: ReturnType<Runtime['metrics']['collect']>): number {
  const family = collected.find(({ definition }) => definition.name === 'junctura_outbox_moved')
  return family?.kind === 'number' ? (family.points[0]?.value ?? 0) : 0
}

/** By hand, with the mistake that everybody makes: it skips rows that commit late. */
function copy(): Promise<object> {
  return inDirectory(async (directory) => {
    const db = new DatabaseSync(join(directory, 'log.db'))
    db.exec('pragma journal_mode = wal; pragma synchronous = full')
    db.exec('create table log (seq integer primary key, key text, record blob)')
    db.exec('create table place (seq integer); insert into place values (0)')
    const insert = db.prepare('insert into log values (?, ?, ?)')
    const mark = db.prepare('update place set seq = ?')
    const cpu = await watchCpu(rows)
    const memory = watchMemory()
    const startedMs = performance.now()
    let last = 0
    for (let copied = 0; copied < rows;) {
      const page = await client.query<{ seq: string; key: string; record: Buffer }>(
        'select seq, key, record from junctura_outbox where seq > $1 order by seq limit 1000',
        [last],
      )
      db.exec('begin')
      for (const { seq, key, record } of page.rows) {
        last = Number(seq)
        insert.run(last, key, record)
      }
      mark.run(last)
      db.exec('commit')
      copied += page.rows.length
    }
    const perSecond = (rows / (performance.now() - startedMs)) * 1_000
    const rssMiB = memory.peak()
    const used = cpu()
    db.close()
    return { perSecond, rssMiB, ...used }
  })
}

function latency(): Promise<object> {
  return inDirectory(async (directory) => {
    await client.query('truncate junctura_outbox')
    const committed = new Map<number, number>()
    const tookMs: number[] = []
    const early = new Map<number, number>()
    const meet = (n: number, fromMs: number, toMs: number): void => {
      tookMs.push(Math.max(0, toMs - fromMs))
      committed.delete(n)
      early.delete(n)
    }
    const runtime = await openRuntime(directory, ({ n }) => {
      const nowMs = performance.now()
      const fromMs = committed.get(n)
      if (fromMs === undefined) early.set(n, nowMs)
      else meet(n, fromMs, nowMs)
    })
    const everyMs = 1_000 / Number(values.rate)
    const startedMs = performance.now()
    const count = Math.floor((seconds * 1_000) / everyMs)
    for (let n = 0; n < count; n++) {
      const waitMs = startedMs + n * everyMs - performance.now()
      if (waitMs > 0) await delay(waitMs)
      await client.query('begin')
      await outbox(client).emit(OrderPlaced, placed(n))
      await client.query('commit')
      const atMs = performance.now()
      const seenMs = early.get(n)
      if (seenMs === undefined) committed.set(n, atMs)
      else meet(n, atMs, seenMs)
    }
    while (tookMs.length < count) await delay(10)
    await runtime.close()
    const sorted = tookMs.toSorted((a, b) => a - b)
    const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0
    return { count, p50: at(0.5), p99: at(0.99) }
  })
}
