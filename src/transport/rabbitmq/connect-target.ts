import { JuncturaError, LIMITS } from '../../kernel/index.ts'
import type { AmqpConnection, AmqpModule } from './amqp-client.ts'
import type { RabbitmqTls } from './tls-options.ts'

/** Where to connect, with the secrets closed in. */
export interface ConnectTarget {
  connect(amqp: AmqpModule, name: string): Promise<AmqpConnection>
  /** Takes the password out of a text. */
  readonly mask: (text: string) => string
}

/** @throws JUNCTURA_DECLARATION when it is no URL of AMQP. */
export const readTarget = (url: string, tls: RabbitmqTls = {}): ConnectTarget => {
  const parsed = parseUrl(url)
  // The server proposes a minute; a dead connection should be found sooner.
  if (!parsed.searchParams.has('heartbeat')) {
    parsed.searchParams.set('heartbeat', String(LIMITS.rabbitmqHeartbeatSeconds))
  }
  const secrets = [parsed.password, decoded(parsed.password)].filter((secret) => secret !== '')
  const address = parsed.href
  return {
    connect: (amqp, name) =>
      amqp.connect(address, {
        ...tls,
        // Else the system waits for more to send: 40 ms for each message that comes alone.
        noDelay: true,
        keepAlive: true,
        timeout: LIMITS.rabbitmqConnectMs,
        clientProperties: { connection_name: name },
      }),
    mask: (text) => secrets.reduce((masked, secret) => masked.replaceAll(secret, '***'), text),
  }
}

function parseUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol === 'amqp:' || parsed?.protocol === 'amqps:') return parsed
  throw new JuncturaError('JUNCTURA_DECLARATION', {
    details: {
      field: 'url',
      problem: 'it is no URL of RabbitMQ',
      fix: 'write amqp://user:password@host:5672/vhost, or amqps:// for TLS',
    },
  })
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    // A percent sign that encodes nothing: it is as it is.
    return text
  }
}
