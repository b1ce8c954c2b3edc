import type { InboxContext } from './inbox-context.ts'
import { type PreparedEvent, prepareEvent, readDrafts, withoutTwinFacts } from './prepare-event.ts'
import type { VerifiedRequest } from './verified-request.ts'

/** What the transform made of a message. */
export type Made =
  | { readonly ok: true; readonly events: readonly PreparedEvent[] }
  | { readonly ok: false; readonly error: unknown }

/**
 * Runs the webhook's transform and checks what it made: valid events with their keys, or the
 * reason why there are none. Never throws; what user code does is data here.
 */
export const makeEvents = async (
  context: InboxContext,
  request: VerifiedRequest,
  id: string,
): Promise<Made> => {
  const { webhook, version, text, receivedAtMs } = request
  if (webhook.endpoint && version === webhook.accepts.latest) return takeAsSent(context, request)
  const own = webhook.transforms.get(version)
  const transform = own ?? webhook.transforms.get('any')
  if (!transform) return { ok: true, events: [] }
  const made = await context.runner.run({
    timeoutMs: webhook.transformTimeoutMs,
    run: (again) => {
      const data: unknown = again ? JSON.parse(text) : request.data
      const lifted = own ? data : context.book.lift(webhook.accepts, version, data)
      return transform(lifted, { id, receivedAtMs, version })
    },
  })
  if (!made.ok) return made
  try {
    const events = readDrafts(made.value).map((draft) => prepareEvent(draft, context.book))
    return { ok: true, events: withoutTwinFacts(events) }
  } catch (error) {
    // JUNCTURA_EMIT_INVALID, or whatever a getter of the returned object throws.
    return { ok: false, error }
  }
}

/** An event of an endpoint is ours already: there is nothing to transform. */
function takeAsSent(context: InboxContext, { webhook, data, text }: VerifiedRequest): Made {
  try {
    return {
      ok: true,
      events: [prepareEvent({ contract: webhook.accepts, data }, context.book, text)],
    }
  } catch (error) {
    // JUNCTURA_EMIT_INVALID: its data makes no key.
    return { ok: false, error }
  }
}
