import type { Integration } from '../contract/index.ts'
import { JuncturaError, type Kernel } from '../kernel/index.ts'
import { openStore, type StoreChoice } from './open-store.ts'
import { layFoundations, openAlerting } from './pipeline.ts'
import { createRelays } from './relays.ts'
import { createTopics } from './topics.ts'
import type { OutboxView, TopicView } from './views.ts'

export interface RunRelaysOptions {
  readonly kernel: Kernel
  readonly store: StoreChoice
  /** Called when this process can no longer trust its store. */
  readonly onFatal?: (error: unknown) => void
}

export interface RunningRelays {
  /** Resolves when everything is moved that was committed before the call. */
  idle(): Promise<void>
  views(): Promise<readonly OutboxView[]>
  topics(): readonly TopicView[]
  close(): Promise<void>
}

/**
 * Moves the outboxes and the topics of an integration into its store, and does nothing else: no
 * listener, no consumer. What it moves is handled by the next process that runs the integration on
 * that store.
 *
 * @throws JUNCTURA_USAGE when the integration has neither; JUNCTURA_STORE_… of the store.
 */
export const runRelays = async (
  integration: Integration,
  options: RunRelaysOptions,
): Promise<RunningRelays> => {
  const { kernel, onFatal } = options
  if (integration.outboxes.length + integration.topics.length === 0) {
    const fix = "Declare one: outboxSource('…', { … }) or topicSource('…', { … })"
    const problem = `${integration.name} has no outbox and no topic. ${fix}`
    throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
  }
  const store = await openStore(options.store, kernel)
  try {
    const opened = { kernel, store, ...(onFatal && { onFatal }) }
    const base = await layFoundations(integration, opened)
    const alerting = await openAlerting(base, opened, () => true)
    const relays = createRelays({ ...base, ...alerting })
    const topics = createTopics({ ...base, ...alerting })
    relays.start()
    topics.start()
    alerting.notifier.poke()
    return {
      idle: async () => {
        await Promise.all([relays.idle(), topics.idle()])
      },
      views: () => relays.views(),
      topics: () => topics.views(),
      async close() {
        await topics.close()
        await relays.close()
        await alerting.notifier.close()
        await base.committer.close()
        await base.transport.close()
        await store.close()
      },
    }
  } catch (error) {
    await store.close()
    throw error
  }
}
