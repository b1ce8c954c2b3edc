import {
  type Clock,
  type JuncturaError,
  LIMITS,
  type Logger,
  type Random,
  sleep,
} from '../../kernel/index.ts'
import { type AmqpChannel, type AmqpConnection, destroySocket } from './amqp-client.ts'
import { isLoginRefused, problemOf, refused, unavailable } from './amqp-failure.ts'

/** Time and chance of the driver, and where it tells what happens. */
export interface LinkContext {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export interface LinkOptions extends LinkContext {
  readonly connect: () => Promise<AmqpConnection>
  /** Takes out of a text what must not be read by others. */
  readonly mask: (text: string) => string
  /** Called when it is connected, and when it is not any more. */
  readonly onChange: () => void
}

/**
 * One connection, made again for as long as the link is open.
 *
 * connecting -> connected: the server has let us in.
 * connecting, connected -> pausing: refused or broken; the pauses grow while that is all it does.
 * pausing -> connecting: the pause is over.
 * any -> closed: `close`, for good.
 *
 * While it is connected it may be blocked: the server is short of memory or disk and takes no
 * messages. What asks for the connection while it pauses is told the problem at once.
 */
export class AmqpLink {
  readonly #options: LinkOptions
  readonly #stop = new AbortController()
  readonly #waiting = new Set<() => void>()
  readonly #loop: Promise<void>
  #model: AmqpConnection | undefined
  #failure: JuncturaError | undefined
  #blockedBy: string | undefined

  constructor(options: LinkOptions) {
    this.#options = options
    this.#loop = this.#run()
  }

  get isConnected(): boolean {
    return this.#model !== undefined
  }

  get isClosed(): boolean {
    return this.#stop.signal.aborted
  }

  /** Why the server takes no messages though it is connected. */
  get blockedBy(): string | undefined {
    return this.#blockedBy
  }

  /** Why it is not connected; undefined as well before the first try has ended. */
  get failure(): JuncturaError | undefined {
    return this.#failure
  }

  /** Waits for the first try; after that it is there, or throws what the last try failed with. */
  async connection(): Promise<AmqpConnection> {
    if (!this.#model && this.#failure === undefined) await this.#change()
    if (this.#model) return this.#model
    throw this.#failure ?? unavailable('the connection is closed')
  }

  /** Waits for as long as it takes; undefined when the link or the caller ends before. */
  async untilConnected(signal: AbortSignal): Promise<AmqpConnection | undefined> {
    while (!this.#model && !this.#stop.signal.aborted && !signal.aborted) {
      await this.#change(signal)
    }
    return signal.aborted ? undefined : this.#model
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#stop.abort()
    const model = this.#model
    if (model) await this.#closeConnection(model)
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, random, connect, log, mask } = this.#options
    const { signal } = this.#stop
    /** An outage has a line for each problem, not for each try. */
    let logged: string | undefined
    for (let tries = 0; !signal.aborted; tries++) {
      const startedMs = clock.monotonicMs()
      try {
        const model = await connect()
        const ended = this.#watch(model)
        if (signal.aborted) await this.#closeConnection(model)
        else this.#connected(model)
        logged = undefined
        const problem = mask(problemOf((await ended) ?? 'the server closed the connection'))
        destroySocket(model)
        this.#failure = unavailable(problem)
      } catch (error) {
        this.#failure = connectFailure(error, mask)
      }
      this.#tell()
      if (signal.aborted) return
      const problem = problemOf(this.#failure)
      if (problem !== logged) log.warn({ problem }, 'RabbitMQ is not connected; trying again')
      logged = problem
      // A connection that held for a while is no sign of a server that refuses us.
      if (clock.monotonicMs() - startedMs > LIMITS.rabbitmqPauseMsMax) tries = 0
      await sleep(clock, pauseMs(tries, random), signal)
    }
  }

  /** Every event has a listener before anything can happen; an `error` without one would throw. */
  #watch(model: AmqpConnection): Promise<unknown> {
    let lastError: unknown
    model.on('error', (error: unknown) => (lastError = error))
    model.on('blocked', (reason: string) => {
      this.#blockedBy = `it takes no messages: ${reason}`
      this.#options.log.warn({ reason }, 'RabbitMQ is short of something and takes no messages')
      this.#tell()
    })
    model.on('unblocked', () => {
      this.#blockedBy = undefined
      this.#tell()
    })
    return new Promise((resolve) => {
      model.on('close', (error: unknown) => {
        this.#model = undefined
        this.#blockedBy = undefined
        resolve(error ?? lastError)
      })
    })
  }

  #connected(model: AmqpConnection): void {
    this.#model = model
    this.#failure = undefined
    this.#tell()
  }

  #tell(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
    this.#options.onChange()
  }

  /** Until anything changes. */
  #change(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal?.addEventListener('abort', wake, { once: true })
    })
  }

  async #closeConnection(model: AmqpConnection): Promise<void> {
    const { clock, log, mask } = this.#options
    const closed = model.close().catch((error: unknown) => {
      log.debug({ problem: mask(problemOf(error)) }, 'the connection was already closed')
    })
    await within(clock, LIMITS.rabbitmqCloseMs, closed)
    destroySocket(model)
  }
}

const connectFailure = (error: unknown, mask: (text: string) => string): JuncturaError => {
  const problem = mask(problemOf(error))
  if (!isLoginRefused(error)) return unavailable(problem)
  return refused({
    resource: 'the connection',
    problem,
    fix: 'correct user, password and virtual host in the URL, or grant the user the virtual host',
  })
}

/** Grows from try to try, and is never the same for many processes at once. */
export const pauseMs = (tries: number, random: Random): number => {
  const fullMs = Math.min(LIMITS.rabbitmqPauseMsMax, LIMITS.rabbitmqPauseMsMin * 2 ** tries)
  return fullMs * (0.5 + random.next() / 2)
}

/** Waits for what never rejects, but not longer. False when the time was over first. */
export const within = async (
  clock: Clock,
  timeoutMs: number,
  work: Promise<unknown>,
): Promise<boolean> => {
  const late = new AbortController()
  const isDone = await Promise.race([
    work.then(() => true),
    sleep(clock, timeoutMs, late.signal).then(() => false),
  ])
  late.abort()
  return isDone
}

/** @throws JUNCTURA_TRANSPORT_UNAVAILABLE when it takes longer. */
export const inTime = <T>(clock: Clock, timeoutMs: number, work: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const timer = clock.setTimer(timeoutMs, () =>
      reject(unavailable(`it did not answer within ${timeoutMs} ms`)),
    )
    work.then(
      (value) => {
        timer.cancel()
        resolve(value)
      },
      (error: unknown) => {
        timer.cancel()
        reject(error)
      },
    )
  })

/** Waits until the server has seen everything that was sent on the channel, or is gone. */
export const closeChannel = async (
  channel: Pick<AmqpChannel, 'once' | 'close'>,
  clock: Clock,
): Promise<void> => {
  const closed = new Promise<void>((resolve) => void channel.once('close', () => resolve()))
  // It rejects when the channel is closed already.
  const asked = channel.close().catch(() => undefined)
  await within(clock, LIMITS.rabbitmqCloseMs, Promise.race([closed, asked]))
}
