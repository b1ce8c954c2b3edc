import type { AttemptWatch } from './attempt-watch.ts'
import type { EffectLedger } from './effect-ledger.ts'
import type { MessageBooks } from './message-books.ts'
import type { HandlerCall, WorldObserver } from './observer.ts'
import type { SituationBook } from './situations.ts'

export interface HandlerObserverOptions {
  readonly attempts: AttemptWatch
  readonly books: MessageBooks
  readonly ledger: EffectLedger
  readonly situations: SituationBook
  readonly isCurrent: (call: HandlerCall) => boolean
  readonly fail: (sentence: string) => void
  readonly trace: (what: string) => void
}

/** What handlers do, as the checkers and the trace hear of it. */
export const observeHandlers = (options: HandlerObserverOptions): WorldObserver => {
  const { attempts, books, ledger, situations, isCurrent, fail, trace } = options
  const calledTx = new WeakSet<HandlerCall>()
  const ranOnce = new Set<string>()
  const nameOf = ({ consumer, position, node }: HandlerCall): string =>
    `${consumer.name} ${position} on ${node}`
  return {
    handlerBegan: (call) => {
      trace(`handle ${nameOf(call)} attempt ${call.attempt}`)
      attempts.began(call)
    },
    handlerEnded: (call, outcome, isLive) => {
      trace(`${outcome} ${nameOf(call)}`)
      attempts.ended(call, outcome, isLive)
      if (outcome === 'done' && !calledTx.has(call)) books.handledWithoutTx(call)
    },
    handlerKilled: (call) => attempts.killed(call),
    handlerTimedOut: (call) => {
      trace(`over ${nameOf(call)}`)
      situations.hit('handler-timed-out')
      attempts.timedOut(call, isCurrent(call))
    },
    onceRan: ({ consumer, messageId }, name) =>
      void ranOnce.add(`${consumer.name}\n${messageId}\n${name}`),
    // A kept result is of the same call, or two consumers share what each should do.
    onceReused: ({ consumer, messageId }, name) => {
      if (ranOnce.has(`${consumer.name}\n${messageId}\n${name}`)) situations.hit('once-reused')
      else fail(`${consumer.name} reused what ctx.once kept for another than ${messageId}`)
    },
    effectNoted: () => ledger.noted(),
    txCalled: (call) => void calledTx.add(call),
    txRefused: (call, code) => {
      trace(`refused ${nameOf(call)} ${code}`)
      if (code === 'JUNCTURA_ATTEMPT_OVER') situations.hit('late-effect-refused')
      if (code === 'JUNCTURA_STORE_FENCED') situations.hit('zombie-effect-refused')
    },
  }
}
