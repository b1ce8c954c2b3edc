import { type Listener, openListener } from '../ingress/index.ts'
import type { Runtime } from '../runtime/index.ts'
import { type ManagementListener, startManagementListener } from './listener.ts'
import { createManagementApi } from './management-api.ts'
import { observeProcess } from './process-gauges.ts'

export interface ServeRuntimeOptions {
  /** Of the public listener; 0 takes a free one. @default 7070 */
  readonly port?: number
  /** @default '0.0.0.0' */
  readonly host?: string
  /** Of the management listener; 0 takes a free one. @default 7071 */
  readonly managementPort?: number
  /** Other than loopback needs a token. @default '127.0.0.1' */
  readonly managementHost?: string
  /** Asked of every call to the management API. @default none @minimum 8 characters */
  readonly token?: string
  /** On close: requests are still taken so long, while `/readyz` says not ready. @default 500 */
  readonly lameDuckMs?: number
}

/** A runtime with its two listeners open. */
export interface ServedRuntime extends AsyncDisposable {
  /** Of the public listener, such as `http://127.0.0.1:7070`; empty without the role gateway. */
  readonly url: string
  readonly managementUrl: string
  /**
   * Stops in order: readiness, intake, handlers, last progress, store, management listener. Closes
   * the runtime too, since it may go only after the last request. Idempotent.
   *
   * @default 10_000 for requests, and again for handlers
   */
  close(graceMs?: number): Promise<void>
}

const GRACE_MS = 10_000

/**
 * Opens the two listeners of a runtime: the public one for webhooks, the management one for the
 * API, the page, metrics and probes. `junctura start` does the same.
 *
 * Resolves when both take requests. When it rejects, neither is open, and the runtime still runs.
 *
 * @throws JUNCTURA_MANAGEMENT_OPEN when `managementHost` can be reached from outside without token.
 * @throws JUNCTURA_SECRET_WEAK, JUNCTURA_SECRET_INVALID when the token is no usable one.
 * @throws the system's error when a port cannot be taken.
 */
export const serveRuntime = async (
  runtime: Runtime,
  options: ServeRuntimeOptions = {},
): Promise<ServedRuntime> => {
  const { port = 7070, host = '0.0.0.0', managementHost: managed = '127.0.0.1', token } = options
  const { lameDuckMs } = options
  const { kernel, ingress } = runtime
  const api = createManagementApi({ runtime, ...(token !== undefined && { token }) })
  const management = await startManagementListener({
    api,
    clock: kernel.clock,
    log: kernel.log,
    port: options.managementPort ?? 7071,
    host: managed,
  })
  let listener: Listener | undefined
  try {
    const timeouts = lameDuckMs === undefined ? {} : { lameDuckMs }
    if (runtime.roles.includes('gateway')) {
      listener = await openListener({ kernel, ingress, port, host, timeouts })
    }
  } catch (error) {
    await management.close(0)
    throw error
  }
  await runtime.announce(management.url)
  const gauges = observeProcess(runtime.metrics)
  let closing: Promise<void> | undefined
  const close = (graceMs = GRACE_MS): Promise<void> => {
    closing ??= drain({ runtime, listener, management, gauges }, graceMs)
    return closing
  }
  return {
    url: listener ? urlOf(listener.address, listener.port) : '',
    managementUrl: management.url,
    close,
    [Symbol.asyncDispose]: () => close(),
  }
}

interface Open {
  readonly runtime: Runtime
  readonly listener: Listener | undefined
  readonly management: ManagementListener
  readonly gauges: { close(): void }
}

/** The management listener goes last: it tells a load balancer that this process is not ready. */
async function drain(open: Open, graceMs: number): Promise<void> {
  const { runtime, listener, management, gauges } = open
  await runtime.drain({ closeIntake: async () => await listener?.close(graceMs), graceMs })
  await runtime.close(graceMs)
  await management.close(graceMs)
  gauges.close()
}

/** An address that a person can open: one that stands for every address becomes this machine. */
const urlOf = (address: string, port: number): string => {
  const host = address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
