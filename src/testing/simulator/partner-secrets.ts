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
export const keysFor = ({ verify }: Webhook): readonly SigningKey[] => {
  if (verify.kind === 'unsigned') return []
  let keys = KEYS.get(verify)
  if (!keys) {
    keys = [createSigningKey({ scheme: verify, text: SECRET, source: 'simulator' })]
    KEYS.set(verify, keys)
  }
  return keys
}

/** A partner signs each request; its key is made once. */
const KEYS = new WeakMap<Webhook['verify'], readonly SigningKey[]>()
