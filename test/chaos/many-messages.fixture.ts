// A process that publishes and handles so many messages of so many keys in its own store, and says
// on one line what came of them: `node many-messages.fixture.ts DIRECTORY MESSAGES KEYS WAIT_MS`
// What is not handled by the end of the wait still waits: then only holes before it are losses.
import { setTimeout as delay } from 'node:timers/promises'
import { consumer, createRuntime, event, integration, jsonSchema, team } from 'junctura'

const [, , directory = '', messagesText = '', keysText = '', waitMsText = ''] = process.argv
const messages = Number(messagesText)
const keys = Number(keysText)
const BATCH = 1_000

const owner = team('chaos')
const Counted = event('chaos.counted', {
  owner,
  key: 'key',
  versions: {
    1: jsonSchema<{ key: string; number: number }>({
      type: 'object',
      required: ['key', 'number'],
      properties: { key: { type: 'string' }, number: { type: 'integer' } },
    }),
  },
})

const times = new Uint8Array(messages)
const lastOfKey = new Int32Array(keys).fill(-1)
let outOfOrder = 0

const reader = consumer('reader', {
  owner,
  on: Counted,
  idempotency: 'natural',
  retry: { attempts: 3, first: '1s', max: '10s' },
  deadLetter: { alert: owner.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  concurrency: 256,
  handle: ({ key, number }) => {
    const index = Number(key.slice(1))
    if ((lastOfKey[index] ?? 0) >= number) outOfOrder++
    lastOfKey[index] = number
    times[number] = (times[number] ?? 0) + 1
    return Promise.resolve()
  },
})

const startedMs = performance.now()
const runtime = await createRuntime(integration('chaos', { parts: [reader] }), {
  store: { engine: 'sqlite', directory },
})
let memoryBytesMax = 0
for (let first = 0; first < messages; first += BATCH) {
  const numbers = Array.from({ length: Math.min(BATCH, messages - first) }, (_, at) => first + at)
  await runtime.publishMany(
    numbers.map((number) => Counted.of({ key: `k${number % keys}`, number })),
  )
  memoryBytesMax = Math.max(memoryBytesMax, process.memoryUsage.rss())
}
const publishedMs = performance.now()
const isIdle = await Promise.race([
  runtime.idle().then(() => true),
  delay(Number(waitMsText), false),
])
const doneMs = performance.now()
memoryBytesMax = Math.max(memoryBytesMax, process.memoryUsage.rss())
await runtime.close(1_000)

let effects = 0
let lost = 0
let doubled = 0
const end = isIdle ? messages : times.findLastIndex((count) => count > 0)
for (const count of times.subarray(0, end)) {
  effects += count
  if (count === 0) lost++
  if (count > 1) doubled++
}
const memoryMiBMax = Math.round(memoryBytesMax / 1_048_576)
const figures = { acknowledged: messages, effects, lost, doubled, outOfOrder }
const pending = messages - end
const afterwardsMs = Math.round(doneMs - publishedMs)
const perSecond = Math.round((effects * 1_000) / (doneMs - startedMs))
console.log(JSON.stringify({ figures, memoryMiBMax, pending, afterwardsMs, perSecond }))
process.exit(0)
