import { type ConsumerRunner, progressKey } from '../consumer/index.ts'
import type { Consumer, Integration } from '../contract/index.ts'
import type { Store } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'

/** How far a consumer has come, as much of it as a view of a message needs. */
export interface ConsumerPlace {
  readonly consumer: Consumer
  isMine(delivered: Delivered): boolean
  readonly progress: { isFinished(position: number): boolean; readonly watermark: number }
}

/** From memory where this process runs the consumers, else as last stored by the one that does. */
export const consumerPlaces = async (parts: {
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly integration: Integration
  readonly store: Store
}): Promise<readonly ConsumerPlace[]> => {
  const { runners, integration, store } = parts
  if (runners.size > 0) return [...runners.values()]
  const places: ConsumerPlace[] = []
  for (const consumer of integration.consumers) {
    const { name, on } = consumer
    const { watermark = 0, done = [] } =
      (await store.row('progress', progressKey(name, on.channel))) ?? {}
    places.push({
      consumer,
      isMine: ({ record }) => record.head.envelope.type === on.name && record.data.length > 0,
      progress: {
        watermark,
        isFinished: (position) =>
          position <= watermark ||
          done.some(([first, last]) => first <= position && position <= last),
      },
    })
  }
  return places
}
