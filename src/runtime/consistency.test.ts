import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { consumer, type Consumer, type ConsumerContext } from '../contract/index.ts'
import {
  createWorld,
  effect,
  never,
  type Order,
  placedConsumer,
  policy,
  Shipped,
  type World,
} from './world.fixture.ts'

/** What one message does to the process that handles it, attempt by attempt; then it succeeds. */
type Fate = 'ok' | 'throw' | 'die' | 'hang' | 'late-throw' | 'poison'

interface Message {
  readonly key: string
  readonly fates: readonly Fate[]
}

interface Step {
  readonly messages: readonly Message[]
  /** Turns of the loop before the process is killed, or undefined when it lives. */
  readonly killAfterTurns: number | undefined
  readonly isCleanStop: boolean
  readonly passMs: number
  /** Whether somebody tries every dead letter again. */
  readonly isRetried: boolean
  /** Commits that the store refuses, one in three. */
  readonly refusals: number
}

const fate = fc.constantFrom<Fate>('ok', 'throw', 'throw', 'die', 'hang', 'late-throw', 'poison')
const message: fc.Arbitrary<Message> = fc.record({
  key: fc.constantFrom('a', 'b', 'c'),
  fates: fc.oneof(
    { weight: 3, arbitrary: fc.constant<readonly Fate[]>([]) },
    { weight: 2, arbitrary: fc.array(fate, { maxLength: 3 }) },
  ),
})
const step: fc.Arbitrary<Step> = fc.record({
  messages: fc.array(message, { maxLength: 8 }),
  killAfterTurns: fc.option(fc.nat({ max: 40 }), { nil: undefined, freq: 3 }),
  isCleanStop: fc.boolean(),
  passMs: fc.constantFrom(0, 100, 1_500, 20_000),
  isRetried: fc.boolean(),
  refusals: fc.oneof(fc.constant(0), fc.nat({ max: 12 })),
})
const shape = fc.record({
  afterDeadLetter: fc.constantFrom('park' as const, 'skip' as const),
  concurrency: fc.constantFrom(1, 3, 16),
  isBatch: fc.boolean(),
  steps: fc.array(step, { minLength: 1, maxLength: 6 }),
})

/** One history: what was sent, what each message does next, and what the handlers said. */
class History {
  readonly world: World = createWorld()
  readonly #fates = new Map<number, Fate[]>()
  readonly #sent: Order[] = []
  #isPeaceful = false
  #refusals = 0
  #commits = 0

  /** The store's commits fail now and then, for a while. */
  readonly fault = async (point: string): Promise<void> => {
    if (point !== 'before-commit' || this.#refusals === 0 || ++this.#commits % 3 !== 0) return
    this.#refusals -= 1
    throw new Error('refused')
  }

  refuse(commits: number): void {
    this.#refusals = commits
  }

  get sent(): readonly Order[] {
    return this.#sent
  }

  /** From now on every message succeeds, unless it is poison for good. */
  makePeace(): void {
    this.#refusals = 0
    this.#isPeaceful = true
  }

  async publish(messages: readonly Message[]): Promise<void> {
    for (const { key, fates } of messages) {
      const order = { key, n: this.#sent.length + 1 }
      this.#sent.push(order)
      this.#fates.set(order.n, [...fates])
      await this.world.publish(order)
    }
  }

  async handle(order: Order, complete: () => Promise<unknown>): Promise<void> {
    const fates = this.#fates.get(order.n) ?? []
    const fate = fates[0] === 'poison' ? 'poison' : (fates.shift() ?? 'ok')
    if (this.#isPeaceful && fate !== 'poison') return void (await complete())
    if (fate === 'throw' || fate === 'poison') throw new Error('thrown')
    if (fate === 'die') {
      this.world.crash()
      await never()
    }
    if (fate === 'hang') await never()
    await complete()
    if (fate === 'late-throw') throw new Error('after the tx')
  }
}

const consumersOf = (
  history: History,
  { afterDeadLetter, concurrency, isBatch }: Shape,
): readonly Consumer[] => {
  const shared = {
    afterDeadLetter,
    concurrency,
    timeout: '5s',
    retry: { attempts: 3, first: '1s', max: '2s' },
  } as const
  const one = placedConsumer('one', shared, (order, ctx) =>
    history.handle(order, () => {
      ctx.emit(Shipped.of(order))
      return effect('one', order, ctx)
    }),
  )
  const batch = consumer('one', {
    ...policy,
    ...shared,
    on: one.on as typeof Shipped,
    batch: { max: 4, maxAge: '100ms' },
    handleBatch: async (items, ctx) => {
      // A batch does what the first of its messages with a fate does.
      const complete = (): Promise<unknown> =>
        ctx.tx(async (db) => {
          for (const { data } of items) {
            ctx.emit(Shipped.of(data))
            await db.run(
              'insert into effects(consumer, key, n) values ($1, $2, $3)',
              'one',
              data.key,
              data.n,
            )
          }
        })
      const run = items.reduceRight<() => Promise<unknown>>(
        (rest, { data }) =>
          () =>
            history.handle(data, rest),
        complete,
      )
      await run()
    },
  })
  const audit = consumer('audit', {
    ...policy,
    on: Shipped,
    handle: async (order: Order, ctx: ConsumerContext) => void (await effect('audit', order, ctx)),
  })
  return [isBatch ? batch : one, audit]
}

type Shape = Omit<typeof shape extends fc.Arbitrary<infer S> ? S : never, 'steps'>

/** A supervisor: starts the process again until it stays. */
const ensureUp = async (history: History, parts: readonly Consumer[]): Promise<void> => {
  const { world, fault } = history
  for (let starts = 0; starts < STARTS_MAX && !world.isUp; starts++) {
    if (!(await world.boot(parts, { fault }))) world.crash()
  }
}

const retryAll = async (world: World): Promise<void> => {
  for (const { cause } of await world.runtime.deadLetterGroups()) {
    await world.operate({ kind: 'dead-letter.retry', cause }).catch(() => undefined)
  }
}

const play = async (history: History, kind: Shape, steps: readonly Step[]): Promise<void> => {
  const { world } = history
  const parts = consumersOf(history, kind)
  for (const one of steps) {
    await ensureUp(history, parts)
    history.refuse(one.refusals)
    await world.orGone(history.publish(one.messages).catch(() => undefined))
    // Not awaited: it may have to wait for a store that refuses.
    if (one.isRetried && world.isUp) void retryAll(world).catch(() => undefined)
    if (one.killAfterTurns !== undefined) {
      for (let turn = 0; turn < one.killAfterTurns; turn++) await world.clock.yield()
      if (world.isUp) world.crash()
    }
    await world.pass(one.passMs)
    if (one.isCleanStop && world.isUp) {
      void world.runtime.close(1_000).catch(() => undefined)
      await world.pass(10_000)
      world.crash()
    }
  }
  history.makePeace()
  for (let round = 0; round < 4; round++) {
    await ensureUp(history, parts)
    await world.pass(120_000)
  }
  await ensureUp(history, parts)
  await world.pass(120_000)
  await world.runtime.idle()
}

describe('whatever happens to messages and processes', () => {
  it('each accepted message is in exactly one state, has at most one effect, and keys keep their order', async () => {
    await fc.assert(
      fc.asyncProperty(shape, async ({ steps, ...kind }) => {
        const history = new History()
        await play(history, kind, steps)
        const { world } = history

        const { items } = await world.runtime.messages({ type: 'orders.placed', limit: 500 })
        const effects = await world.effects('one')
        expect(new Set(effects).size).toBe(effects.length)
        const letters = (await world.runtime.deadLetters({ limit: 500 })).items
        const states = { done: 0, dead: 0, parked: 0 }
        for (const { status } of items) {
          expect(['done', 'dead', 'parked']).toContain(status)
          if (status === 'done' || status === 'dead' || status === 'parked') states[status] += 1
        }
        expect(states.done).toBe(effects.length)
        expect(states.dead).toBe(letters.length)
        expect(new Set(letters.map(({ position }) => position)).size).toBe(letters.length)
        if (kind.afterDeadLetter === 'park') {
          for (const key of ['a', 'b', 'c']) {
            const own = effects
              .filter((one) => one.startsWith(`${key}:`))
              .map((one) => Number(one.slice(2)))
            expect(own).toEqual([...own].sort((a, b) => a - b))
          }
        } else expect(states.parked).toBe(0)
        // What was emitted with an effect arrived once, too.
        expect([...(await world.effects('audit'))].sort()).toEqual([...effects].sort())
        const [status] = await world.runtime.consumers()
        expect(status).toMatchObject({
          lag: 0,
          retrying: 0,
          inFlight: 0,
          deadLettersOpen: letters.length,
        })
        const open = (await world.runtime.alerts({ state: 'open' })).items
        expect(open.length).toBe(new Set(letters.map(({ cause }) => cause)).size)
        world.crash()
      }),
      { numRuns: RUNS, timeout: 10_000 },
    )
  }, 120_000)
})

const RUNS = 60
const STARTS_MAX = 60
