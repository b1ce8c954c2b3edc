import type { Features, Integration } from '../contract/index.ts'
import { JuncturaError } from '../kernel/index.ts'

/**
 * What a process does. `gateway`: the public listener and `publish`. `worker`: consumers, retries,
 * timers, replays, which the workers of a store share; one of them does retention and moves what is
 * waiting in outboxes and in topics of others, and each channel is published to its brokers by one
 * of them. `relay`: does these two without being a worker; while one lives, no worker publishes.
 * `console`: the management API and its page.
 */
export type Role = 'gateway' | 'worker' | 'relay' | 'console'

export const ROLES: readonly Role[] = ['gateway', 'worker', 'relay', 'console']

/**
 * @throws JUNCTURA_USAGE when a store for one process would be left without a worker, or when
 *   messages that are never stored could reach no consumer.
 */
export const checkRoles = (
  roles: readonly Role[],
  parts: {
    readonly features: Features
    readonly integration: Integration
  },
): void => {
  const { features, integration } = parts
  const refuse = (problem: string, fix: string): never => {
    throw new JuncturaError('JUNCTURA_USAGE', { details: { problem, fix } })
  }
  const unknown = roles.find((role) => !ROLES.includes(role))
  if (unknown !== undefined) {
    refuse(`roles: ${unknown} is no role`, `Use some of ${ROLES.join(', ')}`)
  }
  if (roles.length === 0) refuse('roles: none is given', `Use some of ${ROLES.join(', ')}`)
  if (roles.includes('worker')) return
  if (!features.multiProcess) {
    refuse(
      `roles: ${roles.join(', ')} without worker on ${features.engine}, which one process uses alone`,
      'Start all roles in one process, or use a PostgreSQL store',
    )
  }
  const volatile = [...integration.contracts.values()].find(
    ({ guarantee }) => guarantee === 'at-most-once',
  )
  if (volatile && roles.includes('gateway')) {
    refuse(
      `roles: ${volatile.name} is at-most-once and in no log, so only consumers of the same process get it`,
      'Give this process the role worker too, or make the contract at-least-once',
    )
  }
}
