import { createOutageGate, type OutageGate } from '../policy/index.ts'
import type { RowWrite } from '../store/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import type { Failure } from './failure.ts'
import { partitionId, slotRanges } from './partition.ts'
import type { WorkItem } from './work-item.ts'

export const outageCause = (consumer: string): string => `outage/${consumer}`

/** Key in `meta` while a partition of a consumer is in an outage. */
export const outageMark = (partition: string): string => `outage/${partition}`

/**
 * Keeps a consumer from running through its backlog while what it needs is down: every message
 * would use up its attempts and become a dead letter, and what is down would be kept down (M25).
 *
 * The open alert is the durable part: a process that starts while it is open begins with a probe.
 * What was claimed when the process before was killed still runs once, alone, as after any crash.
 *
 * What is down is mostly down for all partitions of a consumer, so they have one alert. Each leaves
 * a mark of its own while it is out, and the alert is resolved by whoever ends last.
 */
export class Outage {
  readonly #runner: ConsumerRunner
  readonly #gate: OutageGate | undefined
  #timer: { cancel(): void } | undefined
  #written: Promise<unknown> = Promise.resolve()

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
    const rows = ports.raiseAlert({ kind: 'consumer-outage', cause, title, consumer, atMs })
    const { id } = this.#runner
    const mark = { collection: 'meta', key: outageMark(id), row: { value: atMs } } as const
    this.#after(() => this.#runner.commit({ rows: [...rows, mark] }))
  }

  succeeded(): void {
    if (!this.#gate?.succeeded()) return
    const { consumer, ports } = this.#runner
    this.#timer?.cancel()
    this.#timer = undefined
    ports.kernel.log.info({ consumer: consumer.name }, 'the outage is over')
    this.#after(() => this.#end())
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** One after the other: what ends may begin again before that is written. */
  #after(write: () => Promise<unknown>): void {
    this.#written = this.#written.then(write).catch((error: unknown) => this.#runner.halt(error))
  }

  async #end(): Promise<void> {
    const { consumer, ports, id } = this.#runner
    const { store } = ports
    const gone: RowWrite = { collection: 'meta', key: outageMark(id), row: undefined }
    const cause = outageCause(consumer.name)
    const others = store.leases ? slotRanges(consumer.partitions) : []
    const marks = others
      .map((slots) => outageMark(partitionId(consumer.name, slots)))
      .filter((key) => key !== gone.key)
    if (marks.length === 0) {
      await this.#runner.commit({ rows: [gone, ...ports.resolveAlert(cause)] })
      return
    }
    // First its own: of two that end together each would leave it to the other.
    await this.#runner.commit({ rows: [gone] })
    for (const key of marks) if (await store.row('meta', key)) return
    // Another process may have raised it.
    await ports.loadAlerts()
    const guards = marks.map((key) => ({ collection: 'meta', key, is: 'absent' }) as const)
    const outcome = await this.#runner.commit({ guards, rows: ports.resolveAlert(cause) })
    if (outcome?.status !== 'guarded') return
    // One has begun meanwhile. Memory has the alert resolved, so that one needs another.
    const title = `${consumer.name} fails on everything in another partition`
    const atMs = ports.kernel.clock.now()
    const rows = ports.raiseAlert({ kind: 'consumer-outage', cause, title, consumer, atMs })
    await this.#runner.commit({ rows })
  }
}
