import { checkName, declarationError } from './declaration-error.ts'
import { type SecretReference, secretReferences } from './secret.ts'
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
  /**
   * A POST signed as Standard Webhooks v1. A start without its secret is refused.
   *
   * @throws JUNCTURA_DECLARATION when the URL is not one of http or https.
   */
  http: (options: { readonly url: string; readonly secret: SecretReference }): AlertRoute => {
    checkUrl(options.url, 'route.http')
    secretReferences(options.secret, 'route.http.secret')
    return { kind: 'http', ...options }
  },
  /**
   * A start without its routing key is refused.
   *
   * @throws JUNCTURA_DECLARATION when the URL is not one of http or https.
   * @see PagerDuty Events API v2: trigger and resolve with a dedup_key.
   */
  pagerDuty: (options: {
    readonly routingKey: SecretReference
    readonly url?: string
  }): AlertRoute => {
    const { routingKey, url = 'https://events.pagerduty.com/v2/enqueue' } = options
    checkUrl(url, 'route.pagerDuty')
    secretReferences(routingKey, 'route.pagerDuty.routingKey')
    return { kind: 'pagerduty', routingKey, url }
  },
} as const

/** The message does not repeat the URL: what is no URL may be a secret in the wrong place. */
export function checkUrl(text: string, field: string): void {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:' || url?.protocol === 'http:') {
    if (url.username === '' && url.password === '') return
    throw declarationError(
      `${field}.url`,
      'the URL holds a user name or a password',
      'leave them out: what is sent is signed with the secret',
    )
  }
  throw declarationError(
    `${field}.url`,
    'this is not a URL that can be called',
    "write it whole: 'https://alerts.example.com/junctura'",
  )
}
