import {
  consumer,
  type Consumer,
  type Contract,
  event,
  type Integration,
  integration,
  jsonSchema,
  type Part,
} from '../contract/index.ts'
import type { Runtime } from './runtime-port.ts'
import {
  createWorld,
  effect,
  EFFECTS,
  owners,
  Placed,
  policy,
  Shipped,
  type Order,
  type StartOptions,
  type World,
} from './world.fixture.ts'

export interface Basket {
  readonly key: string
  readonly sizes: readonly number[]
}

export const Summed: Contract<'baskets.summed', { readonly 1: Basket }, 1> = event(
  'baskets.summed',
  {
    owner: owners,
    key: 'key',
    versions: {
      1: jsonSchema<Basket>({
        type: 'object',
        required: ['key', 'sizes'],
        properties: {
          key: { type: 'string' },
          sizes: { type: 'array', items: { type: 'number' } },
        },
      }),
    },
  },
)

const shipped = consumer('shipped', {
  ...policy,
  on: Shipped,
  handle: async (order, ctx) => {
    await effect('shipped', order, ctx)
  },
})

const summed = consumer('summed', {
  ...policy,
  on: Summed,
  handle: async ({ key, sizes }, ctx) => {
    await effect('summed', { key: `${key}:${sizes.join('+')}`, n: sizes.length }, ctx)
  },
})

export const build =
  (parts: readonly Part[]): (() => Integration) =>
  () =>
    integration('demo', { parts: [Placed, shipped, summed, ...parts], tables: [EFFECTS] })

export const start = (
  world: World,
  parts: readonly Part[],
  options: StartOptions = {},
): Promise<Runtime> => world.start([], { ...options, build: build(parts) })

export const orders = (...texts: readonly string[]): readonly Order[] =>
  texts.map((text) => {
    const [key = '', n] = text.split(':')
    return { key, n: Number(n) }
  })

/** Runs the route over the orders, and says what came out, in order. */
export const run = async (
  route: Consumer,
  ...texts: readonly string[]
): Promise<readonly string[]> => {
  const world = createWorld()
  await start(world, [route])
  await world.publish(...orders(...texts))
  await world.runtime.idle()
  return world.effects()
}
