import { isJuncturaError, JuncturaError } from '../kernel/index.ts'
import { createSigningKey, resolveSecrets, type SigningKey } from '../security/index.ts'
import type { CliIo } from './cli-io.ts'
import { findIntegrationFile, loadIntegration } from './load-integration.ts'
import type { WebhookPart } from './model-parts.ts'

export interface PartnerKeyOptions {
  /** The secret itself. */
  readonly secret?: string
  /** The user's module, for its development value. */
  readonly integration?: string
}

/**
 * The keys that a partner of this webhook signs with: the secret that was given, else the one in
 * the environment, else the development value that the integration's own file holds. A running
 * integration never tells a secret, so that file is the only place to find it.
 *
 * @throws JUNCTURA_SECRET_MISSING when none of them has it.
 */
export const findPartnerKeys = async (
  io: Pick<CliIo, 'kernel' | 'cwd'>,
  webhook: WebhookPart,
  options: PartnerKeyOptions,
): Promise<readonly SigningKey[]> => {
  const scheme = webhook.verify
  if (scheme.kind === 'unsigned') return []
  if (options.secret !== undefined) {
    return [createSigningKey({ scheme, text: options.secret, source: '--secret' })]
  }
  try {
    return (await resolveSecrets(io.kernel, scheme)).keys
  } catch (error) {
    if (!isJuncturaError(error, 'JUNCTURA_SECRET_MISSING')) throw error
    const declared = await declaredScheme(io, webhook, options)
    if (declared) return (await resolveSecrets(io.kernel, declared)).keys
    throw new JuncturaError('JUNCTURA_SECRET_MISSING', {
      details: {
        ...error.details,
        fix: 'Set the variable, give --secret, or name the file: --integration FILE',
      },
      cause: error,
    })
  }
}

async function declaredScheme(
  io: Pick<CliIo, 'cwd'>,
  webhook: WebhookPart,
  options: PartnerKeyOptions,
) {
  const file = options.integration ?? findIntegrationFile(io.cwd)
  if (file === undefined) return undefined
  const integration = await loadIntegration(file, io.cwd)
  return integration.webhooks.find((hook) => hook.name === webhook.name)?.verify
}
