import type { Consumer } from '../../contract/index.ts'

/** One call of a handler, as the simulator sees it from outside. */
export interface HandlerCall {
  readonly consumer: Consumer
  readonly messageId: string
  readonly position: number
  readonly key: string
  readonly attempt: number
  /** Whether it is one of several in the same call: then nobody knows which was at fault. */
  readonly isShared: boolean
  /** The replay that brought it, if one did. */
  readonly run: string | undefined
  /** Which process it runs in. */
  readonly node: number
}

/** Told what happens in the simulated processes; the checkers and the trace hang on it. */
export interface WorldObserver {
  handlerBegan(call: HandlerCall): void
  /** `refused` when the store did not take what it wrote, which is not its fault. */
  handlerEnded(call: HandlerCall, outcome: 'done' | 'failed' | 'refused', isLive: boolean): void
  /** The simulator made the handler take its process down. */
  handlerKilled(call: HandlerCall): void
  /** The attempt was over before the handler was. */
  handlerTimedOut(call: HandlerCall): void
  /** `ctx.once` ran its effect. */
  onceRan(call: HandlerCall, name: string): void
  /** `ctx.once` gave a result that it had kept. */
  onceReused(call: HandlerCall, name: string): void
  /** An effect was noted in a transaction that is still open. */
  effectNoted(): void
  txCalled(call: HandlerCall): void
  txRefused(call: HandlerCall, code: string): void
}
