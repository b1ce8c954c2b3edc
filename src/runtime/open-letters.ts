import type { DeadLetterRow, Store } from '../store/index.ts'
import { eachRow } from './paging.ts'

type Stage = DeadLetterRow['stage']

/**
 * Open dead letters, kept in memory for the gauges: of handlers by consumer, of transforms by
 * webhook. A consumer and a webhook may have one name, so the two are counted apart.
 */
export interface OpenLetters {
  readonly handler: ReadonlyMap<string, number>
  readonly transform: ReadonlyMap<string, number>
}

export class LetterBook implements OpenLetters {
  readonly handler: Map<string, number> = new Map<string, number>()
  readonly transform: Map<string, number> = new Map<string, number>()

  add(letter: Pick<DeadLetterRow, 'stage' | 'consumer'>, change: number): void {
    const counts = this[letter.stage]
    counts.set(letter.consumer, Math.max(0, (counts.get(letter.consumer) ?? 0) + change))
  }

  /** What the store holds for these; each of them is there from now on, with 0 as well. */
  async load(
    store: Store,
    names: { readonly consumers: Iterable<string>; readonly webhooks: Iterable<string> },
  ): Promise<void> {
    const [consumers, webhooks] = [new Set(names.consumers), new Set(names.webhooks)]
    for (const name of new Set([...consumers, ...webhooks])) {
      const scan = {
        collection: 'deadLetters',
        index: 'byConsumer',
        where: [name, 'open'],
      } as const
      if (consumers.has(name)) this.handler.set(name, 0)
      if (webhooks.has(name)) this.transform.set(name, 0)
      if (consumers.has(name) && webhooks.has(name)) {
        for await (const { row } of eachRow(store, scan)) this.add(row, 1)
      } else {
        const stage: Stage = consumers.has(name) ? 'handler' : 'transform'
        this.add({ stage, consumer: name }, await store.count(scan))
      }
    }
  }
}
