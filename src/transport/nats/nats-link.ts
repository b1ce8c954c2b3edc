import type * as Js from '@nats-io/jetstream'
import type * as Core from '@nats-io/transport-node'
import { LIMITS, loadPeer, messageOf } from '../../kernel/index.ts'
import { toBrokerError, unavailable } from './nats-errors.ts'
import type { NatsLinkOptions } from './nats-options.ts'
import { readNatsUrl } from './nats-url.ts'

/** The parts of the client's packages that the driver uses. */
export interface NatsPackages {
  readonly core: Pick<
    typeof Core,
    'connect' | 'createInbox' | 'credsAuthenticator' | 'headers' | 'nanos'
  >
  readonly js: Pick<typeof Js, 'jetstreamManager'>
}

/**
 * The packages are optional peers: they are looked for when a broker is opened.
 *
 * @throws JUNCTURA_PEER_MISSING when one is not installed.
 */
export const loadNats = async (
  load: () => Promise<NatsPackages> = async () => ({
    core: await import('@nats-io/transport-node'),
    js: await import('@nats-io/jetstream'),
  }),
): Promise<NatsPackages> =>
  loadPeer(
    {
      package: '@nats-io/transport-node @nats-io/jetstream',
      feature: 'the NATS transport',
    },
    load,
  )

/** The connection, which is made again whenever it breaks, and what happens to it. */
export interface NatsLink {
  readonly packages: NatsPackages
  readonly connection: Core.NatsConnection
  /**
   * Asks the JetStream API, and fails at once when there is no connection or it breaks.
   *
   * @throws JUNCTURA_TRANSPORT_UNAVAILABLE, or what the client throws.
   */
  call<T>(ask: (manager: Js.JetStreamManager) => Promise<T>): Promise<T>
  readonly isConnected: boolean
  /** What the server takes, headers and data together. */
  readonly payloadBytesMax: number
  /** Told of both changes, before anybody outside is. */
  onChange(listener: (isConnected: boolean) => void): () => void
  /** Told what the server refuses without an answer: a missing right. */
  onRefused(listener: (error: Error, subject: string) => void): () => void
  /** @throws JUNCTURA_TRANSPORT_UNAVAILABLE while there is no connection. */
  assertConnected(): void
  newInbox(): string
  close(): Promise<void>
}

/** Two unanswered pings mean that nobody is there: half a minute, not the client's four. */
const PING_MS = 10_000
const CONNECT_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 5_000
const PAUSE_MS_MIN = 50

export const openNatsLink = async (
  options: NatsLinkOptions,
  packages: NatsPackages,
): Promise<NatsLink> => {
  const { core, js } = packages
  const { servers, login, isTls } = readNatsUrl(options.url)
  const { random, log, onState, credentials } = options
  let tries = 0
  const pauseMs = (): number => {
    const longest = Math.min(LIMITS.relayPauseMsMax, PAUSE_MS_MIN * 2 ** tries)
    return longest * (0.5 + random.next() / 2)
  }
  let currentPauseMs = pauseMs()
  const connection = await core
    .connect({
      servers: [...servers],
      ...login,
      ...(credentials !== undefined && {
        authenticator: core.credsAuthenticator(Buffer.from(credentials)),
      }),
      ...((isTls || options.tls) && { tls: { ...options.tls } }),
      ...(options.inboxPrefix !== undefined && { inboxPrefix: options.inboxPrefix }),
      name: `junctura ${options.prefix ?? ''}`.trim(),
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => currentPauseMs,
      // A right that was taken away may be given back.
      ignoreAuthErrorAbort: true,
      pingInterval: PING_MS,
      timeout: CONNECT_TIMEOUT_MS,
      noAsyncTraces: true,
    })
    .catch((error: unknown) => {
      throw toBrokerError(error, 'the connection')
    })
  const manager = await js.jetstreamManager(connection, {
    checkAPI: false,
    timeout: REQUEST_TIMEOUT_MS,
  })
  const changed = new Set<(isConnected: boolean) => void>()
  const refusals = new Set<(error: Error, subject: string) => void>()
  let isConnected = true
  let isClosing = false
  let lastProblem = ''

  const tell = (now: boolean, problem?: string): void => {
    if (isConnected === now || isClosing) return
    isConnected = now
    for (const listener of changed) listener(now)
    onState?.({ connected: now, ...(problem !== undefined && { problem }) })
  }

  const onStatus = (status: Core.Status): void => {
    if (status.type === 'disconnect') {
      tell(false, `the connection to ${status.server} broke`)
    } else if (status.type === 'reconnecting') {
      currentPauseMs = pauseMs()
      tries += 1
    } else if (status.type === 'reconnect') {
      tries = 0
      lastProblem = ''
      tell(true)
    } else if (status.type === 'error') {
      const { error } = status
      const subject = 'subject' in error && typeof error.subject === 'string' ? error.subject : ''
      for (const listener of refusals) listener(error, subject)
      // A server that refuses us does so at each try; it is said once.
      if (lastProblem !== error.message) log.warn({ problem: error.message }, 'NATS refuses')
      lastProblem = error.message
    } else if (status.type === 'close' && !isClosing) {
      tell(false, 'the client gave the connection up')
      log.error({ problem: lastProblem }, 'the NATS client gave up; start again')
    }
  }
  const watching = (async () => {
    for await (const status of connection.status()) onStatus(status)
  })().catch((error: unknown) => {
    log.error({ problem: messageOf(error) }, 'the state of NATS is not known any more')
  })

  return {
    packages,
    connection,
    call: (ask) =>
      new Promise((resolve, reject) => {
        if (!isConnected) return reject(unavailable(NO_CONNECTION))
        const forget = listenTo(changed, () => reject(unavailable(NO_CONNECTION)))
        ask(manager).then(resolve, reject).finally(forget)
      }),
    get isConnected() {
      return isConnected && !isClosing
    },
    get payloadBytesMax() {
      return connection.info?.max_payload ?? PAYLOAD_BYTES_DEFAULT
    },
    onChange: (listener) => listenTo(changed, listener),
    onRefused: (listener) => listenTo(refusals, listener),
    assertConnected() {
      if (!isConnected) throw unavailable(NO_CONNECTION)
    },
    newInbox: () => core.createInbox(options.inboxPrefix ?? '_INBOX'),
    async close() {
      isClosing = true
      await connection.close()
      await watching
    },
  }
}

const NO_CONNECTION = 'there is no connection'
/** `max_payload` of a server that nobody configured. */
const PAYLOAD_BYTES_DEFAULT = 1_048_576

const listenTo = <T>(listeners: Set<T>, listener: T): (() => void) => {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}
