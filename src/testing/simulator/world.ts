import { crc32 } from 'node:zlib'
import { type Integration, sql, type Webhook } from '../../contract/index.ts'
import { messageOf, type Random, randomInteger } from '../../kernel/index.ts'
import { retryHorizonMs } from '../../policy/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import {
  type AppliedCommit,
  type DiskInspector,
  inspectDisk,
  type MemoryDisk,
} from '../../store/index.ts'
import { AlertWatch } from './alert-watch.ts'
import { AttemptWatch } from './attempt-watch.ts'
import { EffectLedger } from './effect-ledger.ts'
import { EventTrace } from './event-trace.ts'
import { FaultDice } from './fault-dice.ts'
import { drawFaults, type Faults, NO_FAULTS, type ProfileName } from './faults.ts'
import { observeHandlers } from './handler-observer.ts'
import { LEDGER_TABLE } from './instrument-consumer.ts'
import { LimitWatch } from './limit-watch.ts'
import { type EffectRow, MessageBooks } from './message-books.ts'
import { environmentOf, keysFor } from './partner-secrets.ts'
import { encodeBody, type MakeBody, planTraffic, type Traffic } from './plan-traffic.ts'
import type { HandlerCall } from './observer.ts'
import type { Processes } from './processes.ts'
import { type Ground, layGround } from './raise-processes.ts'
import { createRandomStreams, type RandomStreams } from './random-streams.ts'
import { createScheduler, type Scheduler } from './scheduler.ts'
import { SimulatedBroker, type SimulatedBrokerOptions } from './simulated-broker.ts'
import type { Tamper } from './simulated-node.ts'
import { SimulatedOperator } from './simulated-operator.ts'
import { deliver, type Delivery, type SimulatedMessage } from './simulated-sender.ts'
import { type MakeEmitted, SimulatedOutboxes } from './simulated-outboxes.ts'
import { SagaWatch } from './saga-watch.ts'
import { SituationBook, type SituationName } from './situations.ts'

export interface SeedOptions {
  readonly seed: number
  readonly faults: ProfileName | Partial<Faults>
  readonly messages: number
  readonly body?: MakeBody
  readonly emitted?: MakeEmitted
  readonly check?: CheckWorld
  /** Faults, by the names that a report gives, that do not happen this time. */
  readonly isSuppressed?: (fault: string) => boolean
  readonly tamper?: Tamper
  readonly onEvent?: (line: string) => void
}

/** What must hold at the end besides the built-in checks; throw, or return what does not. */
export type CheckWorld = (world: SimulatedWorld) => Promise<readonly string[]> | readonly string[]

/** A world that has come to rest. */
export interface SimulatedWorld {
  readonly seed: number
  /** What the partners sent, and what they were told. */
  readonly deliveries: readonly Delivery[]
  /** The durable state; `query` reads the tables of the integration. */
  readonly disk: MemoryDisk
}

export interface SeedReport {
  readonly seed: number
  /** What did not hold, in sentences; empty when everything did. */
  readonly failures: readonly string[]
  /** Of everything that happened: equal for equal seeds. */
  readonly traceHash: string
  /** The faults that happened, by name and number, in order. */
  readonly faults: readonly string[]
  readonly situations: Readonly<Partial<Record<SituationName, number>>>
  readonly accepted: number
  readonly effects: number
  readonly deadLetters: number
  readonly virtualMs: number
  readonly events: number
  /** The latest events, up to the first thing that did not hold. */
  readonly lastEvents: readonly string[]
}

const FAILURES_MAX = 20
/** More turns than this without an end is a loop that makes no progress. */
const EVENTS_MAX = 2_000_000
/** Nothing may be left to do for this long before the world counts as at rest. */
const QUIET_MS = 6_000
/** Of all messages, where services write to outboxes too. */
const OUTBOX_SHARE = 0.3
const NO_WEBHOOKS_MS = 60_000
const DRAIN_MS = 900_000
const PEOPLE_MS_MAX = 20_000
/** Of what people do where parts of the log go: a replay that is still under way then. */
const LATE_REPLAYS = 0.5
const PARTITION_BYTES_MIN = 4_096
const PARTITION_BYTES_MAX = 65_536

/** One seed: a world of processes, a disk, partners and people, from first to last event. */
export class World {
  readonly #options: SeedOptions
  readonly #integration: Integration
  readonly #streams: RandomStreams
  readonly #scheduler: Scheduler
  readonly #situations = new SituationBook()
  readonly #events: EventTrace
  readonly #failures = new Set<string>()
  /** What led to the first of them: much may happen until the end. */
  #eventsToFailure: readonly string[] | undefined
  readonly #deliveries: Delivery[] = []
  readonly #dice: FaultDice
  readonly #disk: MemoryDisk
  readonly #inspector: DiskInspector
  readonly #broker: SimulatedBroker | undefined
  readonly #outboxes: SimulatedOutboxes
  readonly #ledger: EffectLedger
  readonly #books: MessageBooks
  readonly #alerts: AlertWatch
  readonly #limits: LimitWatch
  readonly #sagas: SagaWatch
  readonly #attempts: AttemptWatch
  readonly #processes: Processes
  readonly #ground: Ground
  readonly #operator: SimulatedOperator
  #senders = 0
  #people = 0

  constructor(integration: Integration, options: SeedOptions) {
    this.#options = options
    this.#events = new EventTrace(options.onEvent)
    this.#integration = {
      ...integration,
      tables: [...integration.tables, sql({ name: 'simulated-effects', sqlite: LEDGER_TABLE })],
    }
    this.#streams = createRandomStreams(options.seed)
    this.#scheduler = createScheduler(this.#streams('scheduler'))
    const { faults } = options
    this.#dice = new FaultDice({
      faults:
        typeof faults === 'string'
          ? drawFaults(faults, this.#streams('swarm'))
          : { ...NO_FAULTS, ...faults },
      streams: this.#streams,
      isSuppressed: options.isSuppressed ?? (() => false),
      onFault: (_, id) => this.#trace(`fault ${id}`),
    })
    const fail = (sentence: string): void => this.#fail(sentence)
    const trace = (what: string): void => this.#trace(what)
    this.#ground = layGround({
      ...this.#parts(trace),
      fail,
      partitionBytesMax: randomInteger(
        this.#streams('partitions'),
        PARTITION_BYTES_MIN,
        PARTITION_BYTES_MAX,
      ),
    })
    this.#disk = this.#ground.disk
    this.#inspector = inspectDisk(this.#disk)
    this.#ledger = new EffectLedger(this.#disk)
    this.#broker = this.#createBroker(trace)
    this.#outboxes = new SimulatedOutboxes({ ...this.#parts(trace), fail, integration })
    this.#books = new MessageBooks(this.#integration, fail)
    this.#alerts = new AlertWatch(fail, this.#ground.processesMax)
    this.#limits = new LimitWatch(fail)
    this.#sagas = new SagaWatch(fail)
    this.#attempts = new AttemptWatch({
      books: this.#books,
      nowMs: () => this.#scheduler.nowMs,
      fail,
      isCurrent: (call) => this.#isCurrent(call),
      isShared: this.#ground.processesMax > 1,
      undisturbedSinceMs: () => this.#processes.disturbedAtMs,
    })
    this.#processes = this.#raiseProcesses(fail, trace)
    this.#operator = new SimulatedOperator({
      scheduler: this.#scheduler,
      random: this.#streams('operator'),
      situations: this.#situations,
      runtime: () => this.#processes.forPeople(),
      fail,
      trace,
    })
    this.#inspector.onApplied((commit) => {
      this.#trace(`commit ${commit.records.length} ${commit.rows.length}`)
      this.#ground.applied(commit)
      const noted = this.#ledger.fresh()
      const apply = (effects: readonly EffectRow[]): void => {
        const messages = this.#books.applied(commit, effects)
        this.#outboxes.applied(messages, commit)
        this.#alerts.applied(commit)
        this.#sagas.applied(commit)
        this.#ground.watch.applied(commit)
        this.#forgetResolved(commit)
      }
      if (noted) void noted.then(apply)
      else apply([])
    })
  }

  async run(): Promise<SeedReport> {
    try {
      await this.#live()
    } catch (error) {
      this.#fail(`the simulation itself broke: ${messageOf(error)}`)
    }
    return this.#report()
  }

  async #live(): Promise<void> {
    const { messages: all } = this.#options
    const { webhooks, outboxes } = this.#integration
    const share = webhooks.length === 0 ? 1 : Math.min(OUTBOX_SHARE, outboxes.length)
    const emitted = Math.round(all * share)
    const traffic = planTraffic(this.#integration, {
      messages: all - emitted,
      random: this.#streams('traffic'),
      situations: this.#situations,
      isBurst: this.#dice.faults.requestTwice > 0.4,
      bodyOf: (webhook, random, index) => this.#bodyOf(webhook, random, index),
    })
    const { messages } = traffic
    const firstMs = webhooks.length === 0 ? NO_WEBHOOKS_MS : 0
    const lastAtMs = messages.reduce((last, { atMs }) => Math.max(last, atMs), firstMs)
    this.#processes.start()
    this.#processes.plan(lastAtMs + 10_000)
    this.#broker?.plan(lastAtMs + 10_000)
    this.#outboxes.plan(emitted, { lastAtMs, withinMs: lastAtMs + 10_000 })
    this.#planPeople(traffic, lastAtMs)
    for (const [index, message] of messages.entries()) void this.#send(message, index)
    const troubleMs = lastAtMs + 60_000
    await this.#until(() => this.#senders === 0 && this.#scheduler.nowMs > lastAtMs, troubleMs)
    this.#dice.stop()
    this.#processes.heal()
    this.#broker?.heal()
    this.#outboxes.heal()
    this.#trace('the faults stop')
    const drainMs = this.#scheduler.nowMs + this.#drainMsMax()
    await this.#until(() => this.#people === 0 && this.#processes.runtimes.length > 0, drainMs)
    void this.#do(() => this.#operator.goHome())
    await this.#rest(drainMs)
    const emptyMs = this.#scheduler.nowMs + QUIET_MS
    await this.#until(() => this.#runtimes.every((one) => this.#limits.isEmpty(one)), emptyMs)
    for (const runtime of this.#runtimes) this.#limits.checkAtRest(runtime)
    await this.#closing()
    await this.#checkAtRest()
  }

  /** People look after the integration while partners send. */
  #planPeople({ messages, lateFromMs }: Traffic, lastAtMs: number): void {
    const random = this.#streams('people')
    for (const { atMs: share, take } of this.#dice.planned('operations', messages.length)) {
      const isLate = lateFromMs !== undefined && random.next() < LATE_REPLAYS
      const at = isLate
        ? lateFromMs + random.next() * (lastAtMs - lateFromMs)
        : (messages[Math.floor(share)]?.atMs ?? 0) + (share % 1) * PEOPLE_MS_MAX
      this.#scheduler.at(at, () => {
        if (!take()) return
        void this.#do(() => (isLate ? this.#operator.replaySlowly() : this.#operator.act()))
      })
    }
  }

  /** Runs until the condition holds, at most until that moment. */
  async #until(isOver: () => boolean, untilMs: number): Promise<boolean> {
    while (!isOver()) {
      if (this.#scheduler.nowMs > untilMs || this.#failures.size >= FAILURES_MAX) return false
      if (this.#scheduler.events > EVENTS_MAX) {
        this.#fail(`${EVENTS_MAX} events have passed and the world makes no progress`)
        return false
      }
      if (!(await this.#scheduler.step())) {
        this.#fail('nothing is going to happen any more, and something is still to be done')
        return false
      }
      this.#ground.watch.look()
      this.#broker?.logBegins(this.#inspector.firstPosition)
      this.#limits.look(() => this.#runtimes)
      this.#processes.look()
    }
    return true
  }

  /** Runs until nothing is left to do, for a while; how long that may take is bounded. */
  async #rest(drainMs: number): Promise<void> {
    let quietSinceMs: number | undefined
    const isAtRest = (): boolean => {
      const isQuiet = this.#unrest().next().done === true
      if (!isQuiet) quietSinceMs = undefined
      else quietSinceMs ??= this.#scheduler.nowMs
      return quietSinceMs !== undefined && this.#scheduler.nowMs - quietSinceMs > QUIET_MS
    }
    if (await this.#until(isAtRest, drainMs)) return
    const seconds = Math.round(this.#drainMsMax() / 1_000)
    this.#fail(`not everything was done ${seconds} s after the faults stopped`)
    for (const sentence of this.#unrest()) this.#fail(sentence)
  }

  /** What is still going to happen by itself; asked often, so what costs the least comes first. */
  *#unrest(): Generator<string> {
    if (this.#senders > 0) yield `${this.#senders} messages are still being sent`
    if (this.#people > 0) yield 'people wait for an answer'
    if (this.#runtimes.length === 0) yield 'no process runs'
    const { underWay, waiting } = this.#outboxes
    if (underWay > 0) yield `${underWay} transactions of services are open`
    if (waiting > 0) yield `${waiting} rows of outboxes are not moved`
    yield* this.#books.unrest()
    yield* this.#sagas.unrest()
    for (const runId of this.#ground.watch.runningReplays) {
      if (!this.#books.isReplayParked(runId)) yield `${runId} is still running`
    }
    const { owing, outboxAlerts } = this.#alerts
    if (owing > 0) yield `${owing} alerts owe a notification`
    if (outboxAlerts.length > 0) yield `${outboxAlerts.join(' and ')} is still alerted`
    const unpublished = this.#unpublished().length
    if (unpublished > 0) yield `${unpublished} messages wait for the broker`
  }

  /** The slowest that the declared policies allow, and some. */
  #drainMsMax(): number {
    const horizons = this.#integration.consumers.map(
      ({ retry, timeoutMs }) => (retry ? retryHorizonMs(retry) : 0) + timeoutMs,
    )
    return DRAIN_MS + 3 * Math.max(0, ...horizons)
  }

  async #closing(): Promise<void> {
    let isClosed = false
    void this.#processes.end().finally(() => {
      isClosed = true
    })
    const withinMs = this.#scheduler.nowMs + 120_000
    if (!(await this.#until(() => isClosed, withinMs)))
      this.#fail('the process did not stop within two minutes')
  }

  async #checkAtRest(): Promise<void> {
    this.#books.checkAll()
    this.#alerts.checkAll()
    this.#outboxes.checkAll()
    for (const position of this.#unpublished())
      this.#fail(`other systems cannot get the message at ${position} from the broker`)
    for (const position of this.#broker?.ambiguous ?? [])
      this.#fail(`the message at ${position} was published under two ids`)
    for (const { message, ids } of this.#deliveries) {
      for (const id of ids) {
        if (!this.#books.isKnown(id))
          this.#fail(`${message.id} was answered with ${id}, which is not in the log`)
      }
    }
    if (this.#failures.size >= FAILURES_MAX) return
    const { seed, check } = this.#options
    const world = { seed, deliveries: this.#deliveries, disk: this.#disk }
    for (const sentence of (await check?.(world)) ?? []) this.#fail(sentence)
  }

  #bodyOf(webhook: Webhook, random: Random, index: number): Uint8Array {
    return encodeBody(this.#options.body, { webhook, random, index })
  }

  #createBroker(trace: (what: string) => void): SimulatedBroker | undefined {
    if (this.#dice.faults.broker === 0) return undefined
    return new SimulatedBroker(this.#parts(trace))
  }

  /** What everything in a world is made of. */
  #parts(trace: (what: string) => void): SimulatedBrokerOptions {
    return {
      scheduler: this.#scheduler,
      dice: this.#dice,
      streams: this.#streams,
      situations: this.#situations,
      trace,
    }
  }

  #isCurrent({ node, consumer, key }: HandlerCall): boolean {
    return this.#processes.isCurrent(node, { consumer: consumer.name, lane: key })
  }

  get #runtimes(): readonly Runtime[] {
    return this.#processes.runtimes
  }

  /** What the broker has not, of what nobody has dropped. */
  #unpublished(): readonly number[] {
    if (!this.#broker) return []
    const positions = [...this.#books.messages.values()]
      .filter(({ isReceipt }) => !isReceipt)
      .map(({ position }) => position)
    return this.#broker.missing(positions)
  }

  #raiseProcesses(fail: (sentence: string) => void, trace: (what: string) => void): Processes {
    const { seed, tamper } = this.#options
    const killers = this.#dice.faults.killers
    return this.#ground.raise({
      attempts: () => this.#attempts,
      node: {
        integration: this.#integration,
        scheduler: this.#scheduler,
        streams: this.#streams,
        dice: this.#dice,
        observer: observeHandlers({
          attempts: this.#attempts,
          books: this.#books,
          ledger: this.#ledger,
          situations: this.#situations,
          isCurrent: (call) => this.#isCurrent(call),
          fail,
          trace,
        }),
        broker: this.#broker,
        outboxes: this.#outboxes,
        env: environmentOf(this.#integration),
        isKiller: (consumer, position) => {
          const border = this.#books.messages.get(position)?.border
          if (killers === 0 || border === undefined) return false
          return crc32(`${seed}/${consumer}/${border}`) / 2 ** 32 < killers
        },
        tamper: tamper ?? {},
      },
    })
  }

  /** What died, or was brought back by a person, begins its attempts anew. */
  #forgetResolved({ rows }: AppliedCommit): void {
    for (const write of rows) {
      if (write.collection !== 'deadLetters' || !write.row) continue
      this.#attempts.forget(write.row.consumer, write.row.position)
    }
  }

  async #send(message: SimulatedMessage, index: number): Promise<void> {
    this.#senders += 1
    const random = this.#streams(`sender/${index}`)
    const delivery = await deliver(message, {
      scheduler: this.#scheduler,
      random,
      dice: this.#dice,
      situations: this.#situations,
      runtime: () => this.#processes.reachable(random.next()),
      keysOf: keysFor,
      otherBody: ({ webhook }) => this.#bodyOf(webhook, random, index + 1_000_000),
      fail: (sentence) => this.#fail(sentence),
      trace: (what) => this.#trace(what),
    })
    this.#deliveries.push(delivery)
    this.#senders -= 1
    this.#trace(`delivered ${message.id} ${delivery.status} ${delivery.acceptedId ?? '-'}`)
  }

  async #do(work: () => Promise<void>): Promise<void> {
    this.#people += 1
    try {
      await work()
    } finally {
      this.#people -= 1
    }
  }

  #fail(sentence: string): void {
    if (this.#failures.has(sentence) || this.#failures.size >= FAILURES_MAX) return
    this.#failures.add(sentence)
    this.#trace(`FAILED ${sentence}`)
    this.#eventsToFailure ??= this.#events.latest
  }

  #trace(what: string): void {
    this.#events.add(this.#scheduler.nowMs, what)
  }

  #report(): SeedReport {
    return {
      seed: this.#options.seed,
      failures: [...this.#failures],
      traceHash: this.#events.digest(),
      faults: this.#dice.happened,
      situations: Object.fromEntries(this.#situations.counts),
      accepted: this.#deliveries.filter((one) => one.acceptedId !== undefined).length,
      effects: this.#ledger.effects,
      deadLetters: this.#inspector.count('deadLetters'),
      virtualMs: this.#scheduler.nowMs,
      events: this.#scheduler.events,
      lastEvents: this.#eventsToFailure ?? this.#events.latest,
    }
  }
}
