import {
  createServer,
  type IncomingMessage,
  type Server,
  ServerResponse,
  STATUS_CODES,
} from 'node:http'
import { type AddressInfo, Server as NetServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Kernel, LIMITS, messageOf, sleep, type Timer } from '../kernel/index.ts'
import type { Ingress } from './ingress.ts'
import type { IngressResponse } from './ingress-request.ts'
import { createListenerBody, type ListenerBody } from './listener-body.ts'
import { problem } from './problem.ts'

export interface ListenerOptions {
  readonly kernel: Kernel
  readonly ingress: Pick<Ingress, 'handle'>
  /** 0 takes a free one. */
  readonly port: number
  /** @default '0.0.0.0' */
  readonly host?: string
  readonly timeouts?: Partial<ListenerTimeouts>
  /** @default 10_000 */
  readonly connectionsMax?: number
}

/** How long each phase of a connection may take (F100). */
export interface ListenerTimeouts {
  /** From the first byte of a request to the end of its headers. @default 10_000 */
  readonly headersMs: number
  /** From the first byte of a request to the end of its body. @default 60_000 */
  readonly requestMs: number
  /**
   * An idle connection; longer than the 60 s for which load balancers keep one.
   *
   * @default 65_000
   */
  readonly keepAliveMs: number
  /** A connection on which nothing moves in either direction. @default 120_000 */
  readonly silenceMs: number
  /** A body slower than this is given up once `bodyGraceMs` have passed. @default 512 */
  readonly bodyBytesPerSecondMin: number
  /** @default 5_000 */
  readonly bodyGraceMs: number
  /**
   * On close: everything is still taken so long, as if nothing was, so that whoever looks at the
   * readiness sends elsewhere first; then what is connected has as long again to end its
   * connection. Longer than a load balancer needs to notice.
   *
   * @default 500
   */
  readonly lameDuckMs: number
}

const TIMEOUTS: ListenerTimeouts = {
  headersMs: 10_000,
  requestMs: 60_000,
  keepAliveMs: 65_000,
  silenceMs: 120_000,
  bodyBytesPerSecondMin: 512,
  bodyGraceMs: 5_000,
  lameDuckMs: 500,
}

export interface Listener extends AsyncDisposable {
  readonly port: number
  readonly address: string
  /** Open connections. */
  connections(): Promise<number>
  /**
   * Drains, in order: goes on for `lameDuckMs`; takes no connection any more and ends each that is
   * there with its next answer, for `lameDuckMs`; closes those that are idle; finishes requests in
   * flight within `graceMs`; cuts what is left. Idempotent.
   *
   * @default 10_000
   */
  close(graceMs?: number): Promise<void>
}

/**
 * Opens the public listener: HTTP/1.1 on one port. It holds no policy but the time and the room a
 * connection may take; what a request means is decided in `ingress.handle`.
 *
 * @throws the system's error when the port cannot be taken.
 */
export const openListener = async (options: ListenerOptions): Promise<Listener> => {
  const listener = new HttpListener(options)
  await listener.listen()
  return listener
}

/**
 * Modes: `open`, also for the first moment of a close; `draining`, where nobody can connect and
 * each answer closes its connection; `closed`.
 */
class HttpListener implements Listener {
  readonly #options: ListenerOptions
  readonly #timeouts: ListenerTimeouts
  readonly #server: Server
  readonly #bodies = new Set<ListenerBody>()
  #watch: Timer | undefined
  #active = 0
  #isDraining = false
  #closing: Promise<void> | undefined
  #onIdle: (() => void) | undefined

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#timeouts = { ...TIMEOUTS, ...options.timeouts }
    this.#server = this.#createServer()
  }

  get port(): number {
    return this.#addressInfo().port
  }

  get address(): string {
    return this.#addressInfo().address
  }

  listen(): Promise<void> {
    const { port, host = '0.0.0.0' } = this.#options
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ port, host }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', (error) =>
          this.#options.kernel.log.error({ problem: messageOf(error) }, 'the listener failed'),
        )
        this.#watchBodies()
        resolve()
      })
    })
  }

  connections(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.getConnections((error, count) => resolve(error ? 0 : count))
    })
  }

  close(graceMs = 10_000): Promise<void> {
    this.#closing ??= this.#drain(graceMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #addressInfo(): AddressInfo {
    const address = this.#server.address()
    if (address !== null && typeof address === 'object') return address
    return { address: '', family: '', port: 0 }
  }

  #createServer(): Server {
    const { headersMs, requestMs, keepAliveMs, silenceMs } = this.#timeouts
    const server = createServer({
      // Node drops header lines beyond a maximum in silence; the border counts and refuses them.
      maxHeaderSize: LIMITS.headerBytesMax,
      headersTimeout: Math.min(headersMs, requestMs),
      requestTimeout: requestMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: Math.min(1_000, headersMs),
      requireHostHeader: true,
      insecureHTTPParser: false,
    })
    server.maxHeadersCount = 0
    server.maxConnections = this.#options.connectionsMax ?? LIMITS.connectionsMax
    server.timeout = silenceMs
    server.on('request', (request, response) => this.#serve(request, response, false))
    server.on('checkContinue', (request, response) => this.#serve(request, response, true))
    server.on('checkExpectation', (_request, response) =>
      this.#send(response, problem('JUNCTURA_EXPECTATION_FAILED', { close: true })),
    )
    server.on('clientError', (error, socket) => answerBroken(error, socket))
    return server
  }

  #serve(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const { kernel, ingress } = this.#options
    const body = createListenerBody({
      request,
      response,
      expectsContinue,
      monotonicMs: () => kernel.clock.monotonicMs(),
    })
    this.#active++
    this.#bodies.add(body)
    const done = ingress.handle({
      method: request.method ?? '',
      target: request.url ?? '',
      rawHeaders: request.rawHeaders,
      remoteAddress: request.socket.remoteAddress ?? '',
      body,
    })
    done
      .then((answer) => this.#answer(request, response, answer))
      .catch((error: unknown) => {
        kernel.log.error({ problem: messageOf(error) }, 'a request got no answer')
        request.socket.destroy()
      })
      .finally(() => {
        this.#active--
        this.#bodies.delete(body)
        if (this.#active === 0) this.#onIdle?.()
      })
  }

  #answer(request: IncomingMessage, response: ServerResponse, answer: IngressResponse): void {
    // Gone, or answered already because its body broke.
    if (response.destroyed || response.socket?.writable !== true) return
    if (!answer.close || request.complete) return this.#send(response, answer)
    this.#send(response, answer, () => this.#linger(request, response))
  }

  #send(response: ServerResponse, answer: IngressResponse, before?: () => void): void {
    const mustClose = answer.close || this.#isDraining
    response.writeHead(answer.status, {
      ...answer.headers,
      ...(answer.status !== 204 && { 'content-length': Buffer.byteLength(answer.body) }),
      ...(mustClose && { connection: 'close' }),
    })
    if (!before) {
      response.end(answer.body)
      return
    }
    response.write(answer.body)
    before()
  }

  /**
   * Throws away what the client still sends, for a moment: a socket closed on unread bytes is
   * reset, and the reset can overtake the answer.
   */
  #linger(request: IncomingMessage, response: ServerResponse): void {
    let dumped = 0
    const finish = (): void => {
      timer.cancel()
      response.end()
      request.socket.destroySoon()
    }
    const timer = this.#options.kernel.clock.setTimer(LINGER_MS, finish)
    request.on('error', () => undefined)
    request.on('data', (chunk: Buffer) => {
      dumped += chunk.length
      if (dumped > LINGER_BYTES_MAX) finish()
    })
    request.on('end', finish)
    request.on('close', finish)
    request.resume()
  }

  /** Looks at all bodies once a second; a timer per body would cost more than the body. */
  #watchBodies(): void {
    const { clock } = this.#options.kernel
    const { bodyGraceMs, bodyBytesPerSecondMin } = this.#timeouts
    this.#watch = clock.setTimer(Math.min(1_000, bodyGraceMs), () => {
      const nowMs = clock.monotonicMs()
      for (const body of this.#bodies) {
        if (body.isSettled || body.startedMs === undefined) continue
        const elapsedMs = nowMs - body.startedMs
        if (elapsedMs < bodyGraceMs) continue
        if (body.received < (elapsedMs / 1_000) * bodyBytesPerSecondMin) body.giveUp()
      }
      this.#watchBodies()
    })
  }

  async #drain(graceMs: number): Promise<void> {
    const { clock } = this.#options.kernel
    const lameDuckMs = Math.min(this.#timeouts.lameDuckMs, graceMs)
    await sleep(clock, lameDuckMs)
    // In one turn: a sender told to leave before the door is shut would come back to it, and be
    // reset with the socket while it waits to be let in.
    this.#isDraining = true
    const closed = this.#stopListening()
    await this.#within(lameDuckMs, closed)
    await this.#within(graceMs, this.#whenIdle())
    this.#watch?.cancel()
    // What was answered in the last moment still has to leave.
    await clock.yield()
    // Nobody listens any more: it closes what is idle and ends the timer that looks after it.
    this.#server.close()
    const cut = clock.setTimer(CUT_MS, () => this.#server.closeAllConnections())
    await closed
    cut.cancel()
  }

  /**
   * Not the close of the HTTP server, which also cuts connections between two requests: a request
   * on its way there would break. Resolves when the last connection is gone.
   */
  #stopListening(): Promise<void> {
    return new Promise((resolve) => NetServer.prototype.close.call(this.#server, () => resolve()))
  }

  #whenIdle(): Promise<void> {
    if (this.#active === 0) return Promise.resolve()
    return new Promise((resolve) => (this.#onIdle = resolve))
  }

  #within(timeoutMs: number, done: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.kernel.clock.setTimer(timeoutMs, resolve)
      void done.then(() => {
        timer.cancel()
        resolve()
      })
    })
  }
}

const LINGER_MS = 500
const LINGER_BYTES_MAX = 262_144
const CUT_MS = 250

/** Answers what the parser gave up on. There is no request, so there is no route and no trace. */
function answerBroken(error: Error, socket: Duplex): void {
  const code: unknown = Reflect.get(error, 'code')
  const response: unknown = Reflect.get(socket, '_httpMessage')
  if (response instanceof ServerResponse && (response.req.complete || response.headersSent)) {
    // What broke stands behind a whole request, whose answer may not become another one (F101).
    response.once('finish', () => socket.destroy())
    return
  }
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const answer =
    code === 'HPE_HEADER_OVERFLOW'
      ? problem('JUNCTURA_HEADERS_TOO_LARGE')
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? problem('JUNCTURA_REQUEST_SLOW')
        : problem('JUNCTURA_REQUEST_MALFORMED')
  const head = [
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? 'Error'}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(answer.body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${answer.body}`)
}
