import type { TopicSource } from '../contract/index.ts'
import type { ContractBook } from '../inbox/index.ts'
import { isJuncturaError, type Kernel, LIMITS, sleep } from '../kernel/index.ts'
import type { Append, Committer, Generation, RowWrite, Store } from '../store/index.ts'
import type { ForeignTopic, ReceivedMessage, TopicReading, TopicState } from '../transport/index.ts'
import { commitBatches } from './commit-batches.ts'
import { type MessageReading, readMessage } from './read-message.ts'
import { isMoved, meetTopic, moveCursor, type TopicCursor, type TopicLoss } from './topic-cursor.ts'
import { beginPlace, nextPlace, readPlace } from './topic-places.ts'
import { lossTitle, problemOf, shelfFull, type TopicAlert } from './topic-alert.ts'
import { shelveMessage, topicShelf } from './topic-shelf.ts'

export interface TopicRelayOptions {
  readonly source: TopicSource
  readonly kernel: Kernel
  readonly store: Pick<Store, 'scan' | 'count'>
  readonly committer: Pick<Committer, 'submit' | 'mode'>
  readonly book: ContractBook
  /** Opens the topic at its broker, each time it was given up. */
  readonly open: () => Promise<ForeignTopic>
  /** Rows that make an alert durable; those of a loss and of an invalid message commit with it. */
  readonly raiseAlert: (alert: TopicAlert) => readonly RowWrite[]
  readonly resolveAlert: (cause: string) => readonly RowWrite[]
  /** Writes rows that stand for themselves, again while the store refuses. */
  readonly offer: (rows: readonly RowWrite[]) => void
  /** Told after each commit. */
  readonly onMoved: (moved: TopicMoved) => void
  readonly onLost: (loss: TopicLoss) => void
}

export interface TopicMoved {
  /** What is new in the log. */
  readonly appends: readonly Append[]
  readonly invalid: number
  /** Known already, by the key of their fact or by their id. */
  readonly repeats: number
}

export interface TopicStatus {
  readonly name: string
  /**
   * `away`: it cannot be read, and is tried again. `standing-by`: another process moves it.
   */
  readonly state: 'starting' | 'running' | 'away' | 'standing-by' | 'stopped'
  /** Since this process started. */
  readonly moved: number
  readonly invalid: number
  readonly repeats: number
  /** Offsets that were gone before they were read, since the first start. */
  readonly lost: number
  /** The next offset of each partition. */
  readonly next: Readonly<Record<string, string>>
  /** Offsets, or messages of a queue, before it; undefined until they were asked for. */
  readonly lag: number | undefined
  readonly lastMovedAtMs: number | undefined
  /** What a message there survives, and the settings that say so; undefined until it was asked. */
  readonly durability: string | undefined
  /** Why it does not run, or has just not run; code and message, no data. */
  readonly lastError: string | undefined
}

/** Moves what others write into one topic into the log. */
export interface TopicRelay {
  readonly source: TopicSource
  start(): void
  status(): TopicStatus
  /** Resolves when everything is moved that was there before the call, or it is away. */
  idle(): Promise<void>
  /** Ends after the commit that is under way. Idempotent. */
  close(): Promise<void>
}

const BACKOFF_MS_MIN = 100
/** While somebody waits for the end of a topic, it is looked for this often. */
const IDLE_INSPECT_MS = 50

/**
 * `starting` → `running` → `away` when the broker, the topic or the store fails; then it is opened
 * anew, later each time, and is `running` again. `running` → `standing-by` when another process has
 * moved messages meanwhile, and back after a while.
 *
 * Each batch is one commit: the messages, what is invalid, and the next place. So whenever it
 * crashes, what has a place is moved once. The next batch is fetched while one is committed and is
 * taken after it: a slow store slows the fetching down.
 */
export const createTopicRelay = (options: TopicRelayOptions): TopicRelay => new Relay(options)

class Relay implements TopicRelay {
  readonly source: TopicSource
  readonly #options: TopicRelayOptions
  readonly #stop = new AbortController()
  #loop: Promise<void> | undefined
  #stored: Generation<'topicCursors'> | undefined
  #reading: TopicReading | undefined
  #state: TopicStatus['state'] = 'starting'
  #isMoving = false
  /** What was given cannot be moved, such as while the store refuses. */
  #isStuck = false
  /** How much of what was given is moved, if it is given again. */
  #given: { readonly messages: readonly ReceivedMessage[]; moved: number } | undefined
  #moved = 0
  #invalid = 0
  #repeats = 0
  /** What was gone while it was read; told with the next commit. */
  #skipped: TopicLoss | undefined
  #lag: number | undefined
  #lastMovedAtMs: number | undefined
  #durability: string | undefined
  #lastError: string | undefined
  #awaySinceMs: number | undefined
  #wasWell = false
  #failures = 0
  /** Ends the pause between two looks at the topic. */
  #wake: () => void = () => undefined
  #idlers: (() => void)[] = []

  constructor(options: TopicRelayOptions) {
    this.#options = options
    this.source = options.source
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  status(): TopicStatus {
    const cursor = this.#stored?.row
    return {
      name: this.source.name,
      state: this.#state,
      moved: this.#moved,
      invalid: this.#invalid,
      repeats: this.#repeats,
      lost: cursor?.lost ?? 0,
      next: cursor?.next ?? {},
      lag: this.#lag,
      lastMovedAtMs: this.#lastMovedAtMs,
      durability: this.#durability,
      lastError: this.#lastError,
    }
  }

  idle(): Promise<void> {
    const isMovedHere = this.#state === 'starting' || this.#state === 'running'
    if (!this.#loop || !isMovedHere) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idlers.push(resolve)
      this.#wake()
    })
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#wake()
    await this.#loop
    this.#state = 'stopped'
    this.#settle()
  }

  async #run(): Promise<void> {
    const { kernel, committer } = this.#options
    while (!this.#stop.signal.aborted) {
      try {
        await this.#session()
      } catch (error) {
        const pauseMs = error instanceof PlaceGone ? BACKOFF_MS_MIN : this.#failed(error)
        if (committer.mode !== 'open') break
        await sleep(kernel.clock, pauseMs, this.#stop.signal)
      }
    }
  }

  /** From opening the topic until something is wrong, or until the end. */
  async #session(): Promise<void> {
    const topic = await this.#options.open()
    this.#skipped = undefined
    this.#isStuck = false
    const end = new AbortController()
    let failure: unknown
    const fail = (error: unknown): void => {
      failure ??= error
      end.abort()
      this.#wake()
    }
    try {
      const state = await topic.inspect()
      const cursor = await this.#meet(state)
      const reading = await topic.read({
        from: cursor.next,
        incarnation: cursor.incarnation,
        batchMax: LIMITS.topicBatchMax,
        onPlaceGone: (problem) => fail(new PlaceGone(problem)),
        onSkipped: (partition, offsets) => {
          this.#skipped = skipMore(this.#skipped, partition, offsets)
        },
        onBatch: async (messages) => {
          // After a failure nothing is moved: what follows would leave a hole.
          if (end.signal.aborted) throw failure
          await this.#give(messages).catch((error: unknown) => {
            if (this.#isOver(error)) fail(error)
            else this.#isStuckBy(error)
            throw error
          })
        },
      })
      this.#reading = reading
      try {
        await this.#watch(topic, end.signal)
      } finally {
        end.abort()
        this.#reading = undefined
        await reading.close()
      }
    } finally {
      await topic.close()
    }
    if (failure !== undefined) throw failure
  }

  /** What giving the same messages again cannot mend. */
  #isOver(error: unknown): boolean {
    return error instanceof MovedElsewhere || this.#options.committer.mode !== 'open'
  }

  /**
   * The reader gives them again, from memory: a queue would count each time it has to bring a
   * message again, and drop it after a number of them.
   */
  #isStuckBy(error: unknown): void {
    this.#isStuck = true
    this.#isAway(error)
  }

  /** Compares the place with what is there, and keeps what came of it before anything is read. */
  async #meet(state: TopicState): Promise<TopicCursor> {
    const { source } = this
    const { store, committer } = this.#options
    let stored = await readPlace(store, source.name)
    if (!stored) {
      const outcome = await committer.submit(beginPlace(source, state))
      if (outcome.status === 'failed') throw outcome.error
      stored = await readPlace(store, source.name)
    }
    if (!stored) throw new MovedElsewhere()
    this.#stored = stored
    const { cursor, loss } = meetTopic(source, stored.row, state)
    if (loss) {
      await this.#commit({ cursor, rows: this.#tellLoss(loss, cursor) })
      this.#options.onLost(loss)
    } else {
      this.#stored = { ...stored, row: cursor }
    }
    return cursor
  }

  #tellLoss(loss: TopicLoss, cursor: TopicCursor): readonly RowWrite[] {
    const { source } = this
    const { kernel, raiseAlert } = this.#options
    const title = lossTitle(source, loss)
    kernel.log.error({ topic: source.name, ...loss, next: cursor.next }, title)
    const cause = `topic-lost:${source.name}`
    const atMs = kernel.clock.now()
    return raiseAlert({ kind: 'topic-lost', cause, title, source, severity: 'critical', atMs })
  }

  /** Looks at the topic now and then: how much waits there, and whether it still answers. */
  async #watch(topic: ForeignTopic, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.kernel
    while (!signal.aborted && !this.#stop.signal.aborted) {
      const asked = this.#idlers.length
      try {
        const state = await topic.inspect()
        if (!this.#isStuck) this.#isWell()
        this.#lag = this.#lagOf(state)
        if (this.#lag === 0 && !this.#isMoving) this.#settle(asked)
        this.#durability ??= await this.#describe(topic)
      } catch (error) {
        // The driver connects again by itself; what was refused has to be opened anew.
        if (!isJuncturaError(error, 'JUNCTURA_TRANSPORT_UNAVAILABLE')) throw error
        this.#isAway(error)
      }
      if (signal.aborted || this.#stop.signal.aborted) return
      const pause = new AbortController()
      this.#wake = () => pause.abort()
      const pauseMs = this.#idlers.length > 0 ? IDLE_INSPECT_MS : LIMITS.topicInspectMs
      await sleep(clock, pauseMs, pause.signal)
    }
  }

  /** Offsets that hold no message, such as the ends of transactions, are behind the reader. */
  #lagOf({ partitions, waiting }: TopicState): number {
    if (waiting !== undefined) return waiting
    const read = this.#isMoving ? {} : (this.#reading?.places() ?? {})
    const moved = this.#stored?.row.next ?? {}
    let lag = 0n
    for (const [partition, { next, wanted = next }] of Object.entries(partitions)) {
      const place = BigInt(moved[partition] ?? '0')
      const readTo = BigInt(read[partition] ?? '0')
      const ahead = BigInt(wanted) - (readTo > place ? readTo : place)
      if (ahead > 0n) lag += ahead
    }
    return Number(lag)
  }

  /** Said once: what the broker keeps is what can be moved after it, or we, come back. */
  async #describe(topic: ForeignTopic): Promise<string> {
    const { log } = this.#options.kernel
    const { name } = this.source
    const { survives, settings, problems } = await topic.describe()
    log.info({ topic: name, survives, settings }, 'a topic of others is moved')
    for (const { severity, resource, problem, fix } of problems) {
      const fields = { topic: name, resource, problem, fix }
      log[severity === 'error' ? 'error' : 'warn'](fields, 'a topic of others promises less')
    }
    return `${survives}: ${settings}`
  }

  async #give(messages: readonly ReceivedMessage[]): Promise<void> {
    this.#isMoving = true
    try {
      if (this.#given?.messages !== messages) this.#given = { messages, moved: 0 }
      const given = this.#given
      for (const batch of commitBatches(messages.slice(given.moved))) {
        const moved = await this.#move(batch)
        given.moved += moved
        if (moved < batch.length) throw shelfFull(this.source.name)
      }
    } finally {
      this.#isMoving = false
    }
  }

  /** Moves what fits on the shelf of invalid ones; says how many of the messages are moved. */
  async #move(messages: readonly ReceivedMessage[]): Promise<number> {
    const { kernel, book, onMoved } = this.#options
    const { source } = this
    const cursor = this.#cursor()
    const fresh = messages.filter((message) => !isMoved(cursor, message))
    const nowMs = kernel.clock.now()
    const newId = (): string => kernel.ids.next('msg')
    const reading: MessageReading = { source, book, nowMs, era: cursor.era, newId }
    const read = fresh.map((message) => ({ message, verdict: readMessage(message, reading) }))
    const count = await this.#countFitting(read.map(({ verdict }) => verdict.kind === 'invalid'))
    const some = read.slice(0, count)
    const appends = some.flatMap(({ verdict }) => (verdict.kind === 'append' ? verdict.append : []))
    const invalid = some.flatMap(({ message, verdict }) =>
      verdict.kind === 'invalid' ? shelveMessage(message, verdict, reading) : [],
    )
    if (some.length > 0) {
      const shelved = invalid.map((row) => ({ collection: 'invalid', key: row.id, row }) as const)
      const told = invalid
        .slice(0, 1)
        .flatMap(({ causeTitle }) => this.#mismatch(causeTitle, nowMs))
      const skipped = this.#skipped
      const next = moveCursor(
        { ...cursor, lost: cursor.lost + (skipped?.offsets ?? 0) },
        some.map(({ message }) => message),
      )
      const rows = [...shelved, ...told, ...(skipped ? this.#tellLoss(skipped, next) : [])]
      const leftOut = await this.#commit({ cursor: next, appends, rows })
      if (skipped) this.#options.onLost(skipped)
      this.#skipped = undefined
      const added = appends.filter((_, at) => !leftOut.has(at))
      this.#moved += added.length
      this.#repeats += leftOut.size
      this.#invalid += invalid.length
      this.#lastMovedAtMs = nowMs
      this.#isStuck = false
      this.#isWell()
      onMoved({ appends: added, invalid: invalid.length, repeats: leftOut.size })
    }
    return messages.length - fresh.length + count
  }

  #cursor(): TopicCursor {
    if (this.#stored) return this.#stored.row
    throw new MovedElsewhere()
  }

  /** One step of the place; says which of the appends were known already. */
  async #commit(step: {
    readonly cursor: TopicCursor
    readonly appends?: readonly Append[]
    readonly rows: readonly RowWrite[]
  }): Promise<ReadonlySet<number>> {
    const stored = this.#stored
    if (!stored) throw new MovedElsewhere()
    const place = nextPlace(this.source.name, stored.generation, step.cursor)
    const outcome = await this.#options.committer.submit({
      guards: place.guards,
      appends: step.appends ?? [],
      rows: [...place.rows, ...step.rows],
      isInternal: true,
    })
    if (outcome.status === 'failed') throw outcome.error
    if (outcome.status !== 'committed') throw new MovedElsewhere()
    this.#stored = { row: step.cursor, generation: stored.generation + 1 }
    return new Set(outcome.leftOut)
  }

  /** How many may be moved before the shelf of invalid ones is full. */
  async #countFitting(isInvalid: readonly boolean[]): Promise<number> {
    const invalid = isInvalid.filter(Boolean).length
    if (invalid === 0) return isInvalid.length
    const where = [topicShelf(this.source.name), 'open']
    const query = { collection: 'invalid', index: 'byWebhook', where } as const
    const room = LIMITS.topicInvalidOpenMax - (await this.#options.store.count(query))
    if (invalid <= room) return isInvalid.length
    let kept = 0
    return isInvalid.findIndex((one) => one && ++kept > room)
  }

  #mismatch(title: string, atMs: number): readonly RowWrite[] {
    const { source } = this
    const cause = `contract-mismatch:${topicShelf(source.name)}`
    const kind = 'contract-mismatch'
    return this.#options.raiseAlert({ kind, cause, title, source, severity: 'warning', atMs })
  }

  #isWell(): void {
    this.#state = 'running'
    this.#failures = 0
    if (this.#awaySinceMs === undefined && this.#wasWell) return
    // Also what the process before this one told.
    this.#wasWell = true
    this.#awaySinceMs = undefined
    this.#lastError = undefined
    this.#options.offer(this.#options.resolveAlert(`topic-away:${this.source.name}`))
  }

  /** Says how long to wait before it is tried again. */
  #failed(error: unknown): number {
    this.#lag = undefined
    if (error instanceof MovedElsewhere) {
      this.#state = 'standing-by'
      this.#settle()
      return LIMITS.topicStandByMs
    }
    this.#isAway(error)
    this.#failures += 1
    const fullMs = BACKOFF_MS_MIN * 2 ** Math.min(this.#failures - 1, 20)
    const longestMs = Math.min(LIMITS.topicPauseMsMax, fullMs)
    // Half of it by chance, so that relays which lost one broker do not come back in step.
    return longestMs / 2 + (this.#options.kernel.random.next() * longestMs) / 2
  }

  #isAway(error: unknown): void {
    const { kernel, raiseAlert, offer } = this.#options
    const { source } = this
    const nowMs = kernel.clock.now()
    this.#state = 'away'
    this.#settle()
    this.#awaySinceMs ??= nowMs
    const problem = problemOf(error)
    if (problem !== this.#lastError) kernel.log.warn({ topic: source.name, problem }, AWAY)
    this.#lastError = problem
    const isMistake =
      isJuncturaError(error, 'JUNCTURA_TOPIC_REFUSED') ||
      isJuncturaError(error, 'JUNCTURA_TRANSPORT_REFUSED')
    if (!isMistake && nowMs - this.#awaySinceMs < LIMITS.topicAwayAlertMs) return
    const title = `Topic ${source.name} is not moved: ${problem}`
    const cause = `topic-away:${source.name}`
    const alert = { kind: 'topic-away', cause, title, source, severity: 'critical' } as const
    offer(raiseAlert({ ...alert, atMs: nowMs }))
  }

  #settle(count = this.#idlers.length): void {
    for (const resolve of this.#idlers.splice(0, count)) resolve()
  }
}

function skipMore(known: TopicLoss | undefined, partition: number, offsets: number): TopicLoss {
  const partitions = new Set(known?.partitions).add(String(partition))
  const sum = (known?.offsets ?? 0) + offsets
  return { kind: 'retention', offsets: sum, partitions: [...partitions] }
}

const AWAY = 'a topic of others cannot be read; it is tried again'

/** Another relay of the same topic was first; its place is read again. */
class MovedElsewhere extends Error {}

/** The place is not in the topic any more: it is met anew, and what is missing is counted. */
class PlaceGone extends Error {}
