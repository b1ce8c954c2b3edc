import {
  type AnyContract,
  type Consumer,
  consumer,
  type ConsumerContext,
  type ConsumerPolicy,
  type Draft,
  type PayloadOf,
  type Route,
} from '../../contract/index.ts'
import { JuncturaError } from '../../kernel/index.ts'

/** What every route takes: the policy of a consumer, most of it with a default. */
export interface RoutePolicy
  extends
    Pick<ConsumerPolicy, 'owner' | 'summary' | 'from' | 'was' | 'permanent' | 'timeout' | 'outage'>,
    Partial<
      Pick<
        ConsumerPolicy,
        'retry' | 'deadLetter' | 'afterDeadLetter' | 'replay' | 'concurrency' | 'partitions'
      >
    > {}

/** A route over one contract. */
export interface RouteOptions<C extends AnyContract> extends RoutePolicy {
  readonly on: C
  /** Messages for which this is false are left out. */
  readonly filter?: (data: PayloadOf<C>) => boolean
}

/** Contracts that a route may emit, as its options name them. */
export type Emits = AnyContract | readonly AnyContract[]

export interface RouteParts<C extends AnyContract> {
  readonly route: Omit<Route, 'emits'> & { readonly emits: Emits }
  readonly idempotency?: ConsumerPolicy['idempotency']
  readonly handle: (data: PayloadOf<C>, ctx: ConsumerContext) => Promise<void>
}

const RETRY: ConsumerPolicy['retry'] = { attempts: 6, first: '1s', factor: 2, max: '1m' }

/**
 * The consumer that a route is: what it emits commits with its progress, so each message is passed
 * on once, in the order of its key, and what fails is retried and then a dead letter.
 */
export const routeConsumer = <C extends AnyContract>(
  name: string,
  options: RouteOptions<C>,
  { route, idempotency = 'transaction', handle }: RouteParts<C>,
): Consumer => {
  const { retry, deadLetter, afterDeadLetter, replay } = options
  const emits = [route.emits].flat()
  const declared = consumer(name, {
    ...options,
    idempotency,
    retry: retry ?? RETRY,
    deadLetter: deadLetter ?? { alert: options.owner?.oncall ?? { kind: 'log' } },
    afterDeadLetter: afterDeadLetter ?? 'park',
    replay: replay ?? 'safe',
    handle,
  })
  return Object.freeze({ ...declared, route: Object.freeze({ ...route, emits }) })
}

/** Emits drafts that the route has declared. @throws JUNCTURA_EMIT_INVALID for another contract. */
export const emitDeclared = (
  ctx: ConsumerContext,
  emits: Emits,
  drafts: readonly Draft[],
): void => {
  const names = new Set([emits].flat().map(({ name }) => name))
  for (const draft of drafts) {
    const type = draft.contract.name
    if (!names.has(type)) {
      const problem = `the route does not declare it; add it to emits: ${[...names].join(', ')}`
      throw new JuncturaError('JUNCTURA_EMIT_INVALID', { details: { type, problem } })
    }
    ctx.emit(draft)
  }
}
