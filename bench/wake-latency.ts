// From a durable publish in one process to the handler in another, on an idle PostgreSQL store; or
// the same with LISTEN and NOTIFY by hand. Prints one line of JSON.
//   node bench/wake-latency.ts ours|hand URL [--messages N]
//   node bench/wake-latency.ts nats URL NATS_URL [--messages N]    (one process, through a broker)
//   node bench/wake-latency.ts worker URL SCHEMA    (its own second process)
import { fork } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  consumer,
  createRuntime,
  event,
  integration,
  jsonSchema,
  type Role,
  type Runtime,
  team,
} from 'junctura'
import pg from 'pg'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { messages: { type: 'string', default: '200' } },
})
const [which = '', url = '', givenSchema = ''] = positionals
const messages = Number(values.messages)
const schema = which === 'worker' ? givenSchema : `wake_${process.pid}`

const owner = team('bench')
const Woken = event('bench.woken', {
  owner,
  key: 'key',
  versions: {
    1: jsonSchema<{ readonly key: string }>({
      type: 'object',
      required: ['key'],
      properties: { key: { type: 'string' } },
    }),
  },
})

/** The wall clock with a fraction, which both processes read alike. */
const nowMs = (): number => performance.timeOrigin + performance.now()

type Heard = (message: { readonly key: string; readonly atMs: number }) => void

const open = (
  roles: readonly Role[],
  tell: Heard = (message) => void process.send?.(message),
  natsUrl?: string,
) =>
  createRuntime(
    integration('bench', {
      parts: [
        consumer('woken', {
          owner,
          on: Woken,
          idempotency: 'natural',
          retry: { attempts: 1, first: '1s', max: '10s' },
          deadLetter: { alert: owner.oncall },
          afterDeadLetter: 'park',
          replay: 'safe',
          handle: ({ key }) => {
            tell({ key, atMs: nowMs() })
            return Promise.resolve()
          },
        }),
      ],
    }),
    {
      store: { engine: 'postgres', url, schema },
      roles,
      ...(natsUrl !== undefined && { transport: { engine: 'nats', url: natsUrl } }),
    },
  )

const report = (took: number[]): void => {
  took.sort((a, b) => a - b)
  const at = (share: number): number => took[Math.floor(took.length * share)] ?? 0
  console.log(JSON.stringify({ p50: at(0.5), p99: at(0.99), max: took.at(-1) }))
}

async function ours(): Promise<void> {
  const worker = fork(import.meta.filename, ['worker', url, schema])
  const heard = new Map<string, (atMs: number) => void>()
  await new Promise<void>((resolve) => {
    worker.on('message', (message: { readonly key: string; readonly atMs: number }) => {
      if (message.key === 'ready') resolve()
      else heard.get(message.key)?.(message.atMs)
    })
  })
  const gateway = await open(['gateway'])
  report(await wakes(gateway, heard))
  const gone = new Promise((resolve) => worker.once('exit', resolve))
  worker.kill('SIGTERM')
  await gone
  await gateway.close()
}

async function wakes(
  gateway: Runtime,
  heard: Map<string, (atMs: number) => void>,
): Promise<number[]> {
  const took: number[] = []
  for (let n = 0; n < messages; n++) {
    await delay(10 + (n % 11))
    const handled = new Promise<number>((resolve) => heard.set(`k${n}`, resolve))
    await gateway.publish(Woken.of({ key: `k${n}` }))
    const committedMs = nowMs()
    took.push(Math.max(0, (await handled) - committedMs))
  }
  return took
}

async function throughNats(natsUrl: string): Promise<void> {
  const heard = new Map<string, (atMs: number) => void>()
  const tell: Heard = ({ key, atMs }) => heard.get(key)?.(atMs)
  const runtime = await open(['gateway', 'worker'], tell, natsUrl)
  report(await wakes(runtime, heard))
  await runtime.close()
}

async function worker(): Promise<void> {
  const runtime = await open(['worker'])
  process.send?.({ key: 'ready', atMs: 0 })
  process.once('SIGTERM', () => void runtime.close().then(() => process.exit(0)))
}

async function hand(): Promise<void> {
  const [writer, listener] = [url, url].map(
    (connectionString) => new pg.Client({ connectionString }),
  )
  if (!writer || !listener) return
  await writer.connect()
  await listener.connect()
  await writer.query(`create table ${schema} (id serial primary key, body text)`)
  await listener.query(`listen ${schema}`)
  let told: () => void = () => undefined
  listener.on('notification', () => told())
  const took: number[] = []
  for (let n = 0; n < messages; n++) {
    await delay(10 + (n % 11))
    const handled = new Promise<number>((resolve) => {
      told = () =>
        void listener
          .query(`select body from ${schema} where id > $1 order by id`, [n])
          .then(() => resolve(nowMs()))
    })
    await writer.query(`begin; insert into ${schema} (body) values ('k'); notify ${schema}; commit`)
    const committedMs = nowMs()
    took.push(Math.max(0, (await handled) - committedMs))
  }
  report(took)
  await writer.query(`drop table ${schema}`)
  await writer.end()
  await listener.end()
}

if (which === 'worker') await worker()
else if (which === 'nats') await throughNats(givenSchema)
else await (which === 'ours' ? ours() : hand())
