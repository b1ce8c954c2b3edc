import { describe, expect, it } from 'vitest'
import {
  consumer,
  event,
  integration,
  jsonSchema,
  sql,
  webhook,
  system,
  unsigned,
} from '../contract/index.ts'
import { bodyOfBytes } from '../ingress/index.ts'
import { createMemoryDisk, createMemoryStore } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createRuntime } from './create-runtime.ts'
import { createWorld, effect, owners, Placed, placedConsumer, policy } from './world.fixture.ts'

describe('createRuntime', () => {
  it('refuses an integration that does not say what it must, with every finding, and touches no store (M40)', async () => {
    const kernel = createVirtualKernel()
    const disk = createMemoryDisk()
    const store = createMemoryStore({ clock: kernel.clock, disk })
    const { retry: _, replay: __, ...rest } = policy
    // What a program in JavaScript may write.
    const silent = consumer('silent', {
      ...rest,
      on: Placed,
      handle: () => Promise.resolve(),
    } as never)
    const built = integration('demo', { parts: [silent] })

    const refusal = createRuntime(built, { kernel, store })

    await expect(refusal).rejects.toMatchObject({
      code: 'JUNCTURA_REFUSED_START',
      details: { count: 2 },
    })
    await expect(refusal).rejects.toThrow('replay')
    expect(await store.row('meta', 'epoch')).toBeUndefined()
  })

  it('gives the store back when the start fails, so that the next one can open it', async () => {
    const kernel = createVirtualKernel()
    const disk = createMemoryDisk()
    const open = () => createMemoryStore({ clock: kernel.clock, disk })
    const broken = integration('demo', {
      parts: [],
      tables: [sql({ name: 'broken', sqlite: 'create nonsense' })],
    })
    await expect(createRuntime(broken, { kernel, store: open() })).rejects.toThrow()

    const runtime = await createRuntime(integration('demo', { parts: [] }), {
      kernel,
      store: open(),
    })

    expect(runtime.readiness()).toEqual({ ready: true, reasons: [] })
    await runtime.close()
    expect(runtime.readiness().ready).toBe(false)
  })

  it('keeps each model that was started, and gives each start its number', async () => {
    const world = createWorld()
    const one = placedConsumer('one', {}, (order, ctx) =>
      effect('one', order, ctx).then(() => undefined),
    )
    await world.start([one])
    const first = world.runtime.model.hash
    await world.runtime.close()
    await world.start([one, placedConsumer('two', {}, () => Promise.resolve())])
    const second = world.runtime.model.hash
    await world.runtime.close()

    const store = createMemoryStore({ clock: world.clock, disk: world.disk })
    expect(first).not.toBe(second)
    expect(await store.row('models', first)).toBeDefined()
    expect(await store.row('models', second)).toBeDefined()
    expect(
      (await store.scan({ collection: 'starts', limit: 10 })).map(({ row }) => row),
    ).toMatchObject([
      { epoch: 1, modelHash: first },
      { epoch: 2, modelHash: second },
    ])
  })

  it('hands nothing to a consumer of a partner contract for a request whose transform made no event', async () => {
    const world = createWorld()
    const Partner = event('partner.said', {
      owner: owners,
      key: 'id',
      versions: {
        1: jsonSchema<{ id: string }>({
          type: 'object',
          required: ['id'],
          properties: { id: { type: 'string' } },
        }),
      },
    })
    const seen: unknown[] = []
    const listener = consumer('listener', {
      ...policy,
      on: Partner,
      handle: async (data) => void seen.push(data),
    })
    const hook = webhook('partner', {
      from: system('partner', { owner: owners }),
      path: '/webhooks/partner',
      verify: unsigned({ reason: 'a test' }),
      accepts: Partner,
      retriesFor: '1h',
      idempotency: { retention: '7d' },
      emit: (data) => (data.id === 'silent' ? [] : Partner.of(data)),
    })
    const runtime = await world.start([], {
      build: () => integration('demo', { parts: [hook, listener] }),
    })
    for (const id of ['silent', 'loud']) {
      const response = await runtime.ingress.handle({
        method: 'POST',
        target: '/webhooks/partner',
        rawHeaders: ['content-type', 'application/json'],
        body: bodyOfBytes(Buffer.from(JSON.stringify({ id }))),
        remoteAddress: '127.0.0.1',
      })
      expect(response).toMatchObject({ status: 202 })
    }
    await runtime.idle()

    expect(seen).toEqual([{ id: 'loud' }])
    expect((await runtime.overview()).deadLettersOpen).toBe(0)
  })
})
