import {
  checkIntegration,
  formatFinding,
  type Integration,
  type StartFinding,
} from '../contract/index.ts'
import type { HttpDial } from '../egress/index.ts'
import {
  createSystemKernel,
  JuncturaError,
  type Kernel,
  type Logger,
  messageOf,
} from '../kernel/index.ts'
import { createSystemLog, type Tracer } from '../observe/index.ts'
import type { RateLimit } from '../policy/index.ts'
import type { FetchCertificate } from '../security/index.ts'
import type { Store } from '../store/index.ts'
import type { SendNotification } from './alert-notifier.ts'
import { checkAlertRoutes } from './check-alert-routes.ts'
import { checkDrift } from './check-drift.ts'
import { openStore, type StoreChoice } from './open-store.ts'
import {
  type BridgeChoice,
  checkBrokerNames,
  isBroker,
  type TransportChoice,
} from './open-transport.ts'
import { buildPipeline } from './pipeline.ts'
import type { ArchivePartition } from './retention.ts'
import type { OpenOutbox } from './relays.ts'
import { checkRoles, type Role, ROLES } from './roles.ts'
import { RunningIntegration } from './running-integration.ts'
import type { Runtime } from './runtime-port.ts'

export interface RuntimeOptions {
  /** @default the machine's own clock, chance, environment and files */
  readonly kernel?: Kernel
  /**
   * Where the runtime writes what operators read; pino fits.
   *
   * @default that of `kernel` where one is given, else warnings and errors as JSON lines on stderr
   */
  readonly log?: Logger
  /** Where everything durable lives. @default SQLite in `.junctura` */
  readonly store?: StoreChoice | Store
  /**
   * What this process does; several may share a PostgreSQL store. Without `worker`, the views come
   * from the store, and what needs the consumers is refused with JUNCTURA_ROLE_ELSEWHERE.
   *
   * @default all
   */
  readonly roles?: readonly Role[]
  /**
   * How messages travel from the log to the consumers.
   *
   * @default the store's own log
   * @throws JUNCTURA_TRANSPORT_REFUSED when the store cannot carry it, or the broker forbids it.
   */
  readonly transport?: TransportChoice
  /** Opens the databases of outboxes. @default the engines' own clients @internal */
  readonly openOutbox?: OpenOutbox
  /**
   * Brokers that are given every message as well, also what they missed while they were away.
   *
   * @throws JUNCTURA_USAGE when two brokers have one name, or for a channel that there is not.
   */
  readonly bridges?: readonly BridgeChoice[]
  /** Sends alert notifications. @default the routes as declared */
  readonly send?: SendNotification
  /** Sends the messages of consumers with `push`. @default over real sockets */
  readonly dial?: HttpDial
  /**
   * What a start does about an alert route whose secret is missing or unusable: `warn` is for a
   * developer's machine, where no pager is. Not looked at where `send` is given.
   *
   * @default 'refuse'
   */
  readonly alertSecrets?: 'refuse' | 'warn'
  /** @default a tracer that only carries contexts on */
  readonly tracer?: Tracer
  /**
   * Requests of the public listener per connection address; beyond it the answer is 429 with
   * `Retry-After`. Decided before the body is read. Behind a proxy that is the proxy's address, so
   * all partners share one rate, unless `trustedProxies` names it (F102).
   *
   * No default would be right: many partners share one address, a burst after an outage is
   * wanted, and overload is refused with 503 in any case.
   *
   * @default none
   * @throws JUNCTURA_POLICY_RANGE when outside its bounds.
   */
  readonly ratePerAddress?: RateLimit
  /**
   * Proxies in front of the public listener: addresses and CIDR ranges, such as `10.0.0.0/8`. Only
   * a request whose connection comes from one of them has the address in its `X-Forwarded-For`,
   * read from the right and past other trusted ones; a header that is malformed or forged never
   * makes an address (F102). It is what `ratePerAddress` counts and what is told of a refusal.
   *
   * @default none: forwarded headers are not read
   * @maximum 256 entries, each with a prefix of at least 1
   * @throws JUNCTURA_POLICY_RANGE naming the entry.
   */
  readonly trustedProxies?: readonly string[]
  /** Runs the function of a saga anew at each step that it awaits. @internal */
  readonly alwaysSuspend?: boolean
  /**
   * Gets the certificate that a webhook's sender names, for schemes that verify with one (PayPal,
   * Amazon SNS) and were given none. Asked only for HTTPS URLs of the sender's own hosts.
   *
   * @default over HTTPS, without redirects, within 5 s and 64 KiB
   */
  readonly fetchCertificate?: FetchCertificate
  /** Called before a partition of the log is dropped. */
  readonly archive?: ArchivePartition
  /** Called when this process can no longer trust its store and should be restarted. */
  readonly onFatal?: (error: unknown) => void
}

/**
 * Starts an integration: the path of a message from the border to the dead letter, in one process.
 * Resolves when it takes messages.
 *
 * @throws JUNCTURA_REFUSED_START with every finding, its line and its fix.
 * @throws JUNCTURA_USAGE for `roles` that the store or a contract cannot do without the others.
 * @throws JUNCTURA_POLICY_RANGE for a `ratePerAddress` or `trustedProxies` outside its bounds.
 * @throws JUNCTURA_SECRET_MISSING and others of the secrets; JUNCTURA_STORE_LOCKED, _DAMAGED,
 *   _ROLLED_BACK, _FORMAT of the store; JUNCTURA_MIGRATION_… of the user's tables.
 */
export const createRuntime = async (
  integration: Integration,
  options: RuntimeOptions = {},
): Promise<Runtime> => {
  const kernel = openKernel(options)
  const routes = options.send ? [] : await checkAlertRoutes(integration, kernel)
  const isRefused = options.alertSecrets !== 'warn'
  refuseFindings([...checkIntegration(integration), ...(isRefused ? routes : [])])
  if (!isRefused) for (const { problem, fix } of routes) kernel.log.warn({ fix }, problem)
  const choice = options.store ?? { engine: 'sqlite', directory: '.junctura' }
  const store = 'engine' in choice ? await openStore(choice, kernel) : choice
  const roles = options.roles ?? ROLES
  try {
    const transport = isBroker(options.transport) ? [options.transport] : []
    checkBrokerNames([...transport, ...(options.bridges ?? [])])
    checkRoles(roles, { features: store.features, integration })
    refuseFindings(await checkDrift(integration, store))
    const pipeline = await buildPipeline(integration, { ...options, kernel, store })
    const running = new RunningIntegration({
      pipeline,
      roles,
      onFatal: (error) => options.onFatal?.(error),
    })
    try {
      await running.start()
    } catch (error) {
      // Consumers run before the bridges are opened; nothing goes on behind a start that failed.
      await running.close(0).catch((problem: unknown) => {
        kernel.log.warn({ problem: messageOf(problem) }, 'what had been started was not all closed')
      })
      for (const link of pipeline.links) await link.close()
      throw error
    }
    return running
  } catch (error) {
    await store.close()
    throw error
  }
}

function openKernel({ kernel, log }: RuntimeOptions): Kernel {
  if (kernel) return log ? { ...kernel, log } : kernel
  const system = createSystemKernel()
  return { ...system, log: log ?? createSystemLog({ clock: system.clock }) }
}

function refuseFindings(findings: readonly StartFinding[]): void {
  if (findings.length === 0) return
  throw new JuncturaError('JUNCTURA_REFUSED_START', {
    details: {
      count: findings.length,
      findings: findings.map(formatFinding).join('\n'),
      list: findings,
    },
  })
}
