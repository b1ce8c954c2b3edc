import { readFileSync } from 'node:fs'
import {
  type CliIo,
  type DialReply,
  type DialRequest,
  main,
  type StopSignal,
} from '../../src/cli/index.ts'
import { type Kernel, JuncturaError, utf8 } from '../../src/kernel/index.ts'
import { compileValidator, type Validator } from '../../src/schema/index.ts'
import { createVirtualKernel, type VirtualClock } from '../../src/testing/index.ts'

export interface FakeAnswer {
  readonly status?: number
  readonly body?: unknown
  /** Of an event stream. */
  readonly chunks?: AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

type Route = FakeAnswer | ((request: FakeRequest) => FakeAnswer | Promise<FakeAnswer>)

export interface FakeRequest {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Uint8Array
  /** Of a JSON body. */
  readonly body: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal | undefined
}

export interface FakeIoOptions {
  /** `GET /api/v1/model`: answers by method and path. Without any, nothing answers at all. */
  readonly routes?: Readonly<Record<string, Route>>
  readonly env?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, Uint8Array>>
  readonly isTerminal?: boolean
  readonly columns?: number
  /** What a person types when asked. */
  readonly answer?: string
  readonly cwd?: string
  readonly startMs?: number
  /** @default '24.1.0' */
  readonly shellNode?: string
}

export interface FakeIo extends CliIo {
  readonly kernel: Kernel & { readonly clock: VirtualClock }
  readonly requests: readonly FakeRequest[]
  readonly exits: readonly number[]
  out(): string
  err(): string
  /** The only object on stdout, held against schemas/cli-output.schema.json. */
  json(): Readonly<Record<string, unknown>>
  sendSignal(signal: StopSignal): void
}

/** A world at the ports of the commands: a virtual clock, a stand-in for HTTP, kept text. */
export const createFakeIo = (options: FakeIoOptions = {}): FakeIo => {
  const kernel = createVirtualKernel({
    env: options.env ?? {},
    files: options.files ?? {},
    ...(options.startMs !== undefined && { startMs: options.startMs }),
  })
  const written = { out: '', err: '' }
  const requests: FakeRequest[] = []
  const exits: number[] = []
  const signalListeners = new Set<(signal: StopSignal) => void>()
  const isTerminal = options.isTerminal ?? false
  const sink = (name: 'out' | 'err') => ({
    isTerminal,
    columns: options.columns ?? 80,
    isBroken: false,
    write: (text: string) => void (written[name] += text),
  })
  return {
    kernel,
    requests,
    exits,
    stdout: sink('out'),
    stderr: sink('err'),
    stdin: {
      isTerminal,
      readAll: () => Promise.resolve(utf8('{}')),
      ask: () => Promise.resolve(options.answer ?? ''),
      onKey: () => () => undefined,
    },
    cwd: options.cwd ?? '/project',
    user: 'ada',
    shellNodeVersion: () => options.shellNode ?? '24.1.0',
    self: ['node', 'junctura'],
    dial: (request) => answerDial(request, options.routes ?? {}, requests),
    onSignal(listener) {
      signalListeners.add(listener)
      return () => signalListeners.delete(listener)
    },
    onUncaught: () => () => undefined,
    onParentGone: () => () => undefined,
    exitNow: (code) => void exits.push(code),
    out: () => written.out,
    err: () => written.err,
    json: () => checkedJson(written.out),
    sendSignal: (signal) => signalListeners.forEach((listener) => listener(signal)),
  }
}

/** Runs a command line in the world of `options`. */
export const runCli = async (
  argv: readonly string[],
  options: FakeIoOptions = {},
): Promise<{ readonly code: number; readonly io: FakeIo }> => {
  const io = createFakeIo(options)
  return { code: await main(argv, io), io }
}

async function answerDial(
  request: DialRequest,
  routes: Readonly<Record<string, Route>>,
  requests: FakeRequest[],
): Promise<DialReply> {
  const url = new URL(request.url)
  const bytes = request.body ?? new Uint8Array()
  const seen: FakeRequest = {
    method: request.method,
    url,
    headers: request.headers ?? {},
    bytes,
    body: readJson(Buffer.from(bytes).toString()),
    signal: request.signal,
  }
  requests.push(seen)
  const route = routes[`${request.method} ${url.pathname}`] ?? routes['*']
  if (route === undefined && Object.keys(routes).length === 0) {
    throw new JuncturaError('JUNCTURA_UNREACHABLE', {
      details: { url: url.origin, problem: `connect ECONNREFUSED ${url.host}` },
    })
  }
  const missing: FakeAnswer = {
    status: 404,
    body: { code: 'JUNCTURA_ROUTE_UNKNOWN', detail: 'Nothing is here.' },
  }
  const answer = typeof route === 'function' ? await route(seen) : (route ?? missing)
  const text = JSON.stringify(answer.body ?? {})
  return {
    status: answer.status ?? 200,
    header: () => undefined,
    text: () => Promise.resolve(text),
    chunks: eachChunk(answer.chunks ?? [utf8(text)]),
  }
}

async function* eachChunk(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* chunks
}

function readJson(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

let validator: Validator | undefined

function checkedJson(text: string): Readonly<Record<string, unknown>> {
  const lines = text.trimEnd().split('\n')
  if (lines.length !== 1) {
    throw new JuncturaError('JUNCTURA_INVARIANT', {
      details: { invariant: `one JSON object on stdout, not: ${text}` },
    })
  }
  return checkOutput(JSON.parse(text))
}

/** Holds one object of `--json` against its schema. */
export const checkOutput = <T extends object>(value: T): T => {
  validator ??= compileValidator(
    JSON.parse(
      readFileSync(new URL('../../schemas/cli-output.schema.json', import.meta.url), 'utf8'),
    ),
    'cli-output',
  )
  const verdict = validator.validate(value)
  if (verdict.ok) return value
  throw new JuncturaError('JUNCTURA_INVARIANT', {
    details: { invariant: `${JSON.stringify(value)}: ${JSON.stringify(verdict.errors)}` },
  })
}
