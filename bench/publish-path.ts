// publish → durable → handler → done, 1 KB, in process; and its twin, a bare log: batches of 100
// rows in SQLite, nothing else. node bench/publish-path.ts ours|bare SECONDS
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { consumer, createRuntime, event, integration, jsonSchema, team } from 'junctura'

const [which = 'ours', seconds = '3'] = process.argv.slice(2)
const directory = mkdtempSync(join(tmpdir(), 'junctura-bench-'))
const endMs = performance.now() + Number(seconds) * 1_000
const padding = 'x'.repeat(900)
const IN_FLIGHT = 512
const BATCH = 100

async function ours(): Promise<number> {
  const owner = team('bench')
  const Measured = event('bench.measured', {
    owner,
    key: 'key',
    versions: {
      1: jsonSchema<{ key: string; padding: string }>({
        type: 'object',
        required: ['key', 'padding'],
        properties: { key: { type: 'string' }, padding: { type: 'string' } },
      }),
    },
  })
  let done = 0
  const reader = consumer('reader', {
    owner,
    on: Measured,
    idempotency: 'natural',
    retry: { attempts: 3, first: '1s', max: '10s' },
    deadLetter: { alert: owner.oncall },
    afterDeadLetter: 'skip',
    replay: 'safe',
    concurrency: 256,
    handle: () => {
      done += 1
      return Promise.resolve()
    },
  })
  const runtime = await createRuntime(integration('bench', { parts: [reader] }), {
    store: { engine: 'sqlite', directory },
  })
  let next = 0
  const work = async (): Promise<void> => {
    while (performance.now() < endMs) {
      await runtime.publish(Measured.of({ key: `k${next++ % 1_000}`, padding }))
    }
  }
  const startedMs = performance.now()
  await Promise.all(Array.from({ length: IN_FLIGHT }, work))
  await runtime.idle()
  const elapsed = (performance.now() - startedMs) / 1_000
  await runtime.close()
  return done / elapsed
}

function bare(): number {
  const db = new DatabaseSync(join(directory, 'bare.db'))
  db.exec('pragma journal_mode = wal; pragma synchronous = full')
  db.exec('create table log(position integer primary key, key text, at_ms integer, body blob)')
  const insert = db.prepare('insert into log values (?, ?, ?, ?)')
  const body = Buffer.alloc(1_000)
  let position = 0
  const startedMs = performance.now()
  while (performance.now() < endMs) {
    db.exec('begin immediate')
    for (let row = 0; row < BATCH; row++) insert.run(++position, `k${position % 1_000}`, 0, body)
    db.exec('commit')
  }
  const elapsed = (performance.now() - startedMs) / 1_000
  db.close()
  return position / elapsed
}

const perSecond = Math.round(which === 'ours' ? await ours() : bare())
rmSync(directory, { recursive: true, force: true })
console.log(JSON.stringify({ perSecond }))
