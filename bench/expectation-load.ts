// What an expectation costs: events with none, or through one that has many keys open already.
// Prints one line of JSON.
//   node bench/expectation-load.ts none|one [--seconds S] [--open N] [--rate R]
// Half of the events begin a wait, and half end one that is a second old. `cpuUs` is the CPU of the
// process for each event at that rate; `perSecond` is what it takes when nothing holds it back.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createRuntime, event, expectation, integration, jsonSchema, team } from 'junctura'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '10' },
    open: { type: 'string', default: '100000' },
    rate: { type: 'string', default: '2000' },
  },
})
const [seconds, open, rate] = [values.seconds, values.open, values.rate].map(Number) as [
  number,
  number,
  number,
]

interface Order {
  readonly key: string
  readonly n: number
}

const owner = team('bench')
const schema = jsonSchema<Order>({
  type: 'object',
  required: ['key', 'n'],
  properties: { key: { type: 'string' }, n: { type: 'number' } },
})
const Placed = event('orders.placed', { owner, key: 'key', versions: { 1: schema } })
const Paid = event('payments.captured', { owner, key: 'key', versions: { 1: schema } })
const paid = expectation('paid', { owner, after: Placed, expect: Paid, within: '1h' })
const parts = positionals[0] === 'one' ? [Placed, Paid, paid] : [Placed, Paid]

const directory = mkdtempSync(join(tmpdir(), 'junctura-bench-'))
const store = { engine: 'sqlite', directory } as const
const runtime = await createRuntime(integration('bench', { parts }), { store })

for (let from = 0; from < open; from += 1_000) {
  const keys = Array.from({ length: Math.min(1_000, open - from) }, (_, n) => `open-${from + n}`)
  await runtime.publishMany(keys.map((key, n) => Placed.of({ key, n })))
}
await runtime.idle()

const TICKS = 20
const each = rate / 2 / TICKS
const second = TICKS * each
const usage = process.cpuUsage()
const startedMs = performance.now()
let sent = 0
let behindMs = 0
for (let tick = 0; tick < seconds * TICKS; tick++) {
  const waitMs = startedMs + (tick * 1_000) / TICKS - performance.now()
  if (waitMs > 0) await delay(waitMs)
  else behindMs = Math.max(behindMs, -waitMs)
  const first = Math.round(tick * each)
  const numbers = Array.from({ length: Math.round(each) }, (_, n) => first + n)
  const begun = numbers.map((n) => Placed.of({ key: `key-${n}`, n }))
  const ended = numbers
    .filter((n) => n >= second)
    .map((n) => Paid.of({ key: `key-${n - second}`, n }))
  await runtime.publishMany([...begun, ...ended])
  sent += begun.length + ended.length
}
await runtime.idle()
const spent = process.cpuUsage(usage)
const cpuUs = (spent.user + spent.system) / sent
const memoryMb = process.memoryUsage().rss / 1_048_576

const FREE = 40_000
const freeMs = performance.now()
for (let from = 0; from < FREE; from += 500) {
  const drafts = Array.from({ length: 500 }, (_, n) =>
    n % 2 === 0
      ? Placed.of({ key: `free-${from + n}`, n })
      : Paid.of({ key: `free-${from + n - 401}`, n }),
  )
  await runtime.publishMany(drafts)
}
await runtime.idle()
const perSecond = FREE / ((performance.now() - freeMs) / 1_000)
const [view] = await runtime.expectations()
await runtime.close()
rmSync(directory, { recursive: true })
const { open: openNow = 0, totals } = view ?? {}
process.stdout.write(
  `${JSON.stringify({ cpuUs, perSecond, behindMs, memoryMb, sent, openNow, met: totals?.met ?? 0 })}\n`,
)
