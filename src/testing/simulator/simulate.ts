import { createHash } from 'node:crypto'
import { type Integration, sql, type Webhook } from '../../contract/index.ts'
import { assert, type Random, randomInteger } from '../../kernel/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import { makeExample } from '../../schema/index.ts'
import { createSigningKey, type SigningKey } from '../../security/index.ts'
import { createMemoryDisk, type MemoryDisk } from '../../store/index.ts'
import { createVirtualClock, type VirtualClock } from '../virtual-clock.ts'
import { checkWorld, type WorldFacts } from './check-world.ts'
import { drawFaults, type Faults, NO_FAULTS, type ProfileName } from './fates.ts'
import { createRandomStreams, type RandomStreams } from './random-streams.ts'
import { type SimulatedNode, startNode } from './simulated-node.ts'
import { deliver, type Delivery, type SimulatedMessage } from './simulated-sender.ts'

export interface SimulationOptions {
  /** The same seed gives the same run, event for event. */
  readonly seed: number
  /** @default 'everything' */
  readonly profile?: ProfileName
  /** Messages that partners send. @default 40 @maximum 10_000 */
  readonly messages?: number
  /** Makes the body of one message. @default an example of the webhook's contract */
  readonly body?: (webhook: Webhook, random: Random, index: number) => unknown
  /** What must hold at the end besides the built-in checks; throw, or return what does not hold. */
  readonly check?: (world: SimulatedWorld) => Promise<readonly string[]> | readonly string[]
}

export interface SimulatedWorld {
  readonly deliveries: readonly Delivery[]
  readonly disk: MemoryDisk
}

export interface SimulationReport {
  readonly seed: number
  readonly profile: ProfileName
  /** What did not hold, in sentences; empty when everything did. */
  readonly failures: readonly string[]
  /** Of everything that happened: equal for equal seeds. */
  readonly traceHash: string
  readonly faults: Readonly<Partial<Record<keyof Faults, number>>>
  readonly accepted: number
  readonly effects: number
  readonly deadLetters: number
  readonly virtualMs: number
  /** The latest events, for reading a failure. */
  readonly lastEvents: readonly string[]
}

const SECRET = 'whsec_c2ltdWxhdGVkLXNlY3JldC0zMi1ieXRlcy1sb25nIQ=='
const DOWN_MS_MAX = 5_000
/** Virtual time within which everything must be drained once the faults have stopped. */
const DRAIN_MS_MAX = 24 * 3_600_000
const STEP_MS = 250
/** A released lane reads its successors back between steps: rest is quiet for a while. */
const QUIET_STEPS = 20
const EVENTS_KEPT = 50

/**
 * Runs an integration for a while in a world where processes die, disks fail and lie, clocks jump
 * and partners repeat themselves; then the faults stop, and everything must come to its end.
 *
 * One real thread, virtual time, every chance drawn from the seed. The consumers, transforms and
 * contracts are the user's own; the store is the memory store, whose disk keeps only what was
 * committed. Effects are checked for consumers whose `idempotency` is `transaction`.
 */
export const simulate = async (
  integration: Integration,
  options: SimulationOptions,
): Promise<SimulationReport> => new Simulation(integration, options).run()

class Simulation {
  readonly #options: SimulationOptions
  readonly #integration: Integration
  readonly #profile: ProfileName
  readonly #clock: VirtualClock = createVirtualClock()
  readonly #disk: MemoryDisk = createMemoryDisk()
  readonly #streams: RandomStreams
  readonly #hash = createHash('sha256')
  readonly #events: string[] = []
  readonly #counts = new Map<keyof Faults, number>()
  readonly #deliveries: Delivery[] = []
  readonly #seen = new Map<string, number>()
  #faults: Faults
  #node: SimulatedNode | undefined

  constructor(integration: Integration, options: SimulationOptions) {
    this.#options = options
    this.#profile = options.profile ?? 'everything'
    this.#streams = createRandomStreams(options.seed)
    this.#faults = drawFaults(this.#profile, this.#streams('swarm'))
    const ledger = sql({
      name: 'simulated-effects',
      sqlite:
        'create table simulated_effects(seq integer primary key autoincrement, consumer text not null, ' +
        'message_id text not null, lane text not null, position integer not null)',
    })
    this.#integration = { ...integration, tables: [...integration.tables, ledger] }
  }

  async run(): Promise<SimulationReport> {
    const messages = this.#plan()
    this.#start()
    this.#scheduleTrouble()
    const pending = messages.map((message, index) => this.#send(message, index))
    const senders = Promise.all(pending)
    let sending = true
    void senders.then(() => {
      sending = false
    })
    const failures: string[] = []
    // Faults run while messages are sent, then stop: what is left must drain.
    const safetyMs = 120_000
    while (this.#clock.monotonicMs() < safetyMs && sending) await this.#step()
    this.#faults = NO_FAULTS
    const deadline = this.#clock.monotonicMs() + DRAIN_MS_MAX
    let quietSteps = 0
    while (quietSteps < QUIET_STEPS) {
      quietSteps = !sending && (await this.#isDrained()) ? quietSteps + 1 : 0
      if (this.#clock.monotonicMs() > deadline) {
        failures.push(
          'the world did not come to rest within a virtual day after the faults stopped',
        )
        break
      }
      await this.#step()
    }
    const facts = await this.#facts()
    failures.push(...checkWorld(this.#integration, facts))
    const world = { deliveries: this.#deliveries, disk: this.#disk }
    failures.push(...((await this.#options.check?.(world)) ?? []))
    return this.#report(facts, failures)
  }

  #plan(): readonly SimulatedMessage[] {
    const { webhooks } = this.#integration
    const random = this.#streams('traffic')
    const count = Math.min(10_000, this.#options.messages ?? 40)
    return Array.from({ length: count }, (_, index) => {
      const webhook = webhooks[randomInteger(random, 0, webhooks.length - 1)]
      assert(webhook !== undefined, 'a simulation needs a webhook to send to')
      const schema = webhook.accepts.versions.get(webhook.accepts.latest)
      const value =
        this.#options.body?.(webhook, random, index) ?? makeExample(schema ?? {}, random)
      return { webhook, id: `sim-${index}`, body: Buffer.from(JSON.stringify(value)) }
    })
  }

  #start(): void {
    this.#trace('start')
    this.#node = startNode({
      integration: this.#integration,
      clock: this.#clock,
      disk: this.#disk,
      streams: this.#streams,
      env: environmentOf(this.#integration),
      faults: () => this.#faults,
      onFault: (name) => this.#noteFault(name),
      onGone: () => {
        this.#trace('gone')
        this.#node = undefined
        const downMs = this.#streams('supervisor').next() * DOWN_MS_MAX
        this.#clock.setTimer(downMs, () => this.#start())
      },
    })
  }

  #scheduleTrouble(): void {
    const random = this.#streams('trouble')
    for (let left = this.#faults.crashes; left > 0; left--) {
      if (random.next() > left) continue
      this.#clock.setTimer(random.next() * 60_000, () => {
        if (this.#faults.crashes === 0) return
        this.#noteFault('crashes')
        this.#node?.crash()
      })
    }
    for (let left = this.#faults.clockJumps; left > 0; left--) {
      if (random.next() > left) continue
      const jumpMs = (random.next() - 0.5) * 4_000
      this.#clock.setTimer(random.next() * 60_000, () => {
        this.#noteFault('clockJumps')
        this.#clock.stepWall(jumpMs)
      })
    }
  }

  async #send(message: SimulatedMessage, index: number): Promise<void> {
    const random = this.#streams(`sender/${index}`)
    await new Promise<void>((resolve) => this.#clock.setTimer(random.next() * 30_000, resolve))
    const delivery = await deliver(message, {
      clock: this.#clock,
      random,
      runtime: () => this.#node?.runtime,
      keysOf: keysFor,
      faults: () => this.#faults,
      onFault: (name) => this.#noteFault(name),
    })
    this.#deliveries.push(delivery)
    this.#trace(`delivered ${message.id} ${delivery.status} ${delivery.acceptedId ?? '-'}`)
  }

  async #step(): Promise<void> {
    await this.#clock.advance(STEP_MS)
    const runtime = this.#node?.runtime
    if (!runtime) return
    const last = this.#seen.get(String(runtime.startedAtMs)) ?? 0
    if (runtime.events.lastId === last) return
    this.#seen.set(String(runtime.startedAtMs), runtime.events.lastId)
    this.#trace(`events ${runtime.events.lastId}`)
  }

  async #isDrained(): Promise<boolean> {
    const runtime = this.#node?.runtime
    if (!runtime) return false
    const consumers = await runtime.consumers()
    return consumers.every((one) => one.lag === 0 && one.inFlight === 0 && one.retrying === 0)
  }

  async #facts(): Promise<WorldFacts> {
    const runtime = this.#node?.runtime
    const letters = runtime ? await allDeadLetters(runtime) : []
    const log = runtime ? await allMessages(runtime) : []
    await this.#closeNode()
    const effects = await this.#disk.query('select * from simulated_effects order by seq')
    return { deliveries: this.#deliveries, effects, letters, log }
  }

  /** Closing waits for timers, and virtual time moves only when told. */
  async #closeNode(): Promise<void> {
    let open = this.#node?.runtime !== undefined
    const closing = this.#node?.runtime?.close().finally(() => {
      open = false
    })
    while (open) await this.#clock.advance(STEP_MS)
    await closing
  }

  #noteFault(name: keyof Faults): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    this.#trace(`fault ${name}`)
  }

  #trace(what: string): void {
    const line = `${this.#clock.monotonicMs().toFixed(3)} ${what}`
    this.#hash.update(`${line}\n`)
    this.#events.push(line)
    if (this.#events.length > EVENTS_KEPT) this.#events.shift()
  }

  #report(facts: WorldFacts, failures: readonly string[]): SimulationReport {
    for (const effect of facts.effects) this.#hash.update(JSON.stringify(effect))
    return {
      seed: this.#options.seed,
      profile: this.#profile,
      failures,
      traceHash: this.#hash.digest('hex'),
      faults: Object.fromEntries(this.#counts),
      accepted: this.#deliveries.filter((one) => one.acceptedId !== undefined).length,
      effects: facts.effects.length,
      deadLetters: facts.letters.length,
      virtualMs: this.#clock.monotonicMs(),
      lastEvents: [...this.#events],
    }
  }
}

async function allMessages(runtime: Runtime): Promise<WorldFacts['log']> {
  const log: WorldFacts['log'][number][] = []
  let after: string | undefined
  for (;;) {
    const page = await runtime.messages({ limit: 500, ...(after !== undefined && { after }) })
    log.push(...page.items)
    if (page.next === undefined) return log
    after = page.next
  }
}

async function allDeadLetters(runtime: Runtime): Promise<WorldFacts['letters']> {
  const letters: WorldFacts['letters'][number][] = []
  let after: string | undefined
  for (;;) {
    const page = await runtime.deadLetters({ limit: 500, ...(after !== undefined && { after }) })
    letters.push(...page.items)
    if (page.next === undefined) return letters
    after = page.next
  }
}

/** Every secret that a webhook names is the simulator's own. */
function environmentOf(integration: Integration): Readonly<Record<string, string>> {
  const names = integration.webhooks.flatMap(({ verify }) =>
    verify.kind === 'unsigned'
      ? []
      : verify.secrets.flatMap((one) => (one.kind === 'env' ? [one.name] : [])),
  )
  return Object.fromEntries(names.map((name) => [name, SECRET]))
}

const keysFor = (webhook: Webhook): readonly SigningKey[] =>
  webhook.verify.kind === 'unsigned'
    ? []
    : [createSigningKey({ scheme: webhook.verify, text: SECRET, source: 'simulator' })]
