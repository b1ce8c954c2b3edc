import type { AnyContract, Integration, OutboxSource } from '../../contract/index.ts'
import { createIds, must, type Random, randomInteger } from '../../kernel/index.ts'
import { outbox, type OutboxReader } from '../../outbox/index.ts'
import { makeExample } from '../../schema/index.ts'
import type { AppliedCommit } from '../../store/index.ts'
import type { FaultDice } from './fault-dice.ts'
import type { LoggedMessage } from './message-books.ts'
import { createNodeClock, type NodeClock } from './node-clock.ts'
import { OutboxWatch } from './outbox-watch.ts'
import type { RandomStreams } from './random-streams.ts'
import type { Scheduler } from './scheduler.ts'
import { SimulatedDatabase } from './simulated-database.ts'
import type { SimulatedTransaction } from './simulated-transaction.ts'
import type { SituationBook } from './situations.ts'

/** Makes the data of one message that a service emits. */
export type MakeEmitted = (contract: AnyContract, random: Random, index: number) => unknown

export interface SimulatedOutboxesOptions {
  readonly integration: Integration
  readonly scheduler: Scheduler
  readonly dice: FaultDice
  readonly streams: RandomStreams
  readonly situations: SituationBook
  readonly fail: (sentence: string) => void
  readonly trace: (what: string) => void
  /** @default an example of the contract */
  readonly emitted?: MakeEmitted | undefined
}

const ROWS_IN_ONE_MAX = 4
const STEP_MS_MAX = 60
const COMMIT_MS_MAX = 300
const GIVEN_UP = 0.3
const HANG_MS_MAX = 240_000
const AGAIN_MS_MAX = 3_000

/**
 * The services whose outboxes an integration moves: each writes to its own database in transactions
 * that overlap, take their time, are rolled back, hang for minutes, or die with their connection.
 */
export class SimulatedOutboxes {
  readonly #options: SimulatedOutboxesOptions
  readonly #databases = new Map<string, SimulatedDatabase>()
  readonly #watches: OutboxWatch[] = []
  readonly #random: Random
  readonly #clock: NodeClock
  readonly #ids: ReturnType<typeof createIds>
  #underWay = 0
  #emitted = 0
  #isHealed = false
  #onHealed: (() => void)[] = []

  constructor(options: SimulatedOutboxesOptions) {
    this.#options = options
    this.#random = options.streams('services')
    this.#clock = createNodeClock(options.scheduler, () => this.#random.next())
    this.#ids = createIds(this.#clock, this.#random)
    const { situations, fail } = options
    for (const source of options.integration.outboxes) {
      const { accepts } = source
      const hasFact = (type: string): boolean =>
        accepts.some(({ name, fact }) => name === type && fact !== undefined)
      const watch = new OutboxWatch({ outbox: source.name, hasFact, situations, fail })
      this.#watches.push(watch)
      this.#databases.set(source.name, new SimulatedDatabase({ ...options, source, watch }))
    }
  }

  /** Draws what happens to the databases, and begins so many messages of services. */
  plan(messages: number, times: { readonly lastAtMs: number; readonly withinMs: number }): void {
    const databases = [...this.#databases.values()]
    for (const database of databases) database.plan(times.withinMs)
    for (let left = messages; left > 0 && databases.length > 0;) {
      const rows = Math.min(left, randomInteger(this.#random, 1, ROWS_IN_ONE_MAX))
      left -= rows
      const index = Math.floor(this.#random.next() * databases.length)
      const database = must(databases[index], 'one of them')
      const atMs = this.#random.next() * times.lastAtMs
      void this.#write(database, { rows, atMs })
    }
  }

  /** Services that have not ended yet. */
  get underWay(): number {
    return this.#underWay
  }

  /** Nothing goes wrong any more: what hangs ends soon. */
  heal(): void {
    this.#isHealed = true
    for (const database of this.#databases.values()) database.heal()
    for (const tell of this.#onHealed) tell()
    this.#onHealed = []
  }

  /** What a relay in a process with that clock opens. */
  connect(source: OutboxSource, clock: NodeClock): Promise<OutboxReader> {
    return must(this.#databases.get(source.name), 'every outbox has a database').connect(clock)
  }

  applied(messages: readonly LoggedMessage[], commit: AppliedCommit): void {
    for (const watch of this.#watches) watch.applied(messages, commit)
  }

  /** Committed rows that are not in the log yet. */
  get waiting(): number {
    return this.#watches.reduce((sum, { waiting }) => sum + waiting, 0)
  }

  checkAll(): void {
    for (const watch of this.#watches) watch.checkAll()
  }

  async #write(
    database: SimulatedDatabase,
    { rows, atMs }: { readonly rows: number; readonly atMs: number },
  ): Promise<void> {
    this.#underWay += 1
    const { scheduler } = this.#options
    await scheduler.sleep(atMs)
    // Who lost its connection does its work again, in another transaction.
    while (!(await this.#transact(database, rows))) {
      await scheduler.sleep(this.#random.next() * AGAIN_MS_MAX)
    }
    this.#underWay -= 1
  }

  /** One transaction; false when it could not be begun, or was lost. */
  async #transact(database: SimulatedDatabase, rows: number): Promise<boolean> {
    const { scheduler, dice } = this.#options
    const transaction = await database.begin()
    if (!transaction) return false
    for (let row = 0; row < rows; row++) {
      await scheduler.sleep(this.#random.next() * STEP_MS_MAX)
      if (!transaction.isOpen) return false
      await this.#emit(database, transaction)
      if (!transaction.isOpen) return false
    }
    const isHanging = dice.happens('outboxHangs')
    if (isHanging) await this.#hang(dice.random('outboxHangs').next())
    await scheduler.sleep(this.#random.next() * COMMIT_MS_MAX)
    if (!transaction.isOpen) return false
    // What has hung for long is often given up, with its number long passed.
    const isGivenUp = isHanging && this.#random.next() < GIVEN_UP
    if (isGivenUp || dice.happens('outboxRollbacks')) transaction.rollback()
    else transaction.commit()
    return true
  }

  async #emit({ source }: SimulatedDatabase, transaction: SimulatedTransaction): Promise<void> {
    const { dice, emitted } = this.#options
    const random = this.#random
    const index = randomInteger(random, 0, source.accepts.length - 1)
    const contract = must(source.accepts[index], 'an outbox accepts a contract')
    if (dice.happens('outboxInvalid')) {
      const id = this.#ids.next('msg')
      transaction.write({ id, type: contract.name, key: 'none', payload: '{"written": "by hand' })
      return
    }
    const schema = contract.versions.get(contract.latest) ?? {}
    const data = emitted?.(contract, random, this.#emitted++) ?? makeExample(schema, random)
    const kernel = { clock: this.#clock, ids: this.#ids }
    // It waits for the lock of its key, and may lose its connection meanwhile.
    await outbox(transaction.handle, { kernel })
      .emitMany([{ contract, data }])
      .catch((error: unknown) => {
        if (transaction.isOpen) throw error
      })
  }

  /** Minutes, in which numbers are drawn behind it and committed; over when the faults stop. */
  #hang(share: number): Promise<void> {
    if (this.#isHealed) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.#options.scheduler.at(share * HANG_MS_MAX, resolve)
      this.#onHealed.push(() => {
        timer.cancel()
        resolve()
      })
    })
  }
}
