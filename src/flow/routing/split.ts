import type { AnyContract, Consumer, Draft, PayloadOf } from '../../contract/index.ts'
import { emitDeclared, routeConsumer, type RouteOptions } from './route-consumer.ts'

export interface SplitOptions<C extends AnyContract, Item> extends RouteOptions<C> {
  /** The contract of one part. */
  readonly into: AnyContract & { of(data: Item): Draft }
  /** The parts, at most LIMITS.emitsPerMessageMax; each is a message, in this order. */
  readonly items: (data: PayloadOf<C>) => readonly Item[]
}

/** Makes several messages of one, all of them or none. */
export const split = <C extends AnyContract, Item>(
  name: string,
  options: SplitOptions<C, Item>,
): Consumer => {
  const { into, items } = options
  return routeConsumer(name, options, {
    route: { pattern: 'split', emits: into, facts: {}, tables: [] },
    handle: async (data, ctx) =>
      emitDeclared(
        ctx,
        into,
        items(data).map((item) => into.of(item)),
      ),
  })
}
