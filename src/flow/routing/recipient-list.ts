import type { AnyContract, Consumer, Draft, PayloadOf } from '../../contract/index.ts'
import { type Emits, emitDeclared, routeConsumer, type RouteOptions } from './route-consumer.ts'

export interface RecipientListOptions<C extends AnyContract> extends RouteOptions<C> {
  readonly emits: Emits
  /** All that are to be sent, at most LIMITS.emitsPerMessageMax; none is fine. */
  readonly to: (data: PayloadOf<C>) => readonly Draft[]
}

/** Sends each message to a list of recipients that it decides itself, all of them or none. */
export const recipientList = <C extends AnyContract>(
  name: string,
  options: RecipientListOptions<C>,
): Consumer => {
  const { emits, to } = options
  return routeConsumer(name, options, {
    route: { pattern: 'recipient-list', emits, facts: {}, tables: [] },
    handle: async (data, ctx) => emitDeclared(ctx, emits, to(data)),
  })
}
