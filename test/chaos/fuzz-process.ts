// Seeded nonsense for every parser of a running process: no input is answered with a 500, ends it,
// or holds its loop.
import type { AttackLine } from './attack.ts'
import {
  goodRequest,
  head,
  LOOP_MS_MAX,
  orderBody,
  sendRaw,
  signedLines,
  threadMs,
} from './raw-http.ts'
import { fuzzBytes, fuzzJson, fuzzText } from './fuzz-text.ts'
import { createRandom, type Random } from './random.ts'
import { ROUGH_ORDERS, type RuntimeProcess, startRuntime } from './runtime-process.ts'

export interface FuzzResult {
  readonly inputs: number
  /** How often each status came. */
  readonly statuses: ReadonlyMap<number, number>
  readonly loopMsMax: number
  readonly faults: readonly string[]
}

interface Input {
  readonly listener: 'public' | 'management'
  readonly bytes: string | Uint8Array
}

/** Each makes an input of its kind; the number keeps ids apart. */
type Kind = (random: Random, number: number) => Input

const body: Kind = (random, number) => {
  const like = { version: 2, orderId: `A-${number}`, status: 'placed', total: { amount: '1.50' } }
  const text = fuzzJson(random, like)
  return webhook(signedLines(`fuzz-${number}`, text), text)
}

const headers: Kind = (random, number) => {
  const text = orderBody(`A-${number}`)
  const lines = [
    ...signedLines(`fuzz-${number}`, text),
    'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'tracestate: vendor=1,other=2',
    'content-encoding: identity',
    'user-agent: fuzz',
  ].map((line) => {
    if (!random.chance(0.3)) return line
    const name = line.split(':', 1)[0] ?? ''
    return random.chance(0.2) ? `${line}\r\n${line}` : `${name}: ${printable(fuzzText(random))}`
  })
  return webhook(lines, text)
}

const raw: Kind = (random, number) => ({
  listener: random.chance(0.5) ? 'public' : 'management',
  bytes: fuzzBytes(random, Buffer.from(goodRequest(`fuzz-${number}`, `A-${number}`))),
})

const VIEWS = [
  'alerts',
  'consumers',
  'dead-letters',
  'dead-letters/groups',
  'dead-letters/',
  'invalid',
  'invalid/groups',
  'invalid/',
  'messages',
  'messages/',
  'messages/msg_01a1fd0f335c72d2992d3d6368712520',
  'messages/msg_ffffffffffff7fffffffffffffffffff',
  'model',
  'operations',
  'overview',
  'replays',
  'replays/',
] as const
const PARAMETERS = [
  'limit',
  'after',
  'state',
  'cause',
  'webhook',
  'type',
  'status',
  'run',
  'key',
  'correlation',
  'consumer',
  'id',
] as const

const view: Kind = (random) => {
  const one = (list: readonly string[]): string => list[random.between(0, list.length - 1)] ?? ''
  const escape = (text: string): string =>
    random.chance(0.7) ? encodeURIComponent(text.toWellFormed()) : printable(text)
  const query = Array.from(
    { length: random.between(0, 3) },
    () => `${one(PARAMETERS)}=${escape(fuzzText(random, 3))}`,
  )
  const path = `/api/v1/${one(VIEWS)}${random.chance(0.3) ? escape(fuzzText(random, 2)) : ''}`
  const first = `GET ${path.replaceAll(' ', '+')}?${query.join('&').replaceAll(' ', '+')} HTTP/1.1`
  return { listener: 'management', bytes: head(['Connection: close'], first) }
}

const COMMANDS: readonly unknown[] = [
  { kind: 'dead-letter.retry', ids: ['dead_1'], cause: 'x' },
  { kind: 'dead-letter.drop', cause: 'x' },
  { kind: 'replay.plan', filter: { from: 'messages', fromPosition: 1, sinceMs: 0, key: 'A-1' } },
  { kind: 'replay.plan', filter: { consumer: 'finance' }, ratePerSecond: 1 },
  { kind: 'replay.run', id: 'replay_1', token: 'x' },
  { kind: 'invalid.readmit', webhook: 'acme', planOnly: true, ratePerSecond: 5 },
  { kind: 'invalid.drop', ids: ['inv_1'] },
  { kind: 'alert.acknowledge', id: 'alert_1' },
  { kind: 'consumer.pause', name: 'statistics' },
  { kind: 'consumer.retire', name: 'nobody' },
]
const EVENT = {
  type: 'orders.status-changed',
  version: 2,
  data: { version: 2, orderId: 'A-1', status: 'placed' },
}

const operation: Kind = (random) => {
  const command = COMMANDS[random.between(0, COMMANDS.length - 1)]
  const like = { command, reason: 'to see', actor: 'ada', operationId: fuzzText(random, 1) }
  return post('/api/v1/operations', fuzzJson(random, like))
}

const publish: Kind = (random) => post('/api/v1/publish', fuzzJson(random, EVENT))

const KINDS: readonly Kind[] = [body, body, headers, headers, raw, view, view, operation, publish]

export const fuzzProcess = async (options: {
  readonly dataDir: string
  readonly seed: number
  readonly inputs: number
}): Promise<FuzzResult> => {
  const { dataDir, seed, inputs } = options
  const random = createRandom(seed)
  const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  const statuses = new Map<number, number>()
  const faults: string[] = []
  let loopMsMax = 0
  try {
    for (let number = 0; number < inputs && faults.length < 20; number++) {
      const input = KINDS[number % KINDS.length]?.(random, number)
      if (!input) continue
      const tried = await tryInput(runtime, input)
      loopMsMax = Math.max(loopMsMax, tried.loopMs)
      for (const status of tried.statuses) statuses.set(status, (statuses.get(status) ?? 0) + 1)
      const shown = Buffer.from(input.bytes).toString('latin1').slice(0, 1_500)
      faults.push(...tried.faults.map((fault) => `input ${number}: ${fault}: ${shown}`))
    }
    const good = await sendRaw(runtime.url, [goodRequest('honest', 'A-honest')])
    if (good.statuses.join() !== '202') {
      faults.push(`afterwards it does not take an honest one: ${good.text}\n${runtime.log()}`)
    }
    return { inputs, statuses, loopMsMax, faults }
  } finally {
    await runtime.kill()
  }
}

export const describeProcessFuzz = (result: FuzzResult): AttackLine => {
  const counts = [...result.statuses].toSorted(([one], [other]) => one - other)
  const answers = counts.map(([status, count]) => `${status}: ${count}`).join(', ')
  const loop = `the costliest computed ${Math.round(result.loopMsMax)} ms`
  return {
    what: 'seeded nonsense for both listeners',
    recovery: `${result.inputs} inputs; ${loop}; ${answers}`,
    faults: result.faults,
  }
}

const TRIES = 3

async function tryInput(runtime: RuntimeProcess, { listener, bytes }: Input) {
  const url = listener === 'public' ? runtime.url : runtime.managementUrl
  const faults = new Set<string>()
  const statuses: number[] = []
  let loopMs = Infinity
  // What collects the garbage of others costs once; what an input costs, it costs each time.
  for (let attempt = 0; attempt < TRIES && loopMs > LOOP_MS_MAX; attempt++) {
    const fromMs = threadMs(runtime.pid)
    const reply = await sendRaw(url, [bytes])
    loopMs = Math.min(loopMs, threadMs(runtime.pid) - fromMs)
    statuses.push(...reply.statuses)
    const bad = reply.statuses.filter((status) => status >= 500 && status !== 501)
    for (const status of bad) faults.add(`it was answered ${status}`)
  }
  if (loopMs > LOOP_MS_MAX) faults.add(`it holds the loop for ${Math.round(loopMs)} ms`)
  return { faults: [...faults], statuses, loopMs }
}

const webhook = (lines: readonly string[], text: string): Input => ({
  listener: 'public',
  bytes: head([...lines, `Content-Length: ${Buffer.byteLength(text)}`, 'Connection: close']) + text,
})

const post = (path: string, text: string): Input => ({
  listener: 'management',
  bytes:
    head(
      [
        'Content-Type: application/json',
        'X-Junctura-Actor: ada',
        `Content-Length: ${Buffer.byteLength(text)}`,
        'Connection: close',
      ],
      `POST ${path} HTTP/1.1`,
    ) + text,
})

/** What may stand in a line of a request without ending it. */
const printable = (text: string): string => text.replace(/[\r\n\0]/g, '')
