import { actionsOfContext, type ConsumerPorts } from '../consumer/index.ts'
import {
  type AnyContract,
  type AnySaga,
  type Consumer,
  type ConsumerContext,
  globalId,
  type Integration,
  isCommand,
} from '../contract/index.ts'
import {
  createSagaEngine,
  maskedSagaContract,
  type SagaEngine,
  type SagaPorts,
  timerOwnerOfSaga,
} from '../flow/index.ts'
import type { Inbox } from '../inbox/index.ts'
import { JuncturaError, must } from '../kernel/index.ts'
import { resolveRetryPolicy } from '../policy/index.ts'
import { createSagaMetrics } from './saga-metrics.ts'
import { hintOf } from './saga-views.ts'
import { type AnswerDesk, createAnswerDesk } from './answer-commands.ts'
import type { Alerting, Foundations, Opened } from './pipeline.ts'

/** Sagas and the handlers of commands, as consumers. */
export interface SagaConsumers {
  /** The same integration with the internal consumers of its sagas. */
  readonly integration: Integration
  readonly onGivenUp: NonNullable<ConsumerPorts['onGivenUp']>
  /** Called once, before any of them runs. */
  bind(
    parts: Foundations & Alerting & { readonly inbox: Inbox; readonly options: Opened },
  ): SagaEngine
}

/** What a saga writes is its own: it fails only where the store or this code does. */
const RETRY = resolveRetryPolicy({ attempts: 10, first: '1s', max: '1m' }, 'a saga')

const ATTEMPT_MS = 3_600_000

export const openSagaConsumers = (declared: Integration): SagaConsumers => {
  const bound: { engine?: SagaEngine; desk?: AnswerDesk; inbox?: Inbox } = {}
  const engine = (): SagaEngine => must(bound.engine, 'sagas are bound before they run')
  const desk = (): AnswerDesk => must(bound.desk, 'handlers are bound before they run')
  const inbox = (): Inbox => must(bound.inbox, 'sagas are bound before they run')
  const own = declared.sagas.flatMap((saga) => [
    runnerOf(saga, engine),
    ...forwardersOf(saga, inbox),
  ])
  const consumers = declared.consumers.map((one) => {
    const { answer, on } = one
    if (!answer || !isCommand(on)) return one
    return {
      ...one,
      handle: (data: unknown, ctx: ConsumerContext) => desk().answer(one, data, ctx),
    }
  })
  const contracts = new Map(declared.contracts)
  for (const { on } of own) if (!contracts.has(on.name)) contracts.set(on.name, on)
  return {
    integration: { ...declared, contracts, consumers: [...consumers, ...own] },
    onGivenUp: (consumer, item, problem) =>
      consumer.answer ? desk().givenUp(consumer, item, problem) : [],
    bind(parts) {
      const { timers, alerts, options } = parts
      bound.inbox = parts.inbox
      bound.desk = createAnswerDesk(parts)
      const ports: SagaPorts = {
        ...parts,
        append: (draft, origin) => parts.inbox.ownAppend(draft, origin),
        maskText: (saga, text, input) => parts.masks.of(saga.on.name).text(text, input),
        raiseAlert: (alert) => alerts.raise({ kind: 'saga', ...alert }),
        hintOf: (kind, contract) => hintOf(kind, contract, declared),
        onTurn: createSagaMetrics(parts.metrics),
        resolveAlert: (cause) => alerts.resolve(cause),
        ...(options.alwaysSuspend === true && { alwaysSuspend: true }),
      }
      const made = createSagaEngine(ports)
      bound.engine = made
      for (const saga of declared.sagas) {
        timers.register(timerOwnerOfSaga(saga.name), (reference) => made.wake(saga, reference))
      }
      return made
    },
  }
}

type Base = Omit<Consumer, 'name' | 'on' | 'from' | 'handle'>

const baseOf = (saga: AnySaga): Base => ({
  part: 'consumer',
  owner: saga.owner,
  was: [],
  idempotency: 'transaction',
  retry: RETRY,
  permanent: [],
  timeoutMs: ATTEMPT_MS,
  deadLetter: { owner: saga.owner, alert: saga.alert },
  afterDeadLetter: 'park',
  replay: 'safe',
  ordering: 'key',
  concurrency: saga.concurrency,
  partitions: saga.partitions,
  at: saga.at,
})

/** Runs the saga: one record of each run at a time. */
const runnerOf = (saga: AnySaga, engine: () => SagaEngine): Consumer => {
  const on = maskedSagaContract(saga)
  return {
    ...baseOf(saga),
    name: on.name,
    on,
    from: 'earliest',
    handle: (data, ctx) => {
      const { position, id, envelope } = ctx.message
      const { traceparent } = envelope
      const actions = actionsOfContext(ctx)
      return engine().handle(saga, data, {
        position,
        messageId: id,
        ...(traceparent !== undefined && { traceparent }),
        get signal() {
          return actions.signal
        },
        complete(writes) {
          actions.write(writes)
          return actions.complete()
        },
      })
    },
  }
}

/** @throws JUNCTURA_SAGA_STEP when what the saga says names no run */
function keyOf(saga: AnySaga, on: AnyContract, data: unknown): string | undefined {
  const correlate = saga.correlate.get(on.name)
  if (!correlate) return undefined
  const key: unknown = correlate(data)
  if (typeof key === 'string' && key !== '') return key
  const problem = 'its correlate gave no text; it must name a run'
  throw new JuncturaError('JUNCTURA_SAGA_STEP', {
    details: { step: on.name, saga: saga.name, problem },
  })
}

/** Brings what starts the saga, and what it waits for, into its own channel. */
const forwardersOf = (saga: AnySaga, inbox: () => Inbox): readonly Consumer[] => {
  const target = maskedSagaContract(saga)
  const events = saga.uses.filter((one) => one.part === 'contract' && !isCommand(one))
  const forward = (on: AnyContract, kind: 'start' | 'event'): Consumer => ({
    ...baseOf(saga),
    name: `${target.name}.from.${on.name}`,
    on,
    from: saga.from,
    handle: (data, ctx) => {
      const { envelope } = ctx.message
      const key = keyOf(saga, on, data) ?? envelope.partitionkey
      const { time, correlationid, traceparent } = envelope
      const id = globalId(envelope)
      const record = { kind, key, id, type: on.name, data, time, correlationId: correlationid }
      const append = inbox().ownAppend(
        { contract: target, data: record },
        {
          id: `${id}.${target.name}`,
          source: `/sagas/${saga.name}`,
          correlationId: correlationid,
          causationId: envelope.id,
          ...(traceparent !== undefined && { traceparent }),
        },
      )
      actionsOfContext(ctx).write({ rows: [], appends: [append] })
      return Promise.resolve()
    },
  })
  return [
    forward(saga.on, 'start'),
    ...events.flatMap((one) => (one.part === 'contract' ? [forward(one, 'event')] : [])),
  ]
}
