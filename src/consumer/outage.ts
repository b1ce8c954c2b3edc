import { createOutageGate, type OutageGate } from '../policy/index.ts'
import type { RowWrite } from '../store/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import type { Failure } from './failure.ts'
import type { WorkItem } from './work-item.ts'

export const outageCause = (consumer: string): string => `outage/${consumer}`

/**
 * Keeps a consumer from running through its backlog while what it needs is down: every message
 * would use up its attempts and become a dead letter, and what is down would be kept down (M25).
 *
 * The open alert is the durable part: a process that starts while it is open begins with a probe.
 * What was claimed when the process before was killed still runs once, alone, as after any crash.
 */
export class Outage {
  readonly #runner: ConsumerRunner
  readonly #gate: OutageGate | undefined
  #timer: { cancel(): void } | undefined

  constructor(runner: ConsumerRunner) {
    this.#runner = runner
    const { consumer, ports } = runner
    const wasOut = ports.openAlerts(outageCause(consumer.name)) > 0
    this.#gate = consumer.outage && createOutageGate(consumer.outage, wasOut)
  }

  get isOut(): boolean {
    return this.#gate?.isOut ?? false
  }

  /** Whether one more may start beside those that run; when not yet, it dispatches in time. */
  mayStart(running: number): boolean {
    const gate = this.#gate
    if (!gate?.isOut) return true
    if (running > 0) return false
    const { clock } = this.#runner.ports.kernel
    const waitMs = gate.waitMs(clock.monotonicMs())
    if (waitMs === 0) return true
    this.#timer ??= clock.setTimer(waitMs, () => {
      this.#timer = undefined
      this.#runner.dispatch()
    })
    return false
  }

  /** An attempt failed in a way that a later one may mend; others say nothing about an outage. */
  failed(item: WorkItem, failure: Failure): void {
    const { consumer, ports } = this.#runner
    if (!this.#gate || item.origin === 'volatile') return
    if (!this.#gate.failed(item.position, ports.kernel.clock.monotonicMs())) return
    const { name, outage } = consumer
    const title =
      `${name} fails on everything and tries one message at a time; ` +
      `${outage?.after} in a row failed, the last with ${failure.name}: ${failure.message}`
    ports.kernel.log.warn({ consumer: name }, 'an outage has begun: one message at a time')
    const atMs = ports.kernel.clock.now()
    const cause = outageCause(name)
    this.#write(ports.raiseAlert({ kind: 'consumer-outage', cause, title, consumer, atMs }))
  }

  succeeded(): void {
    if (!this.#gate?.succeeded()) return
    const { consumer, ports } = this.#runner
    this.#timer?.cancel()
    this.#timer = undefined
    ports.kernel.log.info({ consumer: consumer.name }, 'the outage is over')
    this.#write(ports.resolveAlert(outageCause(consumer.name)))
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #write(rows: readonly RowWrite[]): void {
    this.#runner.commit({ rows }).catch((error: unknown) => this.#runner.halt(error))
  }
}
