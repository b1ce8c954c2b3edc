import { isJuncturaError, sleep } from '../kernel/index.ts'
import type { RuntimeEvent } from '../runtime/index.ts'
import type { CliIo } from './cli-io.ts'
import type { ManagementClient } from './management-client.ts'
import { readServerSentEvents, type ServerSentEvent } from './server-sent-events.ts'

export interface FollowOptions {
  readonly signal: AbortSignal
  /** Goes on after this event; without it, with what comes now. */
  readonly afterId?: number
  readonly onEvent: (event: RuntimeEvent) => void
  /** Told when events are gone that could not be read. */
  readonly onMissed?: (count: number) => void
  /** Told when the stream broke off and is opened again. */
  readonly onBreak?: () => void
}

/** Between two tries, so that a restart is seen soon and a machine that is gone is not hammered. */
const RECONNECT_MS = 1_000

/**
 * Calls back for every event until `signal` aborts, also across a restart of the runtime: a stream
 * that breaks off is opened again just after the last event seen.
 *
 * @throws JUNCTURA_UNREACHABLE when the first try gets no answer; JUNCTURA_API_REFUSED when the
 * answer is no, at any time.
 */
export const followEvents = async (
  io: Pick<CliIo, 'kernel'>,
  client: ManagementClient,
  options: FollowOptions,
): Promise<void> => {
  const { signal } = options
  let afterId = options.afterId
  let opened = false
  while (!signal.aborted) {
    try {
      const reply = await client.stream({ ...(afterId !== undefined && { afterId }), signal })
      opened = true
      for await (const event of readServerSentEvents(reply.chunks)) {
        afterId = deliver(event, options) ?? afterId
        if (signal.aborted) return
      }
    } catch (error) {
      if (signal.aborted) return
      // Before the first stream nobody was ever there; later it is a restart, and worth waiting.
      if (!opened || isJuncturaError(error, 'JUNCTURA_API_REFUSED')) throw error
    }
    if (signal.aborted) return
    options.onBreak?.()
    await sleep(io.kernel.clock, RECONNECT_MS, signal)
  }
}

/** Hands one event on; gives its number, to go on after it. */
function deliver(event: ServerSentEvent, options: FollowOptions): number | undefined {
  const body: unknown = JSON.parse(event.data)
  if (typeof body !== 'object' || body === null) return undefined
  if (event.event === 'missed') {
    const count: unknown = Reflect.get(body, 'missed')
    options.onMissed?.(typeof count === 'number' ? count : 0)
    return undefined
  }
  const known: RuntimeEvent = JSON.parse(event.data)
  if (typeof known.kind !== 'string') return undefined
  options.onEvent(known)
  return event.id === undefined ? known.id : Number(event.id)
}
