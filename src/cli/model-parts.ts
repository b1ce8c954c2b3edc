import type { JsonSchema, KeySource, SignatureScheme } from '../contract/index.ts'
import { JuncturaError } from '../kernel/index.ts'
import type { ManagementClient } from './management-client.ts'

/** What the commands read of the Model that a running integration shows. */
export interface ModelParts {
  readonly modelVersion: string
  readonly name: string
  readonly hash: string
  readonly webhooks: readonly WebhookPart[]
  readonly contracts: readonly ContractPart[]
  readonly consumers: readonly ConsumerPart[]
  readonly systems: readonly { readonly name: string; readonly kind: string }[]
  readonly tables: readonly { readonly name: string }[]
}

export interface WebhookPart {
  readonly name: string
  readonly endpoint?: { readonly name: string; readonly eventsMax: number }
  readonly path: string
  readonly from: string
  readonly accepts: string
  readonly verify: SignatureScheme
  readonly version?: KeySource
  readonly idempotency: { readonly key?: KeySource }
  readonly contentTypes: readonly string[]
}

export interface ContractPart {
  readonly kind: 'event' | 'command'
  readonly name: string
  readonly owner?: string
  readonly key: readonly string[]
  readonly latest: number
  readonly versions: readonly { readonly version: number; readonly schema: JsonSchema }[]
}

export interface ConsumerPart {
  readonly name: string
  readonly owner?: string
  readonly on: { readonly contract: string; readonly version: number }
  readonly replay?: string
}

/** The Model of the integration that runs. */
export const fetchModel = (client: ManagementClient): Promise<ModelParts> =>
  client.get<ModelParts>('/api/v1/model')

/** The Model of an integration that is only loaded; the same JSON. */
export const readModel = (model: object): ModelParts => {
  const parts: ModelParts = JSON.parse(JSON.stringify(model))
  return parts
}

/**
 * The part of this name.
 *
 * @throws JUNCTURA_USAGE when there is none; it lists those that are.
 */
export const findPart = <T extends { readonly name: string }>(
  parts: readonly T[],
  name: string,
  what: string,
): T => {
  const found = parts.find((part) => part.name === name)
  if (found) return found
  const known = parts.map((part) => part.name)
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem: `There is no ${what} ${JSON.stringify(name)}.`,
      fix: known.length === 0 ? 'It has none.' : `It has: ${known.join(', ')}`,
    },
  })
}
