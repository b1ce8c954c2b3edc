import { checkIntegration, formatLocation, type Integration } from '../contract/index.ts'
import { type Kernel, messageOf } from '../kernel/index.ts'
import { alertRoutesOf, type DeclaredRoute, readRouteSecret } from '../runtime/index.ts'
import { resolveSecrets } from '../security/index.ts'
import { type Check, fail, ok, warn } from './doctor-check.ts'
import { toFailure } from './failure.ts'
import { loadIntegration } from './load-integration.ts'

export interface DeclarationCheck {
  readonly integration?: Integration
  readonly checks: readonly Check[]
}

/** Loads an integration without starting it, and says what would keep it from starting. */
export const checkDeclaration = async (
  kernel: Kernel,
  file: string,
  cwd: string,
): Promise<DeclarationCheck> => {
  let integration: Integration
  try {
    integration = await loadIntegration(file, cwd)
  } catch (error) {
    return { checks: [failed('integration', error)] }
  }
  const findings = checkIntegration(integration)
  const { name, webhooks, consumers } = integration
  const loaded =
    findings.length === 0
      ? [ok('integration', `${name}: ${webhooks.length} webhooks, ${consumers.length} consumers`)]
      : findings.map(({ at, part, problem, fix, rule }) =>
          fail(`integration`, `${formatLocation(at)} ${part}: ${problem} [${rule}]`, fix),
        )
  const secrets = await Promise.all([
    ...Array.from(
      // The doors of one endpoint have one way to verify.
      new Map(webhooks.map((hook) => [hook.endpoint?.name ?? hook.name, hook.verify])),
      ([hook, verify]) => checkWebhookSecret(kernel, hook, verify),
    ),
    ...consumers.flatMap(({ name: pushing, push }) =>
      push?.verify ? [checkWebhookSecret(kernel, pushing, push.verify)] : [],
    ),
    ...alertRoutesOf(integration).map((declared) => checkRoute(kernel, declared)),
  ])
  return { integration, checks: [...loaded, ...secrets.flat()] }
}

async function checkWebhookSecret(
  kernel: Kernel,
  webhook: string,
  scheme: Integration['webhooks'][number]['verify'],
): Promise<readonly Check[]> {
  const name = `secret of ${webhook}`
  if (scheme.kind === 'unsigned') {
    const text = `it takes requests from anyone: ${scheme.reason}`
    return [warn(name, text, 'Ask the partner for a signature; any keyed hash will do: hmac()')]
  }
  try {
    const { keys, developmentValues } = await resolveSecrets(kernel, scheme)
    if (developmentValues.length === 0) {
      return [ok(name, `${keys.length} in use for ${scheme.name}`)]
    }
    const sources = developmentValues.map(({ source }) => source).join(', ')
    const text = `${sources} is not set; the development value of the source is in use`
    return [warn(name, text, `Set ${sources} to the secret of the partner.`)]
  } catch (error) {
    return [failed(name, error)]
  }
}

async function checkRoute(kernel: Kernel, { route }: DeclaredRoute): Promise<Check> {
  const name = `alerts to ${new URL(route.url).host}`
  try {
    await readRouteSecret(kernel, route)
    return ok(name, 'its secret is there')
  } catch (error) {
    return failed(name, error)
  }
}

function failed(name: string, error: unknown): Check {
  return fail(name, messageOf(error), toFailure(error).fix)
}
