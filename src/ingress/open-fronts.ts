import { EVENT_MEDIA_TYPES, type Webhook } from '../contract/index.ts'

/** What answers at one path. */
export interface Front {
  /** Its name, limits and verification; of an events endpoint, those that all its doors share. */
  readonly webhook: Webhook
  /** By contract, where it is an events endpoint. */
  readonly doors?: ReadonlyMap<string, Webhook>
}

/** One front for each webhook, and one for all the doors of an events endpoint together. */
export const openFronts = (webhooks: readonly Webhook[]): readonly Front[] => {
  const doorsOf = new Map<string, Map<string, Webhook>>()
  const fronts: Front[] = []
  for (const webhook of webhooks) {
    const { endpoint, accepts } = webhook
    if (!endpoint) {
      fronts.push({ webhook })
      continue
    }
    const known = doorsOf.get(endpoint.name)
    const doors = known ?? new Map<string, Webhook>()
    doors.set(accepts.name, webhook)
    if (known) continue
    doorsOf.set(endpoint.name, doors)
    const front = { ...webhook, name: endpoint.name, contentTypes: EVENT_MEDIA_TYPES }
    fronts.push({ webhook: front, doors })
  }
  return fronts
}
