import type { ConsumerRunner } from '../consumer/index.ts'
import { decodeRecord } from '../contract/index.ts'
import type { Append } from '../store/index.ts'

/** Takes messages of at-most-once contracts from the commit that they belong to, to consumers. */
export interface VolatileBus {
  connect(runner: ConsumerRunner): void
  disconnect(runner: ConsumerRunner): void
  /** Gives each to every consumer of its type; what has no room there is dropped and counted. */
  offer(messages: readonly Append[]): void
}

/** At-most-once messages have no place in the log. */
const NO_POSITION = 0

export const createVolatileBus = (): VolatileBus => {
  const byType = new Map<string, ConsumerRunner[]>()
  return {
    connect(runner) {
      const { name } = runner.consumer.on
      const known = byType.get(name)
      if (known) known.push(runner)
      else byType.set(name, [runner])
    },
    disconnect(runner) {
      const { name } = runner.consumer.on
      byType.set(name, byType.get(name)?.filter((one) => one !== runner) ?? [])
    },
    offer(messages) {
      for (const { slot, atMs, bytes, record = decodeRecord(bytes, NO_POSITION) } of messages) {
        const given = new Set<string>()
        for (const runner of byType.get(record.head.envelope.type) ?? []) {
          // Any partition that is here may take it: it has no place in the log.
          if (given.has(runner.consumer.name)) continue
          given.add(runner.consumer.name)
          runner.volatile.offer({ position: NO_POSITION, slot, atMs, record })
        }
      }
    },
  }
}
