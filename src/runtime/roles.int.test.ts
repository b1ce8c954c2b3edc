import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresEngine, startPostgres } from '../../test/engines/postgres.ts'
import { consumer, event, integration, type Integration } from '../contract/index.ts'
import { createSystemClock, must, silentLogger, sleep } from '../kernel/index.ts'
import { serveRuntime } from '../manage/index.ts'
import { createRuntime, type Role, type Runtime } from './index.ts'
import { type Order, orderSchema, owners, policy } from './world.fixture.ts'

let server: PostgresEngine | undefined
let schemas = 0
const open: AsyncDisposable[] = []
const clock = createSystemClock()

beforeAll(async () => {
  server = await startPostgres({ settings: { max_connections: '100' } })
})

afterAll(async () => {
  await server?.stop()
})

afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one[Symbol.asyncDispose]()
})

const Placed = event('orders.placed', { owner: owners, key: 'key', versions: { 1: orderSchema } })

/** The same declaration in every process; `handled` is told which one ran the handler. */
const declare = (handled: (order: Order) => void): Integration =>
  integration('shop', {
    parts: [
      consumer('finance', {
        ...policy,
        on: Placed,
        handle: (order) => Promise.resolve(handled(order)),
      }),
    ],
  })

const start = async (
  roles: readonly Role[],
  handled: (order: Order) => void = () => undefined,
): Promise<Runtime> => {
  const runtime = await createRuntime(declare(handled), {
    store: {
      engine: 'postgres',
      url: must(server, 'the server runs').url,
      schema: `roles_${schemas}`,
    },
    roles,
    log: silentLogger,
    send: () => Promise.resolve(),
  })
  open.push(runtime)
  return runtime
}

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  for (let look = 0; !(await holds()); look++) {
    if (look > 1_000) throw new Error('it did not come to hold')
    await sleep(clock, 10, new AbortController().signal)
  }
}

const modeOf = async (runtime: Runtime): Promise<string | undefined> =>
  (await runtime.consumers())[0]?.mode

describe('processes with roles on one store', () => {
  it('take in one and handle in another, within milliseconds of the commit', async () => {
    schemas += 1
    const arrived = new Map<number, () => void>()
    const gateway = await start(['gateway'])
    await start(['worker'], ({ n }) => arrived.get(n)?.())
    const took: number[] = []

    for (let n = 0; n < 61; n++) {
      await sleep(clock, 5 + (n % 7), new AbortController().signal)
      const handled = new Promise<number>((resolve) =>
        arrived.set(n, () => resolve(clock.monotonicMs())),
      )
      await gateway.publish(Placed.of({ key: `k${n % 5}`, n }))
      const committed = clock.monotonicMs()
      took.push(Math.max(0, (await handled) - committed))
    }

    took.sort((a, b) => a - b)
    console.log('commit to handler: ms p50', took[30]?.toFixed(2), 'p99', took[60]?.toFixed(2))
    // Without a notice it would be half a second; the bench holds what is asked of a quiet machine.
    expect(took[30]).toBeLessThan(100)
  })

  it('run the consumers in one; another stands by and takes over when it stops', async () => {
    schemas += 1
    const ran: string[] = []
    const first = await start(['gateway', 'worker', 'console'], () => ran.push('first'))
    const second = await start(['gateway', 'worker', 'console'], () => ran.push('second'))
    expect([await modeOf(first), await modeOf(second)]).toEqual(['running', 'elsewhere'])
    await second.publish(Placed.of({ key: 'a', n: 1 }))
    await until(() => ran.length === 1)

    await first.close()
    await until(async () => (await modeOf(second)) === 'running')
    await second.publish(Placed.of({ key: 'a', n: 2 }))
    await until(() => ran.length === 2)

    expect(ran).toEqual(['first', 'second'])
  })

  it('answer what is in the store anywhere, take what people ask, and name who runs what', async () => {
    schemas += 1
    const worker = await start(['worker', 'console'])
    const served = await serveRuntime(worker, { port: 0, managementPort: 0 })
    const gateway = await start(['gateway', 'console'])
    const id = await gateway.publish(Placed.of({ key: 'a', n: 1 }))
    const pause = { kind: 'consumer.pause', name: 'finance' } as const
    const by = { actor: 'on-call', reason: 'the ledger is closed', origin: 'test' }

    expect(served.url).toBe('')
    expect((await gateway.message(id))?.consumers[0]?.consumer).toBe('finance')
    expect((await gateway.consumers())[0]?.partitions).toMatchObject([
      {
        slots: '0-63',
        mode: 'elsewhere',
        holder: expect.stringContaining(`process ${process.pid}`),
        managementUrl: served.managementUrl,
      },
    ])
    expect((await gateway.operate(pause, by)).state).toBe('done')
    await until(async () => (await modeOf(worker)) === 'paused')
    expect((await worker.operations({})).items.length).toBe(1)
    await served.close(0)
  })

  it('are refused where one process has the store alone', async () => {
    const starting = createRuntime(
      declare(() => undefined),
      {
        store: { engine: 'memory' },
        roles: ['gateway'],
        log: silentLogger,
      },
    )

    await expect(starting).rejects.toMatchObject({
      code: 'JUNCTURA_USAGE',
      details: { fix: expect.stringContaining('all roles in one process') },
    })
  })

  it('are refused without a worker for messages that no other process would ever see', async () => {
    const Seen = event('orders.seen', {
      owner: owners,
      key: 'key',
      guarantee: 'at-most-once',
      versions: { 1: orderSchema },
    })
    const watching = integration('shop', {
      parts: [consumer('seen', { ...policy, on: Seen, handle: () => Promise.resolve() })],
    })
    schemas += 1
    const starting = createRuntime(watching, {
      store: {
        engine: 'postgres',
        url: must(server, 'the server runs').url,
        schema: `roles_${schemas}`,
      },
      roles: ['gateway'],
      log: silentLogger,
    })

    await expect(starting).rejects.toMatchObject({
      code: 'JUNCTURA_USAGE',
      details: { problem: expect.stringContaining('orders.seen') },
    })
  })
})
