import { LIMITS } from '../kernel/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { itemOf, type WorkItem } from './work-item.ts'

/**
 * Messages of an at-most-once contract on their way through one consumer. They are in no log: what
 * finds no room, or could not be handled, is gone and counted.
 */
export class VolatileItems {
  readonly #runner: ConsumerRunner
  #count = 0

  constructor(runner: ConsumerRunner) {
    this.#runner = runner
  }

  offer(delivered: Delivered): void {
    const runner = this.#runner
    const { lanes } = runner
    const item = itemOf(runner.consumer, delivered, 'volatile')
    if (runner.mode !== 'running' || this.#count >= LIMITS.fetchWindowMax) return this.drop(item)
    this.#count += 1
    lanes.push(lanes.findOrCreate(item.lane), item)
    runner.dispatch()
  }

  /** One has been run. */
  ended(): void {
    this.#count -= 1
  }

  drop(item: WorkItem): void {
    const messageId = item.record.head.envelope.id
    this.#runner.ports.observer.dropped({ consumer: this.#runner.consumer.name, messageId })
  }

  dropQueued(): void {
    for (const lane of this.#runner.lanes.all()) {
      for (const item of lane.queue) if (item.origin === 'volatile') this.drop(item)
    }
  }
}
