import {
  type AnyContract,
  type Consumer,
  type Draft,
  type PayloadOf,
} from '../../contract/index.ts'
import { type Emits, emitDeclared, routeConsumer, type RouteOptions } from './route-consumer.ts'

export interface ContentRouteOptions<C extends AnyContract> extends RouteOptions<C> {
  readonly emits: Emits
  /** The first whose `when` is true takes the message. */
  readonly to: readonly {
    readonly when: (data: PayloadOf<C>) => boolean
    readonly emit: (data: PayloadOf<C>) => Draft
  }[]
  /** What becomes of a message that none takes: a dead letter, nothing, or another message. */
  readonly otherwise: 'dead-letter' | 'discard' | ((data: PayloadOf<C>) => Draft)
}

/** No rule of a route takes the message, and it says that this is an error. */
export class NoRoute extends Error {
  override readonly name = 'NoRoute'
}

/** Sends each message on by what it says: the first rule that fits, and a word for the rest. */
export const contentRoute = <C extends AnyContract>(
  name: string,
  options: ContentRouteOptions<C>,
): Consumer => {
  const { to, otherwise, emits } = options
  const rest = typeof otherwise === 'function' ? 'emit' : otherwise
  return routeConsumer(
    name,
    // Nothing changes by a retry: the data stay what they are.
    { ...options, permanent: [...(options.permanent ?? []), NoRoute] },
    {
      route: {
        pattern: 'content-route',
        emits,
        facts: { rules: to.length, otherwise: rest },
        tables: [],
      },
      handle: async (data, ctx) => {
        const rule = to.find(({ when }) => when(data))
        if (rule) return emitDeclared(ctx, emits, [rule.emit(data)])
        if (typeof otherwise === 'function') return emitDeclared(ctx, emits, [otherwise(data)])
        if (otherwise === 'dead-letter') throw new NoRoute(`no rule of ${name} takes this message`)
      },
    },
  )
}
