import { connect, createServer, type Server, type Socket } from 'node:net'
import { findFreePorts } from './free-ports.ts'

/** Stands between a client and a server, and does what networks do when a test says so. */
export interface CuttingProxy {
  readonly port: number
  /**
   * Breaks the connection that next sends `text`: before it reaches the server, or after the
   * server has answered and before the client hears of it. With `stay`, every other one breaks
   * too, and none is taken until it is healed.
   */
  cutAt(text: string, when: 'before' | 'after', then?: 'stay'): void
  /** Breaks every connection, and refuses new ones until it is healed. */
  cut(): Promise<void>
  /** Everything arrives later, in order; with `bytesPerSecond`, also not more than that. */
  slow(how: SlowNetwork): void
  /**
   * Connections stay open and new ones are taken, but nothing passes, not even their end. What was
   * sent meanwhile arrives when it is healed.
   */
  blackhole(): void
  /** Undoes `cut`, `slow` and `blackhole`. */
  heal(): Promise<void>
  close(): Promise<void>
}

export interface SlowNetwork {
  /** Added in each direction. */
  readonly delayMs: number
  /** Of each connection, in each direction; without it, no bound. */
  readonly bytesPerSecond?: number
}

export interface ProxyTarget {
  readonly host: string
  readonly port: number
}

/** Without a `port`, on a free one. */
export const startCuttingProxy = async (
  target: ProxyTarget,
  listenPort?: number,
): Promise<CuttingProxy> => {
  const [port = 0] = listenPort === undefined ? await findFreePorts(1) : [listenPort]
  const network = new Network()
  const links = new Set<Link>()
  let server: Server | undefined
  const open = async (): Promise<void> => {
    server ??= await listen(port, (client) => {
      const link = new Link(client, connect(target), network)
      links.add(link)
      link.onEnd = () => links.delete(link)
    })
  }
  const shut = async (): Promise<void> => {
    const old = server
    server = undefined
    const closed = new Promise<void>((resolve) => {
      if (old === undefined) resolve()
      else old.close(() => resolve())
    })
    for (const link of links) link.break()
    await closed
  }
  await open()
  return {
    port,
    cutAt(text, when, then) {
      const after = (): void => (then === 'stay' ? void shut() : undefined)
      network.cutAt = { text, when, after }
    },
    cut: shut,
    slow(how) {
      network.slowness = how
    },
    blackhole() {
      network.swallow()
    },
    async heal() {
      network.heal()
      await open()
    },
    close: shut,
  }
}

/** What a chunk may wait for, before the next one of its direction is read: memory is bounded. */
const WAITING_BYTES_MAX = 1_048_576

interface CutAt {
  readonly text: string
  readonly when: 'before' | 'after'
  readonly after: () => void
}

/** The state of the network, which all connections share. */
class Network {
  cutAt: CutAt | undefined
  slowness: SlowNetwork | undefined
  /** Fulfilled while anything passes. */
  #passable: Promise<void> = Promise.resolve()
  #open: () => void = () => {}

  get passable(): Promise<void> {
    return this.#passable
  }

  swallow(): void {
    this.#open()
    this.#passable = new Promise((resolve) => (this.#open = resolve))
  }

  heal(): void {
    this.slowness = undefined
    this.#open()
  }
}

/** One client's connection and ours to the server, with a lane in each direction. */
class Link {
  onEnd: () => void = () => {}
  readonly #client: Socket
  readonly #server: Socket
  #lostAnswer: CutAt | undefined

  constructor(client: Socket, server: Socket, network: Network) {
    this.#client = client
    this.#server = server
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      // Its "close" follows, and tells the other side.
      socket.on('error', () => {})
    }
    const up = new Lane(server, client, network)
    const down = new Lane(client, server, network)
    client.on('data', (chunk: Buffer) => {
      const wanted = network.cutAt
      if (wanted !== undefined && chunk.includes(wanted.text)) {
        network.cutAt = undefined
        if (wanted.when === 'before') return this.#cut(wanted)
        this.#lostAnswer = wanted
      }
      up.send(chunk)
    })
    server.on('data', (chunk: Buffer) => {
      if (this.#lostAnswer) this.#cut(this.#lostAnswer)
      else down.send(chunk)
    })
    client.on('close', () => void up.after(() => this.break()))
    server.on('close', () => void down.after(() => this.break()))
  }

  #cut({ after }: CutAt): void {
    this.break()
    after()
  }

  break(): void {
    this.#client.destroy()
    this.#server.destroy()
    this.onEnd()
  }
}

/** Carries chunks to one socket, in order, as late as the network is. */
class Lane {
  readonly #to: Socket
  readonly #from: Socket
  readonly #network: Network
  #waitingBytes = 0
  #last: Promise<void> = Promise.resolve()
  #busyUntilMs = 0

  constructor(to: Socket, from: Socket, network: Network) {
    this.#to = to
    this.#from = from
    this.#network = network
  }

  send(chunk: Buffer): void {
    this.#waitingBytes += chunk.length
    if (this.#waitingBytes > WAITING_BYTES_MAX) this.#from.pause()
    const dueMs = this.#dueMs(chunk.length)
    this.#last = this.#last.then(async () => {
      await sleepUntil(dueMs)
      await this.#network.passable
      if (this.#to.writable && !this.#to.write(chunk)) await drained(this.#to)
      this.#waitingBytes -= chunk.length
      if (this.#waitingBytes <= WAITING_BYTES_MAX) this.#from.resume()
    })
  }

  /** When all that was sent has arrived; while nothing passes, its end does not either. */
  async after(done: () => void): Promise<void> {
    const dueMs = this.#dueMs(0)
    await this.#last
    await sleepUntil(dueMs)
    await this.#network.passable
    done()
  }

  #dueMs(bytes: number): number {
    const { slowness } = this.#network
    if (slowness === undefined) return 0
    const { delayMs, bytesPerSecond } = slowness
    const takesMs = bytesPerSecond === undefined ? 0 : (bytes / bytesPerSecond) * 1_000
    this.#busyUntilMs = Math.max(this.#busyUntilMs, performance.now()) + takesMs
    return this.#busyUntilMs + delayMs
  }
}

const sleepUntil = async (dueMs: number): Promise<void> => {
  const ms = dueMs - performance.now()
  if (dueMs > 0 && ms > 0) await new Promise((resolve) => void setTimeout(resolve, ms))
}

const drained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })

const listen = (port: number, take: (client: Socket) => void): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer(take)
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
