import type { Webhook } from '../contract/index.ts'
import { createCertificateFetcher, createHttpDialer } from '../egress/index.ts'
import type { Inbox } from '../inbox/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { createIngress, type Ingress } from '../ingress/index.ts'
import {
  type DevelopmentValue,
  type FetchCertificate,
  resolveSecrets,
  type SigningKey,
} from '../security/index.ts'
import type { MessageViews } from './message-views.ts'
import type { Foundations, Opened } from './pipeline.ts'
import type { PushConsumers } from './push-consumers.ts'
import { createRefusalTeller } from './tell-refusal.ts'
import type { MessageStatus } from './views.ts'

type Pushes = Pick<PushConsumers, 'close' | 'developmentSecrets'>

/**
 * The public border with its secrets read.
 *
 * @throws JUNCTURA_SECRET_MISSING, JUNCTURA_SECRET_WEAK or JUNCTURA_SECRET_INVALID of a webhook.
 */
export const openIngress = async (
  base: Foundations,
  parts: {
    readonly inbox: Inbox
    readonly views: MessageViews
    readonly options: Opened
    readonly pushes: Pushes
  },
): Promise<{
  readonly ingress: Ingress
  readonly pushes: Pushes
  readonly developmentSecrets: readonly DevelopmentValue[]
}> => {
  const { kernel, integration, committer, metrics, tracer, events } = base
  const { webhooks } = integration
  const { ratePerAddress, trustedProxies } = parts.options
  const keys = new Map<string, readonly SigningKey[]>()
  const { pushes } = parts
  const developmentSecrets: DevelopmentValue[] = [...pushes.developmentSecrets]
  for (const hook of webhooks) {
    const resolved = await resolveSecrets(kernel, hook.verify)
    keys.set(hook.name, resolved.keys)
    developmentSecrets.push(...resolved.developmentValues)
  }
  const fetchCertificate = parts.options.fetchCertificate ?? openFetcher(webhooks, kernel)
  const ingress = createIngress({
    kernel,
    webhooks,
    inbox: parts.inbox,
    committer,
    keysOf: (hook) => keys.get(hook.name) ?? [],
    metrics,
    tracer,
    ...(ratePerAddress && { ratePerAddress }),
    ...(trustedProxies && { trustedProxies }),
    ...(fetchCertificate && { fetchCertificate }),
    outcomeOf: async ({ position }) => outcomeFor(await parts.views.outcomeOf(position)),
    onRefused: createRefusalTeller({ events, kernel }),
  })
  return { ingress, developmentSecrets, pushes }
}

/** Nothing where no sender names a certificate. */
function openFetcher(webhooks: readonly Webhook[], kernel: Kernel): FetchCertificate | undefined {
  const isNamed = webhooks.some(
    ({ verify }) => verify.kind === 'signed' && verify.certificate !== undefined,
  )
  if (!isNamed) return undefined
  return createCertificateFetcher({ dial: createHttpDialer().dial, clock: kernel.clock })
}

const HELD_STATUSES: ReadonlySet<MessageStatus> = new Set(['dead', 'parked', 'dropped', 'expired'])

/** What a sender is told: nothing of who consumes, only whether it is through. */
function outcomeFor(status: MessageStatus): 'pending' | 'delivered' | 'held' {
  if (status === 'pending' || status === 'retrying') return 'pending'
  return HELD_STATUSES.has(status) ? 'held' : 'delivered'
}
