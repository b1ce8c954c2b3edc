// The same path by hand on PostgreSQL, as a good engineer writes it: messages are collected and
// inserted a batch at a time with `unnest`, a reader takes them behind a cursor that is a row.
// One process, two connections, synchronous commits. Prints one line of JSON.
//   node bench/postgres-hand.ts URL [--seconds S] [--bytes B] [--in-flight F]
import { parseArgs } from 'node:util'
import pg from 'pg'
import { openServerCpu } from './server-cpu.ts'

const number = (fallback: string) => ({ type: 'string', default: fallback }) as const
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: number('3'), bytes: number('1000'), 'in-flight': number('512') },
})
const [url = ''] = positionals
const seconds = Number(values.seconds)
const inFlight = Number(values['in-flight'])
const padding = 'x'.repeat(Math.max(0, Number(values.bytes) - 60))
const KEYS = 1_000
const READ_ROWS = 500

const connect = async (): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('set synchronous_commit = on')
  return client
}

const writer = await connect()
const reader = await connect()
const schema = `hand_${process.pid}`
await writer.query(`
  create schema ${schema};
  create table ${schema}.log (position bigserial primary key, key text not null, body text not null);
  create table ${schema}.cursor (name text primary key, position bigint not null);
  insert into ${schema}.cursor values ('reader', 0)`)

let sent = 0
let done = 0
let isOver = false
let wake: () => void = () => undefined

const serverCpu = await openServerCpu(url)
const serverMs = serverCpu() ?? 0
const cpu = process.cpuUsage()
const startedMs = performance.now()
const writing = (async () => {
  while (performance.now() < startedMs + seconds * 1_000) {
    const keys: string[] = []
    const bodies: string[] = []
    for (let row = 0; row < inFlight; row++) {
      const key = `k${sent++ % KEYS}`
      keys.push(key)
      bodies.push(JSON.stringify({ key, due: performance.now(), padding }))
    }
    await writer.query(
      `insert into ${schema}.log (key, body) select * from unnest($1::text[], $2::text[])`,
      [keys, bodies],
    )
    wake()
  }
  isOver = true
  wake()
})()

const latencies: number[] = []
for (let position = '0'; done < sent || !isOver;) {
  const { rows } = await reader.query<{ position: string; body: string }>(
    `select position, body from ${schema}.log where position > $1 order by position limit ${READ_ROWS}`,
    [position],
  )
  const last = rows.at(-1)
  if (!last) {
    if (!isOver) await new Promise<void>((resolve) => (wake = resolve))
    continue
  }
  for (const { body } of rows) {
    const { due }: { readonly due: number } = JSON.parse(body)
    latencies.push(performance.now() - due)
  }
  await reader.query(`update ${schema}.cursor set position = $1 where name = 'reader'`, [
    last.position,
  ])
  position = last.position
  done += rows.length
}
await writing
const elapsed = (performance.now() - startedMs) / 1_000
const { user, system } = process.cpuUsage(cpu)
const serverUs = ((serverCpu() ?? serverMs) - serverMs) * 1_000
await writer.query(`drop schema ${schema} cascade`)
await writer.end()
await reader.end()
latencies.sort((a, b) => a - b)
const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0
console.log(
  JSON.stringify({
    perSecond: done / elapsed,
    p50: at(0.5),
    p99: at(0.99),
    refused: 0,
    cpuUs: (user + system) / done,
    serverCpuUs: serverUs / done,
  }),
)
