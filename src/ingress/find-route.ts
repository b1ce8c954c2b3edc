import type { Webhook } from '../contract/index.ts'

export type Route =
  | { readonly kind: 'webhook'; readonly webhook: Webhook }
  /** Where a sender asks what became of a message. */
  | { readonly kind: 'message'; readonly webhook: Webhook; readonly id: string }

const MESSAGES = '/messages/'
const ID_CHARS_MAX = 1_024

/**
 * Finds what a request target names. A path is compared byte for byte: nothing is decoded, joined
 * or resolved, so `//`, `..` and percent-encoding never lead to a route (F102).
 */
export const createRouteFinder = (
  webhooks: readonly Webhook[],
): ((target: string) => Route | undefined) => {
  const byPath = new Map<string, Route>(
    webhooks.map((webhook) => [webhook.path, { kind: 'webhook', webhook }]),
  )
  return (target) => {
    const path = pathOf(target)
    const exact = byPath.get(path)
    if (exact) return exact
    const at = path.lastIndexOf(MESSAGES)
    const parent = at < 0 ? undefined : byPath.get(path.slice(0, at))
    // Who cannot sign cannot show that a message is its own.
    if (!parent || parent.webhook.verify.kind === 'unsigned') return undefined
    const id = decode(path.slice(at + MESSAGES.length))
    return id === undefined ? undefined : { kind: 'message', webhook: parent.webhook, id }
  }
}

/** The absolute form is taken as well, as RFC 9112 section 3.2.2 asks; the query names nothing. */
function pathOf(target: string): string {
  const absolute = /^https?:\/\/[^/?#]*/i.exec(target)
  const path = absolute ? target.slice(absolute[0].length) : target
  const query = path.indexOf('?')
  return query < 0 ? path : path.slice(0, query)
}

function decode(text: string): string | undefined {
  if (text === '' || text.length > ID_CHARS_MAX || text.includes('/')) return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    // A percent sign that encodes nothing.
    return undefined
  }
}
