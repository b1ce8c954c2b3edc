import type {
  AnyContract,
  Consumer,
  ConsumerContext,
  Draft,
  PayloadOf,
} from '../../contract/index.ts'
import { emitDeclared, type Emits, routeConsumer, type RouteOptions } from './route-consumer.ts'

export interface EnrichOptions<C extends AnyContract, Found> extends RouteOptions<C> {
  readonly emits: Emits
  /** Finds what is missing; it only reads, because a retry asks again. */
  readonly lookup: (
    data: PayloadOf<C>,
    ctx: Pick<ConsumerContext, 'signal' | 'message'>,
  ) => Promise<Found>
  readonly emit: (data: PayloadOf<C>, found: Found) => Draft
}

/**
 * Adds what a message lacks and sends it on. While the lookup fails its key waits, so the order
 * holds; give `outage` where what it asks may be down for long.
 */
export const enrich = <C extends AnyContract, Found>(
  name: string,
  options: EnrichOptions<C, Found>,
): Consumer => {
  const { emits, lookup, emit } = options
  return routeConsumer(name, options, {
    route: { pattern: 'enrich', emits, facts: {}, tables: [] },
    idempotency: 'natural',
    handle: async (data, ctx) => {
      const found = await lookup(data, ctx)
      emitDeclared(ctx, emits, [emit(data, found)])
    },
  })
}
