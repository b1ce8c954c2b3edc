import type { Client, Pool } from 'pg'
import { type Clock, LIMITS, sleep, type Timer } from '../../kernel/index.ts'
import type { StoreNews, StoreWatch } from '../store.ts'
import type { KnownLayout } from './known-layout.ts'
import { createSession, type PgModule } from './session.ts'
import type { StoreFate } from './writer.ts'

export interface StoreWatchOptions {
  readonly pg: PgModule
  readonly url: string
  readonly schema: string
  readonly clock: Clock
  readonly pool: Pool
  readonly known: KnownLayout
  /** Chance of its own, so that a process knows its own test of the connection. */
  readonly probe: string
  readonly fate: StoreFate
  readonly onNews: (news: StoreNews) => void
}

/**
 * Hears of what other processes append: on a connection of its own that listens, and by looking,
 * seldom. A pooler that hands out another session for each transaction accepts LISTEN and then
 * delivers nothing, so listening counts only once a notice has come the whole way; without it, and
 * while the connection is away, looking alone is often enough to be felt by nobody.
 */
export const watchStore = async (options: StoreWatchOptions): Promise<StoreWatch> => {
  const watch = new PollingWatch(options)
  await watch.listen()
  watch.start()
  return watch
}

/** The channel that processes of one schema tell each other on. */
const channelOf = (schema: string): string => `junctura_${schema}`

class PollingWatch implements StoreWatch {
  readonly #options: StoreWatchOptions
  readonly #stop = new AbortController()
  #client: Client | undefined
  #isHearing = false
  #head: number
  #wake: AbortController | undefined
  #loop: Promise<void> | undefined
  #heard: () => void = () => undefined
  #passing: Timer | undefined
  #passedMs = -Infinity

  constructor(options: StoreWatchOptions) {
    this.#options = options
    this.#head = options.known.view.head
  }

  get mode(): 'listen' | 'poll' {
    return this.#isHearing ? 'listen' : 'poll'
  }

  start(): void {
    this.#loop = this.#look()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#wake?.abort()
    this.#passing?.cancel()
    await this.#loop
    if (this.#client) await this.#client.end().catch(() => undefined)
  }

  /** Tries to listen; what it is told afterwards begins a look at once. */
  async listen(): Promise<void> {
    const { pg, url, schema } = this.#options
    const client = new pg.Client({
      connectionString: url,
      keepAlive: true,
      connectionTimeoutMillis: LIMITS.sqlConnectMs,
      application_name: `junctura listener ${schema}`,
    })
    const gone = (): void => {
      if (this.#client !== client) return
      this.#client = undefined
      this.#isHearing = false
      this.#wake?.abort()
    }
    client.on('error', gone)
    client.on('end', gone)
    try {
      await client.connect()
      this.#client = client
      client.on('notification', ({ payload = '' }) => this.#told(payload))
      await createSession(client).exec(`listen ${channelOf(schema)}`)
      await this.#prove()
    } catch {
      gone()
    }
    if (!this.#isHearing) {
      gone()
      await client.end().catch(() => undefined)
    }
  }

  /** From another connection: a pooler may bring what was said on the same one. */
  async #prove(): Promise<void> {
    const { pool, schema, probe, clock } = this.#options
    const over = new AbortController()
    const heard = new Promise<void>((resolve) => (this.#heard = resolve))
    await tell(pool, schema, probe)
    await Promise.race([heard, sleep(clock, LIMITS.watchProbeMs, over.signal)])
    over.abort()
  }

  #told(payload: string): void {
    if (payload === this.#options.probe) {
      this.#isHearing = true
      return this.#heard()
    }
    const head = Number(payload)
    if (Number.isSafeInteger(head)) this.#news(head)
    else this.#wake?.abort()
  }

  #news(head: number): boolean {
    if (head <= this.#head) return false
    this.#head = head
    this.#pass()
    return true
  }

  /** News that come in a flood are passed on in turns, so that each finds more than one message. */
  #pass(): void {
    const { clock } = this.#options
    if (this.#passing) return
    const waitMs = this.#passedMs + LIMITS.watchPaceMs - clock.monotonicMs()
    if (waitMs <= 0) return this.#passOn()
    this.#passing = clock.setTimer(waitMs, () => this.#passOn())
  }

  #passOn(): void {
    const { clock, known, onNews } = this.#options
    this.#passing = undefined
    this.#passedMs = clock.monotonicMs()
    const head = this.#head
    // A notice may be faster than the own commit is told within the process.
    if (head > known.ownHead && !this.#stop.signal.aborted) onNews({ head })
  }

  async #look(): Promise<void> {
    const { clock, known, pool } = this.#options
    const { signal } = this.#stop
    const session = createSession(pool)
    let quiet = 0
    let listenAgainMs = clock.monotonicMs() + LIMITS.watchListenAgainMs
    while (!signal.aborted) {
      const lazy = this.#isHearing ? LIMITS.watchListenPollMs : LIMITS.watchPollMs
      // What has just come is often followed by more.
      const waitMs = quiet < QUIET_LOOKS ? Math.min(lazy, LIMITS.watchBusyPollMs) : lazy
      this.#wake = new AbortController()
      await sleep(clock, this.#isHearing ? lazy : waitMs, this.#wake.signal)
      if (signal.aborted) return
      try {
        const { head } = await known.look(session)
        quiet = this.#news(head) ? 0 : quiet + 1
      } catch {
        const { lost } = this.#options.fate
        // A process that only waits would not hear of it.
        if (lost) return this.#options.onNews({ head: this.#head, lost })
        // The server is away; whoever reads or commits says so.
        await sleep(clock, LIMITS.leasePollMs, signal)
      }
      if (this.#isHearing || clock.monotonicMs() < listenAgainMs) continue
      await this.listen()
      listenAgainMs = clock.monotonicMs() + LIMITS.watchListenAgainMs
    }
  }
}

const QUIET_LOOKS = 5

/**
 * Says something to every process of the schema, in a transaction of its own: within another one it
 * would take, at the commit, a lock that all commits of the database with a notice wait for. It
 * need not survive the server, so nothing waits for the disk.
 */
const tell = async (pool: Pool, schema: string, payload: string): Promise<void> => {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await createSession(client).exec(`
      begin; set local synchronous_commit = off;
      select pg_notify('${channelOf(schema)}', '${payload}'); commit`)
  } catch (error) {
    broken = error instanceof Error ? error : new Error('a notice could not be sent')
  } finally {
    client.release(broken)
  }
}

/**
 * Tells the others how far the log goes: one notice at a time, whatever commits meanwhile, and in a
 * flood no more of them than they pass on.
 */
export const createTeller = ({ pool, schema, clock }: TellerOptions): ((head: number) => void) => {
  let latest = 0
  let told = 0
  let telling = false
  const run = async (): Promise<void> => {
    telling = true
    while (told < latest) {
      const head = latest
      await tell(pool, schema, String(head)).catch(() => undefined)
      told = head
      await sleep(clock, LIMITS.watchPaceMs)
    }
    telling = false
  }
  return (head) => {
    latest = Math.max(latest, head)
    if (!telling) void run()
  }
}

export interface TellerOptions {
  readonly pool: Pool
  readonly schema: string
  readonly clock: Clock
}
