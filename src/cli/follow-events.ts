import { isJuncturaError, sleep } from '../kernel/index.ts'
import type { RuntimeEvent } from '../runtime/index.ts'
import type { CliIo } from './cli-io.ts'
import type { ManagementClient } from './management-client.ts'
import { readServerSentEvents, type ServerSentEvent } from './server-sent-events.ts'

export interface FollowOptions {
  readonly signal: AbortSignal
  /** Goes on after this event; without it, with what comes now. */
  readonly afterId?: number
  /** Begins with so many past events. */
  readonly newest?: number
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
  const place: Place = { afterId: options.afterId, run: undefined }
  let opened = false
  while (!signal.aborted) {
    try {
      const newest = place.afterId === undefined ? options.newest : undefined
      const reply = await client.stream({ ...place, newest, signal })
      opened = true
      for await (const event of readServerSentEvents(reply.chunks)) {
        deliver(event, place, options)
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

/** Where the reader is: the last event, and the start of the runtime that it was numbered by. */
interface Place {
  afterId: number | undefined
  run: number | undefined
}

function deliver(event: ServerSentEvent, place: Place, options: FollowOptions): void {
  const body: { readonly run?: unknown; readonly missed?: unknown; readonly lastId?: unknown } =
    JSON.parse(event.data)
  if (event.event === 'hello') {
    if (typeof body.run === 'number') place.run = body.run
    // With no event seen, a break goes on from here, and not from whenever it is back.
    const lastId = typeof body.lastId === 'number' ? body.lastId : undefined
    if (options.newest === undefined) place.afterId ??= lastId
  } else if (event.event === 'missed') {
    if (typeof body.missed === 'number' && body.missed > 0) options.onMissed?.(body.missed)
  } else {
    const known: RuntimeEvent = JSON.parse(event.data)
    if (typeof known.kind !== 'string') return
    place.afterId = known.id
    options.onEvent(known)
  }
}
