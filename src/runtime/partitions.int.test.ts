import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresEngine, startPostgres } from '../../test/engines/postgres.ts'
import {
  type Consumer,
  consumer,
  type ConsumerContext,
  integration,
  sql,
} from '../contract/index.ts'
import { createSystemClock, must, silentLogger, sleep } from '../kernel/index.ts'
import { createRuntime, type Role, type Runtime } from './index.ts'
import { type Order, Placed, policy } from './world.fixture.ts'

let server: PostgresEngine
let schemas = 0
const open: Runtime[] = []
const clock = createSystemClock()
const { signal } = new AbortController()

beforeAll(async () => {
  server = await startPostgres({ settings: { max_connections: '150' } })
})

afterAll(async () => {
  await server.stop()
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close(1_000)))
})

const TABLE =
  'create table if not exists part_effects (seq bigserial, space text, who text, key text, n integer)'

const EFFECTS = sql({ sqlite: TABLE, postgres: TABLE })

interface Handled {
  readonly who: string
  readonly order: Order
  readonly ctx: ConsumerContext
}

type Work = (handled: Handled) => Promise<unknown>

const insert: Work = ({ who, order, ctx }) =>
  ctx.tx((db) =>
    db.run(
      'insert into part_effects (space, who, key, n) values ($1, $2, $3, $4)',
      `parts_${schemas}`,
      who,
      order.key,
      order.n,
    ),
  )

type Declare = (who: string) => readonly Consumer[]

/** One hot consumer. */
const hot =
  (partitions: number, work: Work = insert, more: Partial<Consumer> = {}): Declare =>
  (who) => [
    consumer('hot', {
      ...policy,
      partitions,
      on: Placed,
      handle: async (order, ctx) => void (await work({ who, order, ctx })),
      ...(more.was && { was: more.was }),
    }),
  ]

const start = async (
  who: string,
  declare: Declare,
  roles: readonly Role[] = ['worker', 'console', 'gateway'],
): Promise<Runtime> => {
  const parts = integration('parts', { parts: declare(who), tables: [EFFECTS] })
  const store = { engine: 'postgres', url: server.url, schema: `parts_${schemas}` } as const
  const runtime = await createRuntime(parts, {
    store,
    roles,
    log: silentLogger,
    send: () => Promise.resolve(),
  })
  open.push(runtime)
  return runtime
}

const stop = async (runtime: Runtime): Promise<void> => {
  open.splice(open.indexOf(runtime), 1)
  await runtime.close()
}

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  const from = clock.monotonicMs()
  while (!(await holds())) {
    if (clock.monotonicMs() - from > 20_000) throw new Error('it did not come to hold')
    await sleep(clock, 20, signal)
  }
}

const effects = async (): Promise<readonly { who: string; key: string; n: number }[]> => {
  const client = new Client({ connectionString: server.url })
  await client.connect()
  try {
    const query = 'select who, key, n from part_effects where space = $1 order by seq'
    return (await client.query(query, [`parts_${schemas}`])).rows
  } finally {
    await client.end()
  }
}

/** How many partitions each process runs, in the order of the processes. */
const spread = (runtimes: readonly Runtime[]): Promise<readonly number[]> =>
  Promise.all(
    runtimes.map(async (runtime) => {
      const all = (await runtime.consumers()).flatMap(({ partitions }) => partitions)
      return all.filter(({ mode }) => mode !== 'elsewhere' && mode !== 'standing-by').length
    }),
  )

/** Publishes numbered orders until it is told to stop, and says how many. */
const load = (gateway: () => Runtime, keys = 40): { stop(): Promise<number> } => {
  let isOver = false
  let n = 0
  const running = (async () => {
    while (!isOver) {
      await gateway().publishMany(
        Array.from({ length: 10 }, () => Placed.of({ key: `k${n % keys}`, n: n++ })),
      )
      await sleep(clock, 5, signal)
    }
  })()
  return {
    async stop() {
      isOver = true
      await running
      return n
    },
  }
}

const expectEachOnceInOrder = async (count: number): Promise<void> => {
  await until(async () => (await effects()).length >= count)
  const all = await effects()
  expect(new Set(all.map(({ n }) => n)).size).toBe(count)
  expect(all.length).toBe(count)
  const last = new Map<string, number>()
  for (const { key, n } of all) {
    expect(n).toBeGreaterThan(last.get(key) ?? -1)
    last.set(key, n)
  }
}

describe('partitions of consumers on a shared store', () => {
  it('spread over workers that come and go under load: nothing lost, doubled or out of order (M39, F15)', async () => {
    schemas += 1
    const gateway = await start('gateway', hot(8), ['gateway'])
    const first = await start('w0', hot(8))
    expect(await spread([first])).toEqual([8])
    const running = load(() => gateway)

    const workers = [first]
    for (const who of ['w1', 'w2', 'w3']) workers.push(await start(who, hot(8)))
    await until(async () => (await spread(workers)).join() === '2,2,2,2')
    for (const one of workers.slice(0, 3)) await stop(one)
    const last = must(workers[3], 'four workers were started')
    await until(async () => (await spread([last])).join() === '8')
    const count = await running.stop()

    await expectEachOnceInOrder(count)
    expect(new Set((await effects()).map(({ who }) => who)).size).toBe(4)
  }, 60_000)

  it('of different consumers run in different workers without being asked to', async () => {
    schemas += 1
    const two: Declare = (who) =>
      ['one', 'other'].map((name) =>
        consumer(name, {
          ...policy,
          on: Placed,
          handle: (order, ctx) => insert({ who, order, ctx }).then(() => undefined),
        }),
      )
    const workers = [await start('w0', two), await start('w1', two)]
    await until(async () => (await spread(workers)).join() === '1,1')

    await workers[0]?.publish(Placed.of({ key: 'a', n: 1 }))

    await until(async () => (await effects()).length === 2)
    expect(new Set((await effects()).map(({ who }) => who)).size).toBe(2)
    const modes = (await workers[0]?.consumers())?.map(({ mode }) => mode)
    expect(modes?.toSorted()).toEqual(['elsewhere', 'running'])
  }, 60_000)

  it('are given to another worker when what runs there is finished', async () => {
    schemas += 1
    const finish = Promise.withResolvers<void>()
    const slow: Work = async (handled) => {
      if (handled.who === 'w0') await finish.promise
      await insert(handled)
    }
    const first = await start('w0', hot(2, slow))
    // Of the partition that is given back, and of the one that stays.
    for (const key of ['a', 'b', 'c', 'd']) await first.publish(Placed.of({ key, n: 0 }))
    await until(async () => ((await first.consumers())[0]?.inFlight ?? 0) === 4)
    const second = await start('w1', hot(2, slow))
    await sleep(clock, 1_500, signal)
    expect(await spread([second])).toEqual([0])

    finish.resolve()

    await until(async () => (await spread([first, second])).join() === '1,1')
    const all = await effects()
    expect(all.map(({ who, key }) => `${who} ${key}`).toSorted()).toEqual([
      'w0 a',
      'w0 b',
      'w0 c',
      'w0 d',
    ])
  }, 60_000)

  it('cut off what takes too long; its handler writes nothing after that (F16)', async () => {
    schemas += 1
    const finish = Promise.withResolvers<void>()
    const late: Promise<unknown>[] = []
    const stuck: Work = async (handled) => {
      if (handled.who !== 'w0') return insert(handled)
      await finish.promise
      const tried = insert(handled).catch((error: unknown) => error)
      late.push(tried)
      return tried
    }
    const first = await start('w0', hot(64, stuck))
    const keys = Array.from({ length: 16 }, (_, at) => `k${at}`)
    await first.publishMany(keys.map((key) => Placed.of({ key, n: 0 })))
    await until(async () => ((await first.consumers())[0]?.inFlight ?? 0) === 16)
    const second = await start('w1', hot(64, stuck))
    await until(async () => (await spread([first, second])).join() === '32,32')

    finish.resolve()

    await until(async () => (await effects()).length === 16)
    const all = await effects()
    expect(all.map(({ key }) => key).toSorted()).toEqual(keys.toSorted())
    const moved = all.filter(({ who }) => who === 'w1').length
    expect(moved).toBeGreaterThan(0)
    const refused = (await Promise.all(late)).filter((one) => one instanceof Error)
    expect(refused.length).toBe(moved)
    for (const one of refused) expect(one).toMatchObject({ code: 'JUNCTURA_ATTEMPT_OVER' })
  }, 60_000)

  it('may become more, or fewer, from one start to the next, and lose and repeat nothing', async () => {
    schemas += 1
    let count = 0
    for (const partitions of [1, 8, 3, 64, 2]) {
      // Some lie behind: their progress is not even.
      const uneven: Work = async (handled) => {
        await sleep(clock, handled.order.key.length > 2 ? 8 : 0, signal)
        await insert(handled)
      }
      const worker = await start(`p${partitions}`, hot(partitions, uneven))
      const orders = Array.from({ length: 300 }, () => {
        const n = count++
        return Placed.of({ key: `k${n % 23}`, n })
      })
      await worker.publishMany(orders)
      await sleep(clock, 60, signal)
      await stop(worker)
    }
    await start('last', hot(8))

    await expectEachOnceInOrder(count)
  }, 60_000)

  it('are not run by two versions that divide them differently: the later waits', async () => {
    schemas += 1
    const old = await start('old', hot(2))
    const next = await start('new', hot(8))
    await old.publish(Placed.of({ key: 'a', n: 1 }))
    await until(async () => (await effects()).length === 1)
    await sleep(clock, 1_200, signal)
    expect(await spread([next])).toEqual([0])

    await stop(old)
    await until(async () => (await spread([next])).join() === '8')
    await next.publish(Placed.of({ key: 'a', n: 2 }))

    await until(async () => (await effects()).length === 2)
    expect((await effects()).map(({ who, n }) => `${who} ${n}`)).toEqual(['old 1', 'new 2'])
  }, 60_000)

  it('keep what a renamed consumer had', async () => {
    schemas += 1
    const old = await start('old', (who) =>
      hot(4)(who).map((one) => Object.assign({}, one, { name: 'cold' })),
    )
    await old.publishMany([1, 2, 3].map((n) => Placed.of({ key: `k${n}`, n })))
    await until(async () => (await effects()).length === 3)
    await stop(old)

    const next = await start('new', hot(8, insert, { was: ['cold'] }))
    await next.publish(Placed.of({ key: 'k1', n: 4 }))

    await expectEachOnceInOrder(4)
  }, 60_000)
})

const by = { actor: 'on-call', reason: 'a test', origin: 'test' }

/** Fails until it is told otherwise, so that it becomes a dead letter at once. */
const failing =
  (state: { isBroken: boolean }): Work =>
  async (handled) => {
    if (state.isBroken) throw new Error('the ledger is closed')
    await insert(handled)
  }

describe('what people ask of any process', () => {
  const brittle =
    (work: Work): Declare =>
    (who) => [
      consumer('hot', {
        ...policy,
        retry: { attempts: 1, first: '1s', max: '1s' },
        partitions: 4,
        on: Placed,
        handle: async (order, ctx) => void (await work({ who, order, ctx })),
      }),
    ]

  const withDeadLetters = async (state: { isBroken: boolean }) => {
    schemas += 1
    const work = brittle(failing(state))
    const gateway = await start('gateway', work, ['gateway', 'console'])
    const workers = [await start('w0', work), await start('w1', work)]
    await until(async () => (await spread(workers)).join() === '2,2')
    await gateway.publishMany([0, 1, 2, 3, 4, 5, 6, 7].map((n) => Placed.of({ key: `k${n}`, n })))
    await until(async () => (await gateway.deadLetterGroups())[0]?.count === 8)
    return { gateway, workers }
  }

  it('is done by the workers that have it: dead letters are tried again and dropped (A8)', async () => {
    const state = { isBroken: true }
    const { gateway } = await withDeadLetters(state)
    const letters = (await gateway.deadLetters({})).items
    state.isBroken = false
    const dropped = must(letters[0], 'there are eight').id

    const drop = await gateway.operate({ kind: 'dead-letter.drop', ids: [dropped] }, by)
    const cause = must(letters[1], 'there are eight').cause
    const retry = await gateway.operate({ kind: 'dead-letter.retry', cause }, by)

    expect(drop).toMatchObject({ state: 'done', result: { dropped: 1 } })
    expect(retry).toMatchObject({ state: 'done', result: { started: 7, refused: 0 } })
    await until(async () => (await effects()).length === 7)
    expect(new Set((await effects()).map(({ who }) => who))).toEqual(new Set(['w0', 'w1']))
    await until(async () => (await gateway.deadLetterGroups()).length === 0)
  }, 60_000)

  it('pauses and resumes a consumer in every worker that has a part of it', async () => {
    schemas += 1
    const gateway = await start('gateway', hot(4), ['gateway', 'console'])
    const workers = [await start('w0', hot(4)), await start('w1', hot(4))]
    await until(async () => (await spread(workers)).join() === '2,2')
    const modesAre = (mode: string) => async () =>
      (await Promise.all(workers.map((one) => one.consumers()))).every(
        ([one]) => one?.mode === mode,
      )

    await gateway.operate({ kind: 'consumer.pause', name: 'hot' }, by)
    await until(modesAre('paused'))
    await gateway.publishMany([0, 1, 2, 3, 4, 5].map((n) => Placed.of({ key: `k${n}`, n })))
    await sleep(clock, 300, signal)
    expect(await effects()).toEqual([])
    await gateway.operate({ kind: 'consumer.resume', name: 'hot' }, by)

    await expectEachOnceInOrder(6)
  }, 60_000)

  it('runs a replay in parts, each where its partition is, and goes on where one stops', async () => {
    const state = { isBroken: true }
    const { gateway, workers } = await withDeadLetters(state)
    state.isBroken = false
    const plan = await gateway.operate({ kind: 'replay.plan', filter: {}, ratePerSecond: 20 }, by)
    expect(plan.state).toBe('done')
    const { id } = must((await gateway.replays({})).items[0], 'it was planned')

    await gateway.operate({ kind: 'replay.run', id }, by)
    await stop(must(workers[0], 'two workers were started'))

    await until(async () => (await gateway.replay(id))?.state === 'done')
    expect(await gateway.replay(id)).toMatchObject({ released: 8, failed: 0, total: 8 })
    await expectEachOnceInOrder(8)
  }, 60_000)

  it('says who has it when no answer comes, and when nobody has it', async () => {
    const { gateway, workers } = await withDeadLetters({ isBroken: true })
    const id = must((await gateway.deadLetters({})).items[0], 'there are eight').id
    for (const one of workers) await stop(one)

    const asking = gateway.operate({ kind: 'dead-letter.retry', ids: [id] }, by)

    await expect(asking).rejects.toMatchObject({
      code: 'JUNCTURA_ROLE_ELSEWHERE',
      message: expect.stringContaining('No process runs hot'),
    })
  }, 60_000)
})
