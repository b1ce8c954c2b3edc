import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readdir, readFile, rm, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Broker,
  type BrokerChannel,
  type BrokerFeatures,
  type BrokerMessage,
  type BrokerState,
  type Clock,
  type FollowListener,
  JuncturaError,
  type Reading,
  type ReadOptions,
} from 'junctura'

/**
 * A broker that is a folder, such as one that several machines have mounted: each publish is a file
 * whose name is the offset of its first message, and readers look for the next one. It is here to
 * show what a transport of one's own takes, and passes the whole conformance suite.
 *
 * A file is written under another name, synced, and then linked to its place: `link` fails when the
 * place is taken, so two writers never write the same offset and nobody reads half a file.
 */
export const FOLDER_FEATURES: BrokerFeatures = {
  engine: 'folder',
  durability: 'fsync',
  unitOfOrder: 'partition',
  partitions: 1,
  messageBytesMax: 5_242_880,
  dedupeWindowMs: 0,
  reading: 'offset',
  delayMsMax: 0,
}

export interface FolderBrokerOptions {
  /** Has to be there: where it is not, the broker is away. */
  readonly folder: string
  /** Injected, so that a test or the simulator can be its time. */
  readonly clock: Clock
  readonly onState?: (state: BrokerState) => void
}

/** How often readers look for the next file. */
const POLL_MS = 20
/** Tries to take the next place before a publish is given up: as many writers as that at once. */
const PLACES_TRIED = 100
/** Messages in one file. */
const FILE_MESSAGES_MAX = 500
const FILE_BYTES_MAX = 16_777_216

export const createFolderBroker = (options: FolderBrokerOptions): Broker => new Folder(options)

interface Place extends Omit<ReadOptions, 'from'> {
  /** The next offset wanted. */
  readonly from: number
}

interface StoredMessage extends Omit<BrokerMessage, 'data'> {
  /** Base64. */
  readonly data: string
}

class Folder implements Broker {
  readonly features: BrokerFeatures = FOLDER_FEATURES
  readonly #options: FolderBrokerOptions
  readonly #readings = new Set<Reading>()
  /** By channel, so that publishes that nobody waits for keep their order. */
  readonly #queues = new Map<string, Promise<void>>()
  #isConnected = true
  #isClosed = false

  constructor(options: FolderBrokerOptions) {
    this.#options = options
  }

  async ensure(channels: readonly BrokerChannel[]): Promise<void> {
    await this.#reach(() => readdir(this.#options.folder))
    for (const { channel, retentionMs } of channels) {
      await this.#reach(async () => {
        await mkdir(join(this.#options.folder, channel)).catch(ignore('EEXIST'))
        // What tells a folder that was deleted and made again from the one it was.
        await this.#place(channel, 'incarnation', randomUUID())
        await this.#forget(channel, this.#options.clock.now() - retentionMs)
      })
    }
  }

  publish(channel: string, messages: readonly BrokerMessage[]): Promise<void> {
    const before = this.#queues.get(channel) ?? Promise.resolve()
    const done = before.then(() => this.#publish(channel, messages))
    this.#queues.set(
      channel,
      done.catch(() => undefined),
    )
    return done
  }

  async follow(channel: string, listener: FollowListener): Promise<Reading> {
    const from = await this.#end(channel)
    return this.#poll(channel, { from, onBatch: async (messages) => listener(messages) })
  }

  async read(topic: string, options: ReadOptions): Promise<Reading> {
    const { folder } = this.#options
    const isThere = await this.#reach(() => readdir(folder).then((names) => names.includes(topic)))
    if (!isThere) throw refused(`the folder ${topic}`, 'it is not there', 'make it')
    return this.#poll(topic, { ...options, from: Number(options.from['0'] ?? 0) })
  }

  async inspect(channel: string): Promise<{ incarnation: string; ends: Record<string, string> }> {
    const file = join(this.#options.folder, channel, 'incarnation')
    const incarnation = await this.#reach(() => readFile(file, 'utf8'))
    return { incarnation, ends: { '0': String(await this.#end(channel)) } }
  }

  async check(): ReturnType<Broker['check']> {
    const { folder } = this.#options
    const isThere = await readdir(folder).then(
      () => true,
      () => false,
    )
    if (isThere) return []
    const fix = 'make it, and give this user the right to write there'
    return [{ severity: 'error', resource: folder, problem: 'it cannot be read', fix }]
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#readings].map((reading) => reading.close()))
    await Promise.all(this.#queues.values())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #publish(channel: string, messages: readonly BrokerMessage[]): Promise<void> {
    if (this.#isClosed) {
      throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The broker' } })
    }
    for (const { id, data } of messages) {
      if (data.length <= FOLDER_FEATURES.messageBytesMax) continue
      throw refused(`message ${id}`, `it has ${data.length} bytes`, 'send less')
    }
    let end = await this.#end(channel)
    for (const part of inFiles(messages)) {
      const text = JSON.stringify(part.map(toStored))
      let tries = 0
      while (!(await this.#reach(() => this.#place(channel, nameOf(end), text)))) {
        if ((tries += 1) > PLACES_TRIED) throw unavailable('too many write at once')
        end = await this.#end(channel)
      }
      end += part.length
    }
  }

  /** Writes a file that is whole or not there; false when somebody has that name. */
  async #place(channel: string, name: string, text: string): Promise<boolean> {
    const folder = join(this.#options.folder, channel)
    const draft = join(folder, `${randomUUID()}.draft`)
    const file = await open(draft, 'wx')
    try {
      await file.writeFile(text)
      await file.sync()
      await link(draft, join(folder, name))
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
      return false
    } finally {
      await file.close()
      await unlink(draft)
    }
    // Without it the name may be lost when the power fails, and the file with it.
    const directory = await open(folder, 'r')
    await directory.sync()
    await directory.close()
    return true
  }

  async #end(channel: string): Promise<number> {
    const last = (await this.#files(channel)).at(-1)
    if (last === undefined) return 0
    return last + (await this.#messages(channel, last)).length
  }

  /** The offsets at which files begin, rising. */
  async #files(channel: string): Promise<readonly number[]> {
    const names = await this.#reach(() => readdir(join(this.#options.folder, channel)))
    return names
      .filter((name) => name.endsWith('.json'))
      .map((name) => Number.parseInt(name, 10))
      .sort((one, other) => one - other)
  }

  async #messages(channel: string, first: number): Promise<readonly StoredMessage[]> {
    const file = join(this.#options.folder, channel, nameOf(first))
    // Only `#publish` writes such a file.
    return this.#reach(async () => JSON.parse(await readFile(file, 'utf8')) as StoredMessage[])
  }

  /** The newest file stays, whatever its age: it says where the channel ends. */
  async #forget(channel: string, beforeMs: number): Promise<void> {
    for (const first of (await this.#files(channel)).slice(0, -1)) {
      const file = join(this.#options.folder, channel, nameOf(first))
      if ((await stat(file)).mtimeMs < beforeMs) await rm(file, { force: true })
    }
  }

  #poll(channel: string, { from, batchMax = FILE_MESSAGES_MAX, onBatch }: Place): Reading {
    let next = from
    let isOver = false
    const look = async (): Promise<void> => {
      const files = await this.#files(channel)
      const last = files.at(-1)
      // It ends before the place where we are: what was there is gone.
      if (last === undefined || last + (await this.#messages(channel, last)).length < next) next = 0
      const newest = files.findLastIndex((first) => first <= next)
      for (const first of files.slice(Math.max(0, newest))) {
        const stored = await this.#messages(channel, first)
        const batch = stored.map((one, at) => received(one, first + at))
        const wanted = batch.filter(({ offset }) => Number(offset) >= next)
        for (let at = 0; at < wanted.length; at += batchMax) {
          if (isOver) return
          const part = wanted.slice(at, at + batchMax)
          await onBatch(part)
          next = Number(part.at(-1)?.offset) + 1
        }
      }
    }
    const run = async (): Promise<void> => {
      while (!isOver) {
        // A broker that is away, or a batch that could not be handled: the same again.
        await look().catch(() => undefined)
        await new Promise<void>((resolve) => this.#options.clock.setTimer(POLL_MS, resolve))
      }
    }
    const loop = run()
    const reading: Reading = {
      close: async () => {
        isOver = true
        this.#readings.delete(reading)
        await loop
      },
    }
    this.#readings.add(reading)
    return reading
  }

  /** Turns what the system says into what the caller understands, and tells of both changes. */
  async #reach<T>(act: () => Promise<T>): Promise<T> {
    try {
      const result = await act()
      this.#tell({ connected: true })
      return result
    } catch (error) {
      const problem = `${codeOf(error)} in its folder`
      this.#tell({ connected: false, problem })
      throw unavailable(problem, error)
    }
  }

  #tell(state: BrokerState): void {
    if (state.connected === this.#isConnected || this.#isClosed) return
    this.#isConnected = state.connected
    this.#options.onState?.(state)
  }
}

const nameOf = (first: number): string => `${String(first).padStart(16, '0')}.json`

const toStored = (message: BrokerMessage): StoredMessage => ({
  ...message,
  data: Buffer.from(message.data).toString('base64'),
})

const received = ({ partition, key, attributes, data }: StoredMessage, offset: number) => ({
  partition,
  offset: String(offset),
  key,
  attributes,
  headers: {},
  data: Buffer.from(data, 'base64'),
})

function* inFiles(messages: readonly BrokerMessage[]): Generator<readonly BrokerMessage[]> {
  let part: BrokerMessage[] = []
  let bytes = 0
  for (const message of messages) {
    const isFull = part.length >= FILE_MESSAGES_MAX || bytes + message.data.length > FILE_BYTES_MAX
    if (isFull) {
      yield part
      part = []
      bytes = 0
    }
    part.push(message)
    bytes += message.data.length
  }
  if (part.length > 0) yield part
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'a failure'

const ignore =
  (code: string) =>
  (error: unknown): void => {
    if (codeOf(error) !== code) throw error
  }

const unavailable = (problem: string, cause?: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', {
    details: { engine: 'folder', problem },
    cause,
  })

const refused = (resource: string, problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_REFUSED', {
    details: { engine: 'folder', resource, problem, fix },
  })
