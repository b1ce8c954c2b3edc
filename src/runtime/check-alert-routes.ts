import {
  type AlertRoute,
  describeSecret,
  type Integration,
  type SourceLocation,
  standardWebhooks,
  type StartFinding,
} from '../contract/index.ts'
import { messageOf } from '../kernel/index.ts'
import { resolveSecrets, resolveSecretText, type SecretSources } from '../security/index.ts'

/** An alert route, and the declaration that names it. */
export interface DeclaredRoute {
  readonly route: Exclude<AlertRoute, { readonly kind: 'log' }>
  readonly part: string
  readonly at: SourceLocation
}

/** Every route out of the process that anything declares, each once, where it was first met. */
export const alertRoutesOf = (integration: Integration): readonly DeclaredRoute[] => {
  const { consumers, webhooks, contracts } = integration
  const owners = [...consumers, ...webhooks, ...contracts.values()].map(({ owner }) => owner)
  const letters = consumers.map(({ deadLetter }) => deadLetter?.owner)
  const teams = [...owners, ...letters].filter((team) => team !== undefined)
  const declared = [
    ...teams.map((team) => ({ route: team.oncall, part: `team "${team.name}"`, at: team.at })),
    ...consumers.map(({ deadLetter, name, at }) => ({
      route: deadLetter?.alert,
      part: `consumer "${name}"`,
      at,
    })),
  ]
  const routes = new Map<string, DeclaredRoute>()
  for (const { route, part, at } of declared) {
    if (!route || route.kind === 'log') continue
    const identity = JSON.stringify(route)
    if (!routes.has(identity)) routes.set(identity, { route, part, at })
  }
  return [...routes.values()]
}

/**
 * Reads the secret of a route, as sending does.
 *
 * @throws JUNCTURA_SECRET_MISSING, JUNCTURA_SECRET_WEAK, JUNCTURA_SECRET_INVALID.
 */
export const readRouteSecret = async (
  sources: SecretSources,
  route: DeclaredRoute['route'],
): Promise<void> => {
  if (route.kind === 'http') await resolveSecrets(sources, standardWebhooks(route))
  else await resolveSecretText(sources, route.routingKey)
}

/**
 * Alert routes whose secret cannot be used. Without this, nobody would know before the first alert,
 * which then reaches nobody.
 */
export const checkAlertRoutes = async (
  integration: Integration,
  sources: SecretSources,
): Promise<readonly StartFinding[]> => {
  const findings: StartFinding[] = []
  for (const { route, part, at } of alertRoutesOf(integration)) {
    const reference = route.kind === 'http' ? route.secret : route.routingKey
    const { kind, source } = describeSecret(reference)
    try {
      await readRouteSecret(sources, route)
    } catch (error) {
      const { host } = new URL(route.url)
      findings.push({
        rule: 'alert-secret',
        part,
        at,
        problem: `its alerts to ${host} (route.${route.kind === 'http' ? 'http' : 'pagerDuty'}) could not be sent: ${messageOf(error)}`,
        fix:
          kind === 'env'
            ? `set the environment variable ${source}, or write route.log() for now`
            : `write the secret to the file ${source}, or write route.log() for now`,
      })
    }
  }
  return findings
}
