import type { Consumer, ConsumerPolicy } from '../contract/index.ts'
import type { ReplayRow } from '../store/index.ts'
import type { ReplayFilter, ReplayPlan } from './commands.ts'
import { createWorld, effect, type Order, placedConsumer, type World } from './world.fixture.ts'

/** One attempt, so that a failure is a dead letter at once. */
export const quick: Pick<ConsumerPolicy, 'retry'> = { retry: { attempts: 1, first: 0, max: '1s' } }
export const guarded: Pick<ConsumerPolicy, 'retry' | 'replay'> = { ...quick, replay: 'guarded' }

/** Orders 0, 1, 2 … over a number of keys, which is every order its own when it is left out. */
export const numbers = (count: number, keys: number = count): readonly Order[] =>
  Array.from({ length: count }, (_, n) => ({ key: `k${n % keys}`, n }))

/** A consumer that has one effect for each run of its handler. */
export const effector = (name: string, options: Partial<ConsumerPolicy>): Consumer =>
  placedConsumer(name, options, async (order, ctx) => void (await effect(name, order, ctx)))

const PUBLISH_MAX = 1_000

/** A world whose consumers are through with `orders`. */
export const worldAfter = async (
  parts: readonly Consumer[],
  orders: readonly Order[],
): Promise<World> => {
  const world = createWorld()
  await world.start(parts)
  for (let from = 0; from < orders.length; from += PUBLISH_MAX) {
    await world.publish(...orders.slice(from, from + PUBLISH_MAX))
  }
  await world.runtime.idle()
  return world
}

export type PlannedReplay = ReplayRow & { readonly plan: ReplayPlan }

export const plan = async (
  world: World,
  filter: ReplayFilter,
  ratePerSecond = 10_000,
): Promise<PlannedReplay> => {
  const { result } = await world.operate({ kind: 'replay.plan', filter, ratePerSecond })
  // What a plan operation gives is the replay's row.
  return result as PlannedReplay
}

/** `token` is what a guarded replay needs. */
export const run = async (
  world: World,
  { id, token }: { readonly id: string; readonly token?: string },
): Promise<void> =>
  void (await world.operate({ kind: 'replay.run', id, ...(token !== undefined && { token }) }))

/** Plans and runs at once. */
export const replay = async (
  world: World,
  filter: ReplayFilter,
  ratePerSecond?: number,
): Promise<PlannedReplay> => {
  const row = await plan(world, filter, ratePerSecond)
  await run(world, row)
  return row
}

export const stateOf = (world: World, { id }: ReplayRow): Promise<ReplayRow | undefined> =>
  world.runtime.replay(id)
