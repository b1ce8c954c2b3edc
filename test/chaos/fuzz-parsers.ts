// Seeded nonsense for the parsers that are reached without HTTP: records of the log, contexts of
// traces, signatures, JSON, and command lines. Each takes it, or refuses it with a code of its own.
import { decodeRecord, encodeRecord, type LogRecord } from '../../src/contract/index.ts'
import { isJuncturaError } from '../../src/kernel/index.ts'
import { parseTraceparent, parseTracestate, readTraceContext } from '../../src/observe/index.ts'
import { parseJson, rawScalarAt } from '../../src/schema/index.ts'
import { runCli } from '../cli/fake-io.ts'
import type { AttackLine } from './attack.ts'
import { fuzzBytes, fuzzJson, fuzzText } from './fuzz-text.ts'
import { createRandom, type Random } from './random.ts'

export interface ParserFuzzResult {
  readonly inputs: number
  readonly refused: number
  readonly cpuMsMax: number
  readonly faults: readonly string[]
}

const CPU_MS_MAX = 100
const LIKE = { version: 2, orderId: 'A-1', nested: { list: [1, '2', null, 1.5], text: 'é' } }
const RECORD: LogRecord = {
  head: {
    envelope: {
      specversion: '1.0',
      id: 'msg_01a1fd0f335c72d2992d3d6368712520',
      type: 'orders.status-changed',
      source: '/webhooks/acme',
      time: '2026-01-01T00:00:00.000Z',
      datacontenttype: 'application/json',
      contractversion: 2,
      partitionkey: 'A-1',
      correlationid: 'msg_01a1fd0f335c72d2992d3d6368712520',
      tenant: 'default',
    },
    codec: 'json',
  },
  data: Buffer.from(JSON.stringify(LIKE)),
  raw: Buffer.from('as it came'),
}
const RECORD_BYTES = encodeRecord(RECORD)

type Parser = (random: Random) => unknown

const PARSERS: Readonly<Record<string, Parser>> = {
  'a record of the log': (random) => decodeRecord(fuzzBytes(random, RECORD_BYTES), 7),
  'a body of JSON': (random) => parseJson(Buffer.from(fuzzJson(random, LIKE))),
  'a body of bytes': (random) => parseJson(fuzzBytes(random, Buffer.from(JSON.stringify(LIKE)))),
  'a value in its own words': (random) => {
    const parsed = parseJson(Buffer.from(fuzzJson(random, LIKE)))
    return (
      'value' in parsed && rawScalarAt(JSON.stringify(LIKE), ['nested', fuzzText(random, 1), 0])
    )
  },
  'a traceparent': (random) => parseTraceparent(fuzzText(random)),
  'a tracestate': (random) => parseTracestate([fuzzText(random, 40), fuzzText(random)]),
  'a trace context': (random) =>
    readTraceContext([
      ['traceparent', fuzzText(random)],
      ['TraceState', fuzzText(random, 20)],
    ]),
}

/** Those that end by themselves and touch neither files nor ports. */
const COMMANDS = ['alerts list', 'consumers list', 'dlq list', 'dlq show', 'dlq retry'].concat(
  ['invalid list', 'invalid show', 'operations', 'replay plan', 'replay status', 'explain'],
  ['trace', 'emit orders.status-changed', 'send acme', ''],
)
const OPTIONS = [
  '--json',
  '--limit',
  '--since',
  '--consumer',
  '--cause',
  '--data',
  '--set',
  '--yes',
]

export const fuzzParsers = (seed: number, inputs: number): ParserFuzzResult => {
  const random = createRandom(seed)
  const faults: string[] = []
  let refused = 0
  let cpuMsMax = 0
  for (let number = 0; number < inputs; number++) {
    for (const [what, parse] of Object.entries(PARSERS)) {
      const from = process.threadCpuUsage()
      try {
        parse(random)
      } catch (error) {
        refused++
        if (!isRefusal(error)) faults.push(`input ${number} as ${what}: ${describe(error)}`)
      }
      const { user, system } = process.threadCpuUsage(from)
      cpuMsMax = Math.max(cpuMsMax, (user + system) / 1_000)
    }
  }
  if (Reflect.get({}, 'polluted') !== undefined) faults.push('every object has a new member')
  if (cpuMsMax > CPU_MS_MAX) faults.push(`one input took ${Math.round(cpuMsMax)} ms`)
  return { inputs: inputs * Object.keys(PARSERS).length, refused, cpuMsMax, faults }
}

/** Command lines; nobody answers them, so that each ends as a mistake or as unreachable. */
export const fuzzCommandLines = async (
  seed: number,
  inputs: number,
): Promise<readonly string[]> => {
  const random = createRandom(seed)
  const faults: string[] = []
  for (let number = 0; number < inputs; number++) {
    const words = (COMMANDS[random.between(0, COMMANDS.length - 1)] ?? '').split(' ')
    for (let more = random.between(0, 4); more > 0; more--) {
      const option = OPTIONS[random.between(0, OPTIONS.length - 1)] ?? ''
      // What a shell hands over is well formed, and has no NUL.
      words.push(random.chance(0.5) ? option : fuzzText(random, 2).toWellFormed())
    }
    const argv = words.filter((word) => word !== '' && !word.includes('\0'))
    const { code, io } = await runCli(argv)
    if (code !== 70) continue
    faults.push(`${JSON.stringify(argv)} ended with 70: ${io.err()}${io.out()}`.slice(0, 1_000))
  }
  return faults
}

export const describeParserFuzz = async (
  seed: number,
  inputs: number,
  commandLines: number,
): Promise<AttackLine> => {
  const parsers = fuzzParsers(seed, inputs)
  const faults = await fuzzCommandLines(seed, commandLines)
  const cost = `the costliest computed ${Math.round(parsers.cpuMsMax)} ms`
  return {
    what: 'seeded nonsense for parsers and command lines',
    recovery: `${parsers.inputs + commandLines} inputs; ${cost}`,
    faults: [...parsers.faults, ...faults],
  }
}

/** An error with a code that says what is wrong with the input, and not with us. */
const isRefusal = (error: unknown): boolean =>
  isJuncturaError(error) &&
  !isJuncturaError(error, 'JUNCTURA_INVARIANT') &&
  !isJuncturaError(error, 'JUNCTURA_INTERNAL')

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message).slice(0, 600) : String(error)
