import { checkName } from './declaration-error.ts'
import type { SecretReference } from './secret.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'

/** A system on either side of an edge: ours, a partner's, or one that Junctura does not run. */
export interface System {
  readonly part: 'system'
  readonly name: string
  readonly kind: 'internal' | 'external'
  readonly owner?: Team
  readonly summary?: string
  readonly at: SourceLocation
}

export interface SystemOptions {
  /** @default 'external' */
  readonly kind?: 'internal' | 'external'
  readonly owner?: Team
  readonly summary?: string
}

export const system = (name: string, options: SystemOptions = {}): System => ({
  part: 'system',
  kind: 'external',
  ...options,
  name: checkName(name, 'system'),
  at: callerLocation(),
})

/** Who owns a contract or a consumer, and how they are told. */
export interface Team {
  readonly part: 'team'
  readonly name: string
  /** Where alerts of what this team owns go. */
  readonly oncall: AlertRoute
  readonly at: SourceLocation
}

export interface TeamOptions {
  /** @default a line in the log */
  readonly oncall?: AlertRoute
}

export const team = (name: string, options: TeamOptions = {}): Team => ({
  part: 'team',
  name: checkName(name, 'team'),
  oncall: options.oncall ?? route.log(),
  at: callerLocation(),
})

/** How an alert reaches people. At-least-once, with an idempotency id, except `log`. */
export type AlertRoute =
  | { readonly kind: 'log' }
  | { readonly kind: 'http'; readonly url: string; readonly secret: SecretReference }
  | {
      readonly kind: 'pagerduty'
      readonly routingKey: SecretReference
      /** @default the public Events API v2 endpoint */
      readonly url: string
    }

export const route = {
  /** One structured log line per notification. */
  log: (): AlertRoute => ({ kind: 'log' }),
  /** A POST signed as Standard Webhooks v1. */
  http: (options: { readonly url: string; readonly secret: SecretReference }): AlertRoute => ({
    kind: 'http',
    ...options,
  }),
  /** @see PagerDuty Events API v2: trigger and resolve with a dedup_key. */
  pagerDuty: (options: {
    readonly routingKey: SecretReference
    readonly url?: string
  }): AlertRoute => ({
    kind: 'pagerduty',
    url: 'https://events.pagerduty.com/v2/enqueue',
    ...options,
  }),
} as const
