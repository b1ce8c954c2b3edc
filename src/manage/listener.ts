import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Duplex } from 'node:stream'
import {
  type Clock,
  JuncturaError,
  LIMITS,
  type Logger,
  messageOf,
  silentLogger,
} from '../kernel/index.ts'
import { problemAnswer } from './http-answer.ts'
import {
  type EventStream,
  isEventStream,
  type ManageBody,
  type ManageResponse,
} from './manage-request.ts'
import type { ManagementApi } from './management-api.ts'
import { isLoopbackAddress } from './request-guard.ts'

export interface ManagementListenerOptions {
  readonly api: ManagementApi
  readonly clock: Clock
  /** @default '127.0.0.1' */
  readonly host?: string
  /** 0 takes a free one. @default 7071 */
  readonly port?: number
  readonly log?: Logger
  readonly timeouts?: Partial<ManagementTimeouts>
}

/** How long each phase of a connection may take (F100). */
export interface ManagementTimeouts {
  /** From the first byte of a request to the end of its headers. @default 10_000 */
  readonly headersMs: number
  /** From the first byte of a request to the end of its body. @default 30_000 */
  readonly requestMs: number
  /** An idle connection between two requests. @default 65_000 */
  readonly keepAliveMs: number
  /** A connection on which nothing moves, also because its reader reads nothing. @default 60_000 */
  readonly silenceMs: number
}

export interface ManagementListener extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** For people and for commands on this machine. */
  readonly url: string
  /** Ends event streams, finishes other answers within `graceMs` (default 2 s). Idempotent. */
  close(graceMs?: number): Promise<void>
}

const TIMEOUTS: ManagementTimeouts = {
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 65_000,
  silenceMs: 60_000,
}

/**
 * Opens the management listener: HTTP/1.1 on one port, on loopback unless the API has a token.
 *
 * @throws JUNCTURA_MANAGEMENT_OPEN when `host` is reachable from outside and there is no token.
 * @throws the system's error when the port cannot be taken.
 */
export const startManagementListener = async (
  options: ManagementListenerOptions,
): Promise<ManagementListener> => {
  const host = options.host ?? '127.0.0.1'
  if (!options.api.requiresToken && !isLoopbackAddress(host)) {
    throw new JuncturaError('JUNCTURA_MANAGEMENT_OPEN', { details: { host } })
  }
  const listener = new HttpManagementListener({ ...options, host })
  await listener.listen(options.port ?? 7071)
  return listener
}

/** Modes: open, closing (streams ended, connections closed as they fall idle), closed. */
class HttpManagementListener implements ManagementListener {
  readonly host: string
  readonly #options: ManagementListenerOptions
  readonly #log: Logger
  readonly #server: Server
  readonly #streams = new Set<EventStream>()
  #port = 0
  #isClosing = false
  #closed: Promise<void> | undefined

  constructor(options: ManagementListenerOptions & { readonly host: string }) {
    this.host = options.host.replace(/^\[|\]$/g, '')
    this.#options = options
    this.#log = options.log ?? silentLogger
    this.#server = this.#createServer()
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    const isAny = this.host === '0.0.0.0' || this.host === '::'
    const name = isAny ? '127.0.0.1' : this.host.includes(':') ? `[${this.host}]` : this.host
    return `http://${name}:${this.port}`
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ port, host: this.host }, () => {
        this.#server.off('error', reject)
        const address = this.#server.address()
        if (address !== null && typeof address === 'object') this.#port = address.port
        this.#server.on('error', (error) =>
          this.#log.error({ problem: messageOf(error) }, 'the management listener failed'),
        )
        resolve()
      })
    })
  }

  close(graceMs = 2_000): Promise<void> {
    this.#closed ??= this.#shut(graceMs)
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #shut(graceMs: number): Promise<void> {
    this.#isClosing = true
    for (const stream of this.#streams) stream.close()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    const cut = this.#options.clock.setTimer(graceMs, () => this.#server.closeAllConnections())
    await closed
    cut.cancel()
  }

  #createServer(): Server {
    const { headersMs, requestMs, keepAliveMs, silenceMs } = {
      ...TIMEOUTS,
      ...this.#options.timeouts,
    }
    const server = createServer({
      maxHeaderSize: LIMITS.headerBytesMax,
      headersTimeout: Math.min(headersMs, requestMs),
      requestTimeout: requestMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: Math.min(1_000, headersMs),
      requireHostHeader: true,
      insecureHTTPParser: false,
    })
    // Node drops header lines beyond a maximum in silence; the API counts and refuses them.
    server.maxHeadersCount = 0
    server.maxConnections = LIMITS.manageConnectionsMax
    server.timeout = silenceMs
    server.on('request', (request, response) => void this.#serve(request, response))
    server.on('checkExpectation', (_request, response) => {
      const refusal = new JuncturaError('JUNCTURA_EXPECTATION_FAILED')
      this.#send(response, problemAnswer(refusal, { connection: 'close' }))
    })
    server.on('clientError', (error, socket) => answerBroken(error, socket))
    return server
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answer = await this.#options.api.handle({
        method: request.method ?? '',
        target: request.url ?? '',
        rawHeaders: request.rawHeaders,
        remoteAddress: request.socket.remoteAddress ?? '',
        readBody: (bytesMax) => readBody(request, bytesMax),
      })
      if (isEventStream(answer.body)) await this.#stream(response, answer, answer.body)
      else this.#answer(request, response, answer)
    } catch (error) {
      // `handle` never rejects, so this is the connection's end or a defect of ours.
      this.#log.error({ problem: messageOf(error) }, 'a management request got no answer')
      request.socket.destroy()
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse, answer: ManageResponse): void {
    // A body that nobody read would be taken for the next request.
    const mustClose = this.#isClosing || !request.complete
    this.#send(response, {
      ...answer,
      headers: { ...answer.headers, ...(mustClose && { connection: 'close' }) },
    })
    if (!request.complete) request.resume()
  }

  #send(response: ServerResponse, answer: ManageResponse): void {
    if (response.destroyed || isEventStream(answer.body)) return
    const length = Buffer.byteLength(answer.body)
    response.writeHead(answer.status, { ...answer.headers, 'content-length': length })
    response.end(answer.body)
  }

  async #stream(
    response: ServerResponse,
    answer: ManageResponse,
    stream: EventStream,
  ): Promise<void> {
    if (this.#isClosing || response.destroyed) return stream.close()
    this.#streams.add(stream)
    response.on('close', () => stream.close())
    response.on('error', () => stream.close())
    try {
      response.writeHead(answer.status, { ...answer.headers, connection: 'close' })
      for await (const chunk of stream) {
        // While the socket is full the events wait in the stream, which cuts a reader at a bound.
        if (!response.write(chunk)) await drained(response)
        if (response.destroyed) return
      }
      response.end()
    } finally {
      stream.close()
      this.#streams.delete(stream)
    }
  }
}

/** Resolves when there is room again, or nobody is left to wait for. */
const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    if (response.destroyed) return resolve()
    const done = (): void => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })

const readBody = (request: IncomingMessage, bytesMax: number): Promise<ManageBody> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = []
    let received = 0
    request.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received <= bytesMax) {
        chunks.push(chunk)
        return
      }
      chunks.length = 0
      resolve({ kind: 'too-large' })
    })
    request.on('end', () => resolve({ kind: 'bytes', bytes: Buffer.concat(chunks) }))
    request.on('error', () => resolve({ kind: 'incomplete' }))
    request.on('close', () => resolve({ kind: 'incomplete' }))
  })

/** Answers what the parser gave up on (F101). There is no request, so nothing else can be said. */
function answerBroken(error: Error, socket: Duplex): void {
  const code: unknown = Reflect.get(error, 'code')
  // A response on its way must not get another one in its middle.
  const isBusy = Boolean(Reflect.get(socket, '_httpMessage'))
  if (code === 'ECONNRESET' || !socket.writable || isBusy) {
    socket.destroy()
    return
  }
  const answer = problemAnswer(
    new JuncturaError(
      code === 'HPE_HEADER_OVERFLOW'
        ? 'JUNCTURA_HEADERS_TOO_LARGE'
        : code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? 'JUNCTURA_REQUEST_SLOW'
          : 'JUNCTURA_REQUEST_MALFORMED',
    ),
  )
  const body = typeof answer.body === 'string' ? answer.body : ''
  const head = [
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? 'Error'}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
