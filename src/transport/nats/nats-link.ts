import type * as Js from '@nats-io/jetstream'
import type * as Core from '@nats-io/transport-node'
import { JuncturaError, LIMITS, messageOf } from '../../kernel/index.ts'
import type { BrokerOptions } from '../broker.ts'
import { refused, toBrokerError, unavailable } from './nats-errors.ts'

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
): Promise<NatsPackages> => {
  try {
    return await load()
  } catch (error) {
    const missing =
      error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
    if (!missing) throw error
    throw new JuncturaError('JUNCTURA_PEER_MISSING', {
      cause: error,
      details: {
        package: '@nats-io/transport-node @nats-io/jetstream',
        feature: 'the NATS transport',
      },
    })
  }
}

export interface NatsLinkOptions extends BrokerOptions {
  /** What the file of credentials of a user holds, where the server wants one. */
  readonly credentials?: string
  /** PEM texts; with a URL of `tls:` none is needed if the system trusts the server. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** Begins the subjects on which answers come. @default '_INBOX' */
  readonly inboxPrefix?: string
}

/** The connection, which is made again whenever it breaks, and what happens to it. */
export interface NatsLink {
  readonly packages: NatsPackages
  readonly connection: Core.NatsConnection
  readonly streams: Js.StreamAPI
  readonly consumers: Js.ConsumerAPI
  readonly account: () => Promise<Js.JetStreamAccountStats>
  readonly isConnected: boolean
  readonly messageBytesMax: number
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
  const { servers, login, isTls } = readUrl(options.url)
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
    streams: manager.streams,
    consumers: manager.consumers,
    account: () => manager.getAccountInfo(),
    get isConnected() {
      return isConnected && !isClosing
    },
    get messageBytesMax() {
      return connection.info?.max_payload ?? MESSAGE_BYTES_DEFAULT
    },
    onChange: (listener) => listenTo(changed, listener),
    onRefused: (listener) => listenTo(refusals, listener),
    assertConnected() {
      if (!isConnected) throw unavailable('there is no connection')
    },
    newInbox: () => core.createInbox(options.inboxPrefix ?? '_INBOX'),
    async close() {
      isClosing = true
      await connection.close()
      await watching
    },
  }
}

/** `max_payload` of a server that nobody configured. */
const MESSAGE_BYTES_DEFAULT = 1_048_576

const listenTo = <T>(listeners: Set<T>, listener: T): (() => void) => {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

interface ReadUrl {
  readonly servers: readonly string[]
  readonly login: { readonly user?: string; readonly pass?: string; readonly token?: string }
  readonly isTls: boolean
}

/** `nats://user:password@one:4222,two:4222`; a user alone is a token. */
function readUrl(text: string): ReadUrl {
  const urls = text.split(',').map((part) => {
    const trimmed = part.trim()
    const url = URL.parse(trimmed.includes('://') ? trimmed : `nats://${trimmed}`)
    if (url && url.hostname !== '' && ['nats:', 'tls:'].includes(url.protocol)) return url
    throw refused({
      resource: 'the URL',
      problem: 'it does not name a server',
      fix: 'write nats://host:4222 or tls://host:4222, several with commas between them',
    })
  })
  const named = urls.find(({ username }) => username !== '')
  const user = decodeURIComponent(named?.username ?? '')
  const pass = decodeURIComponent(named?.password ?? '')
  const login = user === '' ? {} : pass === '' ? { token: user } : { user, pass }
  return {
    servers: urls.map(({ host }) => host),
    login,
    isTls: urls.some(({ protocol }) => protocol === 'tls:'),
  }
}
