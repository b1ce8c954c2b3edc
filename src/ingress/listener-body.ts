import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BodyOutcome, BodySource, ByteBudget } from './ingress-request.ts'

/** A body on its way; the listener looks at it now and then and gives up on a slow one. */
export interface ListenerBody extends BodySource {
  /** Bytes so far, for the check of the rate. */
  readonly received: number
  /** When reading began, or undefined while nobody reads. */
  readonly startedMs: number | undefined
  readonly isSettled: boolean
  giveUp(): void
}

export interface ListenerBodyOptions {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The client waits for `100 Continue` before it sends. */
  readonly expectsContinue: boolean
  readonly monotonicMs: () => number
}

export const createListenerBody = (options: ListenerBodyOptions): ListenerBody =>
  new RequestBody(options)

/** Modes: unread, reading, settled. A settled body keeps no bytes and no listeners. */
class RequestBody implements ListenerBody {
  readonly #options: ListenerBodyOptions
  #chunks: Buffer[] = []
  #budget: ByteBudget | undefined
  #bytesMax = 0
  #settle: ((outcome: BodyOutcome) => void) | undefined
  received = 0
  startedMs: number | undefined
  isSettled = false

  constructor(options: ListenerBodyOptions) {
    this.#options = options
  }

  read(bytesMax: number, budget: ByteBudget): Promise<BodyOutcome> {
    const { request, response, expectsContinue } = this.#options
    this.#budget = budget
    this.#bytesMax = bytesMax
    this.startedMs = this.#options.monotonicMs()
    if (expectsContinue) response.writeContinue()
    return new Promise((resolve) => {
      this.#settle = resolve
      request.on('data', this.#onData)
      request.on('end', this.#onEnd)
      request.on('error', this.#onLost)
      request.on('close', this.#onLost)
    })
  }

  giveUp(): void {
    this.#finish({ kind: 'too-slow' })
  }

  readonly #onData = (chunk: Buffer): void => {
    const size = this.received + chunk.length
    if (size > this.#bytesMax) return this.#finish({ kind: 'too-large' })
    if (!this.#budget?.take(chunk.length)) return this.#finish({ kind: 'no-room' })
    this.received = size
    this.#chunks.push(chunk)
  }

  readonly #onEnd = (): void => {
    const [only] = this.#chunks
    const bytes = this.#chunks.length === 1 && only ? only : Buffer.concat(this.#chunks)
    this.#finish({ kind: 'bytes', bytes })
  }

  readonly #onLost = (): void => this.#finish({ kind: 'incomplete' })

  #finish(outcome: BodyOutcome): void {
    if (this.isSettled) return
    this.isSettled = true
    const { request } = this.#options
    request.off('data', this.#onData)
    request.off('end', this.#onEnd)
    request.off('close', this.#onLost)
    // The handler for errors stays: an error without one would end the process.
    if (outcome.kind !== 'bytes') {
      request.pause()
      this.#budget?.give(this.received)
    }
    this.#chunks = []
    this.#settle?.(outcome)
  }
}
