import type { AnyContract, Consumer, Draft, PayloadOf } from '../../contract/index.ts'
import { emitDeclared, type Emits, routeConsumer, type RouteOptions } from './route-consumer.ts'

export interface WireTapOptions<C extends AnyContract> extends RouteOptions<C> {
  readonly emits: Emits
  readonly emit: (data: PayloadOf<C>) => Draft
}

/**
 * Copies messages elsewhere, for audit or analysis. What goes wrong with the copy never holds what
 * is copied, and by default not the copies behind it either: `afterDeadLetter` is `skip`.
 */
export const wireTap = <C extends AnyContract>(
  name: string,
  options: WireTapOptions<C>,
): Consumer => {
  const { emits, emit } = options
  return routeConsumer(
    name,
    { ...options, afterDeadLetter: options.afterDeadLetter ?? 'skip' },
    {
      route: { pattern: 'wire-tap', emits, facts: {}, tables: [] },
      handle: async (data, ctx) => emitDeclared(ctx, emits, [emit(data)]),
    },
  )
}
