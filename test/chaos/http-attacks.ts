// Smuggling, framing, floods and bombs, on both listeners of a running process: each gets at most
// the one answer that it deserves, nothing is stored, and the loop is never held.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import type { AttackLine } from './attack.ts'
import {
  goodRequest,
  head,
  LOOP_MS_MAX,
  orderBody,
  type RawReply,
  restedThreadMs,
  sendRaw,
  signedLines,
} from './raw-http.ts'
import { ROUGH_ORDERS, type RuntimeProcess, startRuntime } from './runtime-process.ts'

interface HttpAttack {
  readonly name: string
  /** Ids of the messages that it tries to slip in begin with this. */
  readonly bytes: (id: string) => readonly (string | Uint8Array)[]
  /** Answers that are right; none at all, on a closed connection, is right for every attack. */
  readonly statuses: readonly number[]
}

export interface HttpAttacksResult {
  readonly attacks: number
  /** The most that one of them made the loop compute. */
  readonly loopMsMax: number
  readonly slowest: string
  readonly faults: readonly string[]
}

/** What the process takes from a socket in one turn of its loop. */
const ONE_READ_BYTES = 65_536
const MIB = 1_048_576

const smuggled = (id: string): string => goodRequest(id, `SMUGGLED-${id}`)
const signed = (id: string): readonly string[] => signedLines(`${id}-outer`, orderBody(`A-${id}`))
const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`

const framing = (
  name: string,
  lines: (id: string) => readonly string[],
  body: (id: string) => string = smuggled,
): HttpAttack => ({
  name,
  bytes: (id) => [head([...signed(id), ...lines(id)]) + body(id)],
  // A listener that wants no body there may answer before it sees what is wrong with it.
  statuses: [400, 404, 405],
})

/** Two readers of these could see two requests, or another one. */
const FRAMING: readonly HttpAttack[] = [
  framing('CL.TE', (id) => [
    `Content-Length: ${smuggled(id).length + 5}`,
    'Transfer-Encoding: chunked',
  ]),
  framing(
    'TE.CL',
    () => ['Transfer-Encoding: chunked', 'Content-Length: 4'],
    (id) => `${chunk(smuggled(id))}0\r\n\r\n`,
  ),
  framing('two lengths', () => ['Content-Length: 0', 'Content-Length: 300']),
  framing('a list of lengths', () => ['Content-Length: 0, 300']),
  framing('a signed length', () => ['Content-Length: +0']),
  framing('a negative length', () => ['Content-Length: -1']),
  framing('a hexadecimal length', () => ['Content-Length: 0x0']),
  framing('a length beyond integers', () => ['Content-Length: 99999999999999999999']),
  framing('a length behind a space', () => ['Content-Length : 0']),
  framing('a folded header', () => ['X-Folded: one', ' two', 'Content-Length: 0']),
  framing('a coding that is not chunked', () => ['Transfer-Encoding: xchunked']),
  framing('chunked twice', () => ['Transfer-Encoding: chunked, chunked']),
  framing('chunked, then identity', () => ['Transfer-Encoding: chunked, identity']),
  framing('a folded coding', () => ['Transfer-Encoding:', ' chunked']),
  framing('a coding behind a tab', () => ['Transfer-Encoding\t: chunked']),
  framing('a NUL in a header', () => ['X-Nul: a\0b', 'Content-Length: 0']),
  framing('a bare CR in a header', () => ['X-Cr: a\rb', 'Content-Length: 0']),
  framing(
    'a chunk size of letters',
    () => ['Transfer-Encoding: chunked'],
    (id) => `zz\r\n${smuggled(id)}`,
  ),
  framing(
    'a chunk size beyond integers',
    () => ['Transfer-Encoding: chunked'],
    (id) => `ffffffffffffffffff\r\n${smuggled(id)}`,
  ),
  framing(
    'a chunk that is longer than it says',
    () => ['Transfer-Encoding: chunked'],
    (id) => `1\r\n${smuggled(id)}0\r\n\r\n`,
  ),
  framing(
    'chunks that end in a bare LF',
    () => ['Transfer-Encoding: chunked'],
    (id) => `5\nhello\n0\n\n${smuggled(id)}`,
  ),
]

const FLOODS: readonly HttpAttack[] = [
  {
    name: 'header lines that end in a bare LF',
    bytes: (id) => [smuggled(id).replaceAll('\r\n', '\n')],
    statuses: [400],
  },
  {
    name: 'no host',
    bytes: () => ['POST /webhooks/acme HTTP/1.1\r\nContent-Length: 0\r\n\r\n'],
    statuses: [400],
  },
  {
    name: 'ten thousand headers',
    bytes: () => [head(Array.from({ length: 10_000 }, (_, n) => `x-${n}: y`))],
    statuses: [400, 431],
  },
  {
    name: 'three hundred short headers',
    bytes: () => [head(Array.from({ length: 300 }, (_, n) => `x-${n}: y`))],
    statuses: [400, 431],
  },
  {
    name: 'a header of 64 KiB',
    bytes: () => [head([`x-long: ${'y'.repeat(65_536)}`])],
    statuses: [431],
  },
  {
    name: 'an address of 1 MiB',
    bytes: () => [head([], `GET /${'a'.repeat(MIB)} HTTP/1.1`)],
    statuses: [400, 414, 431],
  },
  {
    name: 'an address with broken escapes, dots and NUL',
    bytes: () => [head(['Connection: close'], 'GET //..%2f..%00%zz/%c0%ae HTTP/1.1')],
    statuses: [400, 401, 404],
  },
  {
    name: 'chunk extensions without end',
    bytes: (id) => [
      head([...signed(id), 'Transfer-Encoding: chunked']),
      `1;${'x'.repeat(MIB)}\r\na\r\n0\r\n\r\n`,
    ],
    statuses: [400, 404, 405, 413],
  },
  {
    name: 'short chunk extensions on every chunk',
    bytes: (id) => [
      head([...signed(id), 'Transfer-Encoding: chunked']),
      `${`1;${'x'.repeat(100)}\r\na\r\n`.repeat(20_000)}0\r\n\r\n`,
    ],
    statuses: [400, 401, 404, 405, 413],
  },
  {
    name: 'a body of two million chunks of one byte',
    bytes: (id) => [
      head([...signed(id), 'Transfer-Encoding: chunked']),
      `${'1\r\na\r\n'.repeat(2_000_000)}0\r\n\r\n`,
    ],
    statuses: [400, 401, 404, 405, 413],
  },
  {
    name: 'trailers that would be headers',
    bytes: (id) => [
      head([...signed(id), 'Transfer-Encoding: chunked', 'Trailer: Content-Length']),
      `${chunk('{}')}0\r\nContent-Length: 5\r\nHost: other\r\n\r\n`,
    ],
    statuses: [400, 401, 404, 405, 415, 422],
  },
  {
    name: 'ten thousand requests on one connection',
    bytes: () => [head(['Content-Length: 0'], 'GET /nowhere HTTP/1.1').repeat(10_000)],
    statuses: [401, 404, 429, 503],
  },
  {
    name: 'an upgrade to HTTP/2',
    bytes: () => ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    statuses: [400, 505],
  },
  {
    name: 'TRACE',
    bytes: () => [head(['Connection: close'], 'TRACE /webhooks/acme HTTP/1.1')],
    statuses: [400, 401, 404, 405, 501],
  },
]

const bomb = (coding: string, compressed: Uint8Array): HttpAttack => ({
  name: `a bomb of ${coding}`,
  bytes: (id) => [
    head([
      ...signedLines(`${id}-bomb`, compressed),
      `Content-Encoding: ${coding}`,
      `Content-Length: ${compressed.length}`,
      'Connection: close',
    ]),
    compressed,
  ],
  statuses: [400, 401, 404, 405, 413, 415],
})

const zeros = Buffer.alloc(64 * MIB)
const BOMBS: readonly HttpAttack[] = [
  bomb('gzip', gzipSync(zeros)),
  bomb('br', brotliCompressSync(zeros)),
  bomb('deflate', deflateSync(zeros)),
  bomb('gzip, gzip', gzipSync(gzipSync(zeros))),
  bomb('gzip', gzipSync(zeros).subarray(0, 30_000)),
  bomb('gzip', Buffer.concat([gzipSync('{}'), Buffer.alloc(1_000, 0x1f)])),
  bomb('identity', Buffer.from('[ '.repeat(1_000))),
]

const ATTACKS: readonly HttpAttack[] = [...FRAMING, ...FLOODS, ...BOMBS]

export const runHttpAttacks = async (dataDir: string): Promise<HttpAttacksResult> => {
  const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  const faults: string[] = []
  let loopMsMax = 0
  let slowest = ''
  try {
    for (const url of [runtime.url, runtime.managementUrl]) {
      for (const [number, attack] of ATTACKS.entries()) {
        const tried = await tryAttack({ runtime, url, attack, id: `a${number}` })
        faults.push(...tried.faults.map((one) => `${attack.name}: ${one}`))
        if (tried.loopMs <= loopMsMax) continue
        loopMsMax = tried.loopMs
        slowest = attack.name
      }
    }
    faults.push(...(await faultsAfter(runtime, dataDir)))
    return { attacks: ATTACKS.length * 2, loopMsMax, slowest, faults }
  } finally {
    await runtime.kill()
  }
}

const TRIES = 3

async function tryAttack(options: {
  readonly runtime: RuntimeProcess
  readonly url: string
  readonly attack: HttpAttack
  readonly id: string
}) {
  const { runtime, url, attack, id } = options
  const faults: string[] = []
  const pieces = attack.bytes(id)
  let loopMs = Infinity
  // What collects the garbage of the one before costs once; what an attack costs, each time.
  for (let attempt = 0; attempt < TRIES && loopMs > LOOP_MS_MAX; attempt++) {
    const fromMs = await restedThreadMs(runtime.pid)
    const reply = await sendRaw(url, pieces)
    loopMs = Math.min(loopMs, (await restedThreadMs(runtime.pid)) - fromMs)
    faults.push(...faultsOfReply(attack, reply))
    // A flood is read in many turns of the loop, so that what it costs holds nobody up.
    if (pieces.reduce((sum, piece) => sum + piece.length, 0) > ONE_READ_BYTES) loopMs = 0
  }
  if (loopMs > LOOP_MS_MAX) faults.push(`it holds the loop for ${Math.round(loopMs)} ms`)
  return { faults, loopMs }
}

export const describeHttpAttacks = (result: HttpAttacksResult): AttackLine => ({
  what: 'smuggling, framing, floods and bombs on raw sockets',
  recovery:
    `${result.attacks} attacks, none taken; ` +
    `the costliest computed ${Math.round(result.loopMsMax)} ms (${result.slowest})`,
  faults: result.faults,
})

function faultsOfReply(attack: HttpAttack, reply: RawReply): readonly string[] {
  const wrong = reply.statuses.filter((status) => !attack.statuses.includes(status))
  const faults = [...new Set(wrong)].map((status) => `it was answered ${status}`)
  if (reply.statuses.length === 0 && !reply.wasClosed) faults.push('it had no answer at all')
  // What follows the first answer was read as another request.
  if (FRAMING.includes(attack) && reply.statuses.length > 1) faults.push('it had two answers')
  return faults
}

async function faultsAfter(runtime: RuntimeProcess, dataDir: string): Promise<readonly string[]> {
  const faults: string[] = []
  const good = await sendRaw(runtime.url, [goodRequest('honest', 'A-honest')])
  if (good.statuses.join() !== '202') faults.push(`afterwards: an honest one: ${good.text}`)
  const db = new DatabaseSync(join(dataDir, 'junctura.db'), { readOnly: true, timeout: 10_000 })
  const list = "select distinct order_id from order_effects where order_id <> 'A-honest'"
  const slipped = db.prepare(list).all()
  db.close()
  for (const row of slipped) faults.push(`it slipped in: ${String(row['order_id'])}`)
  return faults
}
