import { describe, expect, it } from 'vitest'
import { Declined, saga } from '../contract/index.ts'
import {
  createSagaWorld,
  deathAt,
  does,
  order,
  OrderPlaced,
  orderSaga,
  PaymentCaptured,
  publishOnce,
  sagaParts,
  type SagaWorld,
  Ship,
  survive,
} from './order-saga.fixture.ts'
import { owners } from './world.fixture.ts'

const MINUTE = 60_000
/** More than a story takes until its run has ended; what follows is of the runtime. */
const COMMITS = 30

interface Story {
  readonly name: string
  readonly parts: ReturnType<typeof sagaParts>
  act(world: SagaWorld): Promise<void>
  readonly ledger: readonly string[]
  readonly state: string
}

const stories: readonly Story[] = [
  {
    name: 'that ends well',
    parts: sagaParts(),
    act: async (world) => {
      await publishOnce(world, OrderPlaced)
      await world.pass(500)
      if (world.isUp) await publishOnce(world, PaymentCaptured)
      await world.pass(2 * MINUTE)
    },
    ledger: ['stock.reserve', 'payments.charge', 'parcels.create'],
    state: 'completed',
  },
  {
    name: 'that is taken back after a timeout',
    parts: sagaParts(),
    act: async (world) => {
      await publishOnce(world, OrderPlaced)
      await world.pass(20 * MINUTE)
    },
    ledger: ['stock.reserve', 'payments.charge', 'payments.refund', 'stock.release'],
    state: 'compensated',
  },
  {
    name: 'whose last step is declined',
    parts: sagaParts(
      orderSaga,
      does(Ship, null, () => new Declined('NoCarrier', { code: 'x' })),
    ),
    act: async (world) => {
      await publishOnce(world, OrderPlaced)
      await world.pass(500)
      if (world.isUp) await publishOnce(world, PaymentCaptured)
      await world.pass(2 * MINUTE)
    },
    ledger: [
      'stock.reserve',
      'payments.charge',
      'no parcels.create',
      'payments.refund',
      'stock.release',
    ],
    state: 'compensated',
  },
]

describe.each(stories)('a saga $name', (story) => {
  it.each([false, true])(
    'takes the same way whenever the process dies, each effect once (S1, S13, F150, F153, always suspended: %s, F160)',
    async (alwaysSuspend) => {
      // Always suspended, every third: it takes the same commits.
      const step = alwaysSuspend ? 3 : 1
      let deaths = 0
      for (let nth = 1; nth <= COMMITS; nth += step) {
        for (const point of ['before-commit', 'after-commit'] as const) {
          const world = createSagaWorld(nth)
          const { fault, happened } = deathAt(world, nth, point)
          await survive(world, story.parts, {
            options: { fault, alwaysSuspend },
            act: () => story.act(world),
          })

          const run = await world.run('a')
          const seen = { state: run?.state, ledger: await world.ledger('a'), nth, point }
          expect(seen).toEqual({ state: story.state, ledger: story.ledger, nth, point })
          if (happened()) deaths += 1
          // It may die here as well.
          await world.orGone(world.runtime.close())
        }
      }
      expect(deaths).toBeGreaterThan(alwaysSuspend ? 14 : 40)
    },
    120_000,
  )
})

describe('an effect outside', () => {
  it('is repeated with the same key after a crash, and never once its result is durable (S1, F151)', async () => {
    const calls: string[] = []
    const effects = saga(
      'order',
      { version: 1, owner: owners, on: OrderPlaced, uses: [PaymentCaptured], from: 'earliest' },
      async (s) => {
        const one = await s.run('one', async ({ idempotencyKey }) => calls.push(idempotencyKey))
        const two = await s.run('two', async ({ idempotencyKey }) => calls.push(idempotencyKey))
        return { one, two }
      },
    )
    const act = async (world: SagaWorld): Promise<void> => {
      await publishOnce(world, OrderPlaced)
      await world.pass(2 * MINUTE)
    }
    for (let nth = 1; nth <= 8; nth++) {
      for (const point of ['before-commit', 'after-commit'] as const) {
        calls.length = 0
        const world = createSagaWorld(nth)
        await survive(world, [effects], {
          options: { fault: deathAt(world, nth, point).fault },
          act: () => act(world),
        })

        expect((await world.run('a'))?.state).toBe('completed')
        const keys = calls.map((key) => key.replace(/^run_\w+\./, ''))
        // The one that ran while the process died may be repeated; with it, nothing before it.
        expect(keys.join(' ')).toMatch(/^one#1( one#1)? two#1( two#1)?$/)
        expect(keys.length).toBeLessThanOrEqual(3)
        expect(new Set(calls).size).toBe(2)
        await world.orGone(world.runtime.close())
      }
    }
  }, 60_000)

  it('of once is in doubt after a crash, and verify or a person says what became of it (S1)', async () => {
    for (const verdict of ['happened', 'not', 'nobody'] as const) {
      let runs = 0
      const world = createSagaWorld()
      const once = saga(
        'order',
        { version: 1, owner: owners, on: OrderPlaced, uses: [], from: 'earliest' },
        async (s) => {
          const sent = await s.run(
            'mail',
            async () => {
              runs += 1
              if (runs === 1) {
                world.crash()
                await new Promise(() => undefined)
              }
              return 'sent'
            },
            {
              effect: 'once',
              ...(verdict !== 'nobody' && {
                verify: async () =>
                  verdict === 'happened'
                    ? { happened: true as const, output: 'found' }
                    : { happened: false as const },
              }),
            },
          )
          return sent
        },
      )
      await survive(world, [once], {
        options: {},
        act: async () => {
          await publishOnce(world, OrderPlaced)
          await world.pass(MINUTE)
        },
      })

      const run = await world.run('a')
      if (verdict === 'happened') expect(run).toMatchObject({ output: 'found' })
      if (verdict === 'not') expect(run).toMatchObject({ output: 'sent' })
      expect(runs).toBe(verdict === 'not' ? 2 : 1)
      if (verdict === 'nobody') {
        expect(run).toMatchObject({ state: 'paused', problem: { kind: 'in-doubt' } })
        const skip = { saga: 'order', key: 'a', step: 'mail#1', value: 'by hand' } as const
        await world.operate({ kind: 'saga.skip-step', ...skip })
        await world.pass(1_000)
        expect(await world.run('a')).toMatchObject({ state: 'completed', output: 'by hand' })
        expect(runs).toBe(1)
      }
      await world.runtime.close()
    }
  })
})

describe('a sleep', () => {
  it('of thirty days wakes once and on time over restarts (F157)', async () => {
    const world = createSagaWorld()
    const patient = saga(
      'order',
      { version: 1, owner: owners, on: OrderPlaced, uses: [], from: 'earliest' },
      async (s) => {
        const before = s.now()
        await s.sleep('30d')
        return (s.now() - before) / 86_400_000
      },
    )
    let runtime = await world.begin([patient])
    await runtime.publish(OrderPlaced.of(order('a')))
    const DAY = 24 * 60 * MINUTE
    for (const days of [7, 14, 8]) {
      await world.pass(MINUTE)
      expect((await world.run('a'))?.state).toBe('running')
      if (days === 14) world.crash()
      else await runtime.close()
      await world.pass(days * DAY)
      runtime = await world.begin([patient])
    }
    await world.pass(DAY - 4 * MINUTE)
    expect((await world.run('a'))?.state).toBe('running')
    await world.pass(5 * MINUTE)

    const run = await world.run('a')
    expect(run?.state).toBe('completed')
    expect(Number(run?.output)).toBeCloseTo(30, 2)
    expect(run?.repeats).toBe(0)
    await runtime.close()
  })
})
