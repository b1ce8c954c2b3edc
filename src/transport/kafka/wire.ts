import type { Connection, ConnectionOptions } from '@platformatic/kafka'
import type { Clock } from '../../kernel/index.ts'
import { unavailable } from './kafka-error.ts'
import type { KafkaPackage } from './kafka-package.ts'
import type { BrokerAddress } from './kafka-url.ts'

/** Longer than any request: the time of a request is kept on our clock. */
const NEVER_MS = 2_147_483_647

/** One connection to one broker. It is opened once; whoever needs it again opens another. */
export class Wire {
  readonly address: BrokerAddress
  /** Resolves when it is closed, for whatever reason. */
  readonly closed: Promise<void>
  readonly #clock: Clock
  readonly #connection: Connection
  #isOpen = false
  #isDestroyed = false

  private constructor(connection: Connection, address: BrokerAddress, clock: Clock) {
    this.#connection = connection
    this.#clock = clock
    this.address = address
    // Every failure also reaches the request that waits; unheard, this event ends the process.
    connection.on('error', () => undefined)
    this.closed = new Promise((resolve) => {
      connection.once('close', () => {
        this.#isOpen = false
        resolve()
      })
    })
  }

  static async open(
    kafka: Pick<KafkaPackage, 'Connection'>,
    address: BrokerAddress,
    options: {
      readonly clock: Clock
      readonly timeoutMs: number
      readonly clientId: string
      readonly connection: ConnectionOptions
      readonly signal?: AbortSignal
    },
  ): Promise<Wire> {
    const { clock, timeoutMs, clientId, signal } = options
    const connection = new kafka.Connection(clientId, {
      ...options.connection,
      connectTimeout: timeoutMs,
      requestTimeout: NEVER_MS,
    })
    const wire = new Wire(connection, address, clock)
    const destroy = (): void => wire.destroy()
    const timer = clock.setTimer(timeoutMs, destroy)
    signal?.addEventListener('abort', destroy, { once: true })
    try {
      if (signal?.aborted) throw unavailable('it is being closed')
      await connection.connect(address.host, address.port)
      wire.#isOpen = true
      return wire
    } catch (error) {
      wire.destroy()
      throw error
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', destroy)
    }
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** What is sent is answered within the time, or the connection is cut: half-open ones exist. */
  request<T>(timeoutMs: number, send: SendRequest<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(timeoutMs, () => {
        reject(unavailable(`${this.address.host}:${this.address.port} gave no answer`))
        this.destroy()
      })
      send(this.#connection, (error, answer) => {
        timer.cancel()
        if (error) reject(error)
        else if (answer === undefined) reject(unavailable('the answer is empty'))
        else resolve(answer)
      })
    })
  }

  /** Idempotent. What waits for an answer is told that there is none. */
  destroy(): void {
    if (this.#isDestroyed) return
    this.#isDestroyed = true
    const wasOpen = this.#isOpen
    this.#isOpen = false
    const socket: Connection['socket'] | undefined = this.#connection.socket
    // Also in the middle of a TLS handshake, an error after the end is nobody's any more.
    socket?.on('error', () => undefined)
    socket?.destroy()
    // While it connects nothing tells it of that, and it would wait until its time is over.
    if (!wasOpen) this.#connection.emit('close')
  }
}

export type SendRequest<T> = (
  connection: Connection,
  done: (error: Error | null, answer?: T) => void,
) => void
