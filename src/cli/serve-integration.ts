import type { Integration } from '../contract/index.ts'
import { type Listener, openListener } from '../ingress/index.ts'
import type { Kernel } from '../kernel/index.ts'
import {
  createManagementApi,
  type ManagementListener,
  startManagementListener,
} from '../manage/index.ts'
import { loadOpenTelemetryTracer } from '../observe/index.ts'
import { createRuntime, type Runtime, type StoreChoice } from '../runtime/index.ts'
import { observeProcess } from './process-gauges.ts'

export interface ServeOptions {
  readonly integration: Integration
  readonly kernel: Kernel
  readonly store: StoreChoice
  /** 0 takes a free one. */
  readonly port: number
  readonly host: string
  readonly managementPort: number
  readonly managementHost: string
  readonly token: string | undefined
  /** Requests a second and address; undefined for no limit. */
  readonly ratePerAddress: number | undefined
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
    readonly directory?: string
  }
  readonly modelHash: string
}

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
  const { integration, kernel, store, token, ratePerAddress: perSecond } = options
  // Spans go to the user's own provider when the API package is there; contexts travel anyway.
  const tracer = await loadOpenTelemetryTracer({ random: kernel.random })
  const { onFatal } = options
  const runtime = await createRuntime(integration, {
    kernel,
    store,
    tracer,
    onFatal,
    alertSecrets: options.isDevelopment ? 'warn' : 'refuse',
    ...(perSecond !== undefined && { ratePerAddress: { perSecond } }),
  })
  const gauges = observeProcess(runtime.metrics)
  let management: ManagementListener | undefined
  try {
    const api = createManagementApi({ runtime, ...(token !== undefined && { token }) })
    management = await startManagementListener({
      api,
      clock: kernel.clock,
      log: kernel.log,
      port: options.managementPort,
      host: options.managementHost,
    })
    const { port, host, lameDuckMs } = options
    const { ingress } = runtime
    const timeouts = { lameDuckMs }
    const listener = await openListener({ kernel, ingress, port, host, timeouts })
    const open = { runtime, listener, management, gauges }
    let draining: Promise<void> | undefined
    return {
      runtime,
      ready: await describeReady(runtime, {
        store,
        url: urlOf(listener.address, listener.port),
        managementUrl: management.url,
      }),
      drain: (graceMs) => (draining ??= drain(open, graceMs)),
    }
  } catch (error) {
    gauges.close()
    await management?.close(0)
    await runtime.close(0)
    throw error
  }
}

interface Open {
  readonly runtime: Runtime
  readonly listener: Listener
  readonly management: ManagementListener
  readonly gauges: { close(): void }
}

/** The management listener goes last: it tells a load balancer that this process is not ready. */
async function drain(open: Open, graceMs: number): Promise<void> {
  const { runtime, listener, management, gauges } = open
  await runtime.drain({ closeIntake: () => listener.close(graceMs), graceMs })
  await runtime.close(graceMs)
  await management.close(graceMs)
  gauges.close()
}

async function describeReady(
  runtime: Runtime,
  where: { readonly url: string; readonly managementUrl: string; readonly store: StoreChoice },
): Promise<ReadyReport> {
  const { integration, model } = runtime
  const { url, managementUrl, store } = where
  const { engine, durability } = (await runtime.overview()).store
  return {
    name: integration.name,
    pid: process.pid,
    url,
    managementUrl,
    webhooks: integration.webhooks.map(({ name, path }) => ({ name, path, url: url + path })),
    consumers: integration.consumers.map(({ name }) => name),
    store: {
      engine,
      durability,
      ...(store.engine === 'sqlite' && { directory: store.directory }),
    },
    modelHash: model.hash,
  }
}

/** An address that a person can open: one that stands for every address becomes this machine. */
const urlOf = (address: string, port: number): string => {
  const host = address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
