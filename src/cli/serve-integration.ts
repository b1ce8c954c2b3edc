import { type Integration, storeRecords } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { type ServedRuntime, serveRuntime } from '../manage/index.ts'
import { loadOpenTelemetryTracer } from '../observe/index.ts'
import {
  type BridgeChoice,
  type BrokerStatus,
  createRuntime,
  isBroker,
  type Role,
  type Runtime,
  type StoreChoice,
  type TransportChoice,
} from '../runtime/index.ts'

export interface ServeOptions {
  readonly integration: Integration
  readonly kernel: Kernel
  readonly store: StoreChoice
  readonly roles: readonly Role[]
  readonly transport: TransportChoice
  readonly bridges: readonly BridgeChoice[]
  /** 0 takes a free one. */
  readonly port: number
  readonly host: string
  readonly managementPort: number
  readonly managementHost: string
  readonly token: string | undefined
  /** Requests a second and address; undefined for no limit. */
  readonly ratePerAddress: number | undefined
  /** Addresses and CIDR ranges; empty for none. */
  readonly trustedProxies: readonly string[]
  /** A developer's machine: an alert secret that is missing is a warning. */
  readonly isDevelopment: boolean
  /** How long requests are still taken when a drain begins. */
  readonly lameDuckMs: number
  readonly onFatal: (error: unknown) => void
}

/** What a program that started it needs to know: one line of JSON on stdout. */
export interface ReadyReport {
  readonly name: string
  readonly pid: number
  readonly roles: readonly string[]
  /** Empty without the role gateway. */
  readonly url: string
  readonly managementUrl: string
  readonly webhooks: readonly {
    readonly name: string
    readonly path: string
    readonly url: string
  }[]
  readonly consumers: readonly string[]
  readonly store: {
    readonly engine: string
    readonly durability: string
    readonly unitOfOrder: string
    readonly directory?: string
  }
  readonly transport: BrokerReport & {
    /** Given every message as well. */
    readonly bridges: readonly BrokerReport[]
    /** What the choice of engines changes, one sentence each. */
    readonly differences: readonly string[]
  }
  readonly modelHash: string
}

/** A broker that could not be reached is not `connected`: consumers are served from the store. */
export type BrokerReport = Omit<BrokerStatus, 'unpublished' | 'publishers'>

export interface Serving {
  readonly runtime: Runtime
  readonly ready: ReadyReport
  /** Readiness off, then intake, handlers, last progress, store. Idempotent. */
  drain(graceMs: number): Promise<void>
}

/**
 * Starts an integration with its two listeners: the public one only when the runtime takes
 * messages, so that no partner meets a door with nobody behind it.
 *
 * @throws what `createRuntime` throws, and the system's error when a port cannot be taken.
 */
export const serveIntegration = async (options: ServeOptions): Promise<Serving> => {
  const { integration, kernel, store, transport, token, ratePerAddress: perSecond } = options
  // Spans go to the user's own provider when the API package is there; contexts travel anyway.
  const tracer = await loadOpenTelemetryTracer({ random: kernel.random })
  const { onFatal } = options
  // Without a broker, development is as on any laptop; `start` refuses it.
  const isStored = options.isDevelopment && !isBroker(transport)
  const declared = isStored ? storeRecords(integration) : integration
  const runtime = await createRuntime(declared, {
    kernel,
    store,
    roles: options.roles,
    transport,
    bridges: options.bridges,
    tracer,
    onFatal,
    alertSecrets: options.isDevelopment ? 'warn' : 'refuse',
    ...(perSecond !== undefined && { ratePerAddress: { perSecond } }),
    trustedProxies: options.trustedProxies,
  })
  let served: ServedRuntime | undefined
  try {
    const open = await serveRuntime(runtime, {
      port: options.port,
      host: options.host,
      managementPort: options.managementPort,
      managementHost: options.managementHost,
      lameDuckMs: options.lameDuckMs,
      ...(token !== undefined && { token }),
    })
    served = open
    return {
      runtime,
      ready: await describeReady(runtime, { ...open, store }),
      drain: (graceMs) => open.close(graceMs),
    }
  } catch (error) {
    await (served ?? runtime).close(0)
    throw error
  }
}

async function describeReady(
  runtime: Runtime,
  where: { readonly url: string; readonly managementUrl: string; readonly store: StoreChoice },
): Promise<ReadyReport> {
  const { integration, model } = runtime
  const { url, managementUrl, store } = where
  const overview = await runtime.overview()
  const { engine, durability, unitOfOrder } = overview.store
  return {
    name: integration.name,
    pid: process.pid,
    roles: runtime.roles,
    url,
    managementUrl,
    webhooks: integration.webhooks.map(({ name, path }) => ({ name, path, url: url + path })),
    consumers: integration.consumers.map(({ name }) => name),
    store: {
      engine,
      durability,
      unitOfOrder,
      ...(store.engine === 'sqlite' && { directory: store.directory }),
    },
    transport: {
      ...reportOf(overview.transport),
      bridges: overview.transport.bridges.map(reportOf),
      differences: runtime.differences(),
    },
    modelHash: model.hash,
  }
}

const reportOf = ({
  name,
  engine,
  connected,
  durability,
  unitOfOrder,
}: BrokerStatus): BrokerReport => ({
  name,
  engine,
  connected,
  durability,
  unitOfOrder,
})
