import { JuncturaError } from '../../kernel/index.ts'

/** Where the brokers are and how one signs in, read from a URL. */
export interface KafkaUrl {
  readonly seeds: readonly BrokerAddress[]
  readonly isTls: boolean
  readonly sasl?: {
    readonly mechanism: SaslMechanism
    readonly username: string
    readonly password: string
  }
}

export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

export type SaslMechanism = (typeof MECHANISMS)[number]

const MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const

/**
 * Reads `kafka://[user:password@]host[:port][,host[:port]…][?tls=true&mechanism=NAME]`;
 * `kafkas://` is the same with TLS. Ports are 9092 where none is named. With a user and no
 * `mechanism` it is SCRAM-SHA-512, which never sends the password.
 *
 * @throws JUNCTURA_DECLARATION when it is none; the message does not repeat the URL.
 */
export const parseKafkaUrl = (url: string): KafkaUrl => {
  const parts = /^(kafkas?):\/\/(?:([^/?#]*)@)?([^/?#@]+)\/?(?:\?([^#]*))?$/.exec(url)
  if (!parts) throw invalid('it is no URL of Kafka')
  const [, scheme = '', user, hosts = '', query = ''] = parts
  const options = new URLSearchParams(query)
  for (const name of options.keys()) {
    if (name !== 'tls' && name !== 'mechanism') throw invalid(`it has no option ${name}`)
  }
  const tls = options.get('tls') ?? String(scheme === 'kafkas')
  if (tls !== 'true' && tls !== 'false') throw invalid('tls is neither true nor false')
  const seeds = hosts.split(',').map(parseAddress)
  const isTls = tls === 'true'
  if (user === undefined) return { seeds, isTls }
  return { seeds, isTls, sasl: parseUser(user, options.get('mechanism')) }
}

function parseUser(user: string, wanted: string | null): NonNullable<KafkaUrl['sasl']> {
  const [name = '', ...password] = user.split(':')
  const mechanism = MECHANISMS.find((one) => one === (wanted ?? 'SCRAM-SHA-512').toUpperCase())
  if (mechanism === undefined) throw invalid(`mechanism is none of ${MECHANISMS.join(', ')}`)
  try {
    const username = decodeURIComponent(name)
    return { mechanism, username, password: decodeURIComponent(password.join(':')) }
  } catch {
    throw invalid('user or password is not percent-encoded')
  }
}

function parseAddress(text: string): BrokerAddress {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text)
  const host = parts?.[1]?.replace(/^\[|\]$/g, '')
  const port = Number(parts?.[2] ?? '9092')
  if (host === undefined || port < 1 || port > 65_535) throw invalid('a host or port is not valid')
  return { host, port }
}

const invalid = (problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_DECLARATION', {
    details: {
      field: 'transport.url',
      problem,
      fix: 'Write kafka://host:9092,other:9092, kafkas:// for TLS, kafka://user:password@… to sign in.',
    },
  })
