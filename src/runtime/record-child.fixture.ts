// A process that publishes to a contract whose record is the broker, and handles what is there.
//   node record-child.fixture.ts publish|finish ENGINE URL PREFIX FOLDER|STORE FIRST
// `publish` prints `ok N` once N is confirmed, until it is killed; `finish` ends when all is
// handled, and prints the kind of each alert.
import { writeSync } from 'node:fs'
import { integration } from '../contract/index.ts'
import { createSystemKernel, sleep } from '../kernel/index.ts'
import { createRuntime } from './create-runtime.ts'
import { Billed, METER_EFFECTS, meterConsumer, Metered } from './record.fixture.ts'
import { effect, policy } from './world.fixture.ts'

const [mode = '', engine = '', url = '', prefix = '', directory = '', first = '1'] =
  process.argv.slice(2)
const { clock } = createSystemKernel()
const retry = { attempts: 20, first: '100ms', max: '1s', jitter: 'none' } as const
const failed = new Set<number>()

const books = meterConsumer('books', { ...policy, retry, concurrency: 8 }, async (order, ctx) => {
  if (order.n % 17 === 0 && !failed.has(order.n)) {
    failed.add(order.n)
    throw new Error('the first attempt of each process fails')
  }
  if (order.n % 10 === 0) ctx.emit(Billed.of(order))
  await effect('books', order, ctx)
})
const onMetered = meterConsumer('bills', { ...policy, retry }, async (order, ctx) => {
  await effect('bills', order, ctx)
})

const broker = engine === 'nats' ? ({ engine: 'nats' } as const) : ({ engine: 'kafka' } as const)
const runtime = await createRuntime(
  integration('meters', { parts: [books, { ...onMetered, on: Billed }], tables: [METER_EFFECTS] }),
  {
    store: directory.startsWith('postgres://')
      ? { engine: 'postgres', url: directory }
      : { engine: 'sqlite', directory },
    transport: { ...broker, url, prefix, publishTimeoutMs: 5_000 },
    send: () => Promise.resolve(),
  },
)

const KEYS = 12

const publish = async (key: number): Promise<never> => {
  for (let n = Number(first) + key; ; n += KEYS) {
    try {
      await runtime.publish(Metered.of({ key: `k${key}`, n }))
      writeSync(1, `ok ${n}\n`)
    } catch {
      // Whether it is there is not known, and another number comes next.
      await sleep(clock, 50)
    }
  }
}

if (mode === 'publish') await Promise.all(Array.from({ length: KEYS }, (_, key) => publish(key)))

// What was emitted is on its way until the relay has published it and the consumer has read it.
for (let quiet = 0; quiet < 4; quiet++) {
  await runtime.idle()
  const { transport } = await runtime.overview()
  if ((transport.unpublished ?? 1) > 0) quiet = 0
  // What a process had that was killed is here once its leases are over.
  for (const { mode: now, lag, retrying } of await runtime.consumers()) {
    if (now !== 'running' || lag > 0 || retrying > 0) quiet = 0
  }
  await sleep(clock, 300)
}
for (const { kind } of (await runtime.alerts({})).items) writeSync(1, `alert ${kind}\n`)
await runtime.close()
