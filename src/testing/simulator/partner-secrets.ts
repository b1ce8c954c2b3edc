import type { Integration, Webhook } from '../../contract/index.ts'
import { createSigningKey, type SigningKey } from '../../security/index.ts'

const SECRET = 'whsec_c2ltdWxhdGVkLXNlY3JldC0zMi1ieXRlcy1sb25nIQ=='

/** Every secret that a webhook names is the simulator's own. */
export const environmentOf = (integration: Integration): Readonly<Record<string, string>> => {
  const names = integration.webhooks.flatMap(({ verify }) =>
    verify.kind === 'unsigned'
      ? []
      : verify.secrets.flatMap((one) => (one.kind === 'env' ? [one.name] : [])),
  )
  return Object.fromEntries(names.map((name) => [name, SECRET]))
}

/** What a partner signs with. */
export const keysFor = (webhook: Webhook): readonly SigningKey[] =>
  webhook.verify.kind === 'unsigned'
    ? []
    : [createSigningKey({ scheme: webhook.verify, text: SECRET, source: 'simulator' })]
