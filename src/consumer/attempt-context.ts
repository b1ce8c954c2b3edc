import { assert } from '../kernel/index.ts'
import type { ConsumedMessage, ConsumerContext } from '../contract/index.ts'
import type { Append, RowWrite } from '../store/index.ts'
import type { WorkItem } from './work-item.ts'

/** What a handler may do, as the attempt that it belongs to does it. */
export interface AttemptActions extends Pick<
  ConsumerContext,
  'signal' | 'tx' | 'once' | 'emit' | 'log'
> {
  /** Whether a person or a replay has brought the message again, behind others of its key. */
  readonly isBroughtBack: boolean
  /** Adds to what commits when the message completes. */
  write(writes: AttemptWrites): void
  /** Completes the message with what was written, as `tx` does, without statements of the user. */
  complete(): Promise<void>
}

/** What a part of the runtime, as the handler of a consumer, writes with the completion. */
export interface AttemptWrites {
  readonly rows: readonly RowWrite[]
  readonly appends: readonly Append[]
}

/** Of a context that the attempt made itself: for handlers that belong to the runtime. */
export const actionsOfContext = (context: ConsumerContext): AttemptActions => {
  assert(context instanceof Context, 'a handler of the runtime is given the context of an attempt')
  return actionsOf(context)
}

interface ContextOf {
  readonly item: WorkItem
  readonly attempt: number
  readonly attemptsMax: number
}

/**
 * The context of one attempt. Everything is a member of its own, so that a handler may take it
 * or spread it; one shape for all, because a getter written in a literal is a new shape each time,
 * which costs more than a small handler.
 */
export const createContext = (
  actions: AttemptActions,
  { item, attempt, attemptsMax }: ContextOf,
): ConsumerContext => new Context(actions, { item, attempt, attemptsMax })

let actionsOf: (context: Context) => AttemptActions

class Context implements ConsumerContext {
  readonly #actions: AttemptActions
  readonly message: ConsumedMessage
  readonly attempt: number
  readonly attemptsMax: number
  readonly tx: ConsumerContext['tx']
  readonly once: ConsumerContext['once']
  readonly emit: ConsumerContext['emit']
  readonly log: ConsumerContext['log']
  declare readonly signal: AbortSignal
  declare readonly replay?: NonNullable<ConsumerContext['replay']>

  static {
    actionsOf = (context) => context.#actions
  }

  constructor(actions: AttemptActions, { item, attempt, attemptsMax }: ContextOf) {
    this.#actions = actions
    this.message = consumedMessage(item)
    this.attempt = attempt
    this.attemptsMax = attemptsMax
    this.tx = (callback) => actions.tx(callback)
    this.once = (name, effect) => actions.once(name, effect)
    this.emit = (draft) => actions.emit(draft)
    this.log = (message, fields) => actions.log(message, fields)
    Object.defineProperty(this, 'signal', SIGNAL)
    if (item.replay) this.replay = item.replay
  }
}

/** Made when the handler asks for it, which few do and which costs much. */
const SIGNAL: PropertyDescriptor & ThisType<Context> = {
  enumerable: true,
  configurable: true,
  get() {
    return actionsOf(this).signal
  },
}

export const consumedMessage = (item: WorkItem): ConsumedMessage => {
  const { envelope } = item.record.head
  return {
    id: envelope.id,
    type: envelope.type,
    version: envelope.contractversion,
    key: envelope.partitionkey,
    time: envelope.time,
    position: item.position,
    correlationId: envelope.correlationid,
    envelope,
  }
}
