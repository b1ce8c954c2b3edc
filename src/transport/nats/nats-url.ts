import { refused } from './nats-errors.ts'

export interface NatsUrl {
  readonly servers: readonly string[]
  readonly login: { readonly user?: string; readonly pass?: string; readonly token?: string }
  readonly isTls: boolean
  readonly replicas?: number
  readonly durability?: 'process' | 'fsync'
}

/**
 * `nats://user:password@one:4222,two:4222?replicas=3&durability=fsync`; a user alone is a token.
 *
 * @throws JUNCTURA_TRANSPORT_REFUSED when it is no such URL. What is in it is not repeated.
 */
export const readNatsUrl = (text: string): NatsUrl => {
  const [hosts = '', query = ''] = text.split('?', 2)
  const urls = hosts.split(',').map((part) => {
    const trimmed = part.trim()
    const url = URL.parse(trimmed.includes('://') ? trimmed : `nats://${trimmed}`)
    if (url && url.hostname !== '' && ['nats:', 'tls:'].includes(url.protocol)) return url
    throw unusable(
      'it does not name a server',
      'write nats://host:4222 or tls://host:4222, several with commas between them',
    )
  })
  const named = urls.find(({ username }) => username !== '')
  const user = decodeURIComponent(named?.username ?? '')
  const pass = decodeURIComponent(named?.password ?? '')
  return {
    servers: urls.map(({ host }) => host),
    login: user === '' ? {} : pass === '' ? { token: user } : { user, pass },
    isTls: urls.some(({ protocol }) => protocol === 'tls:'),
    ...readQuery(new URLSearchParams(query)),
  }
}

function readQuery(query: URLSearchParams): Pick<NatsUrl, 'replicas' | 'durability'> {
  const unknown = [...query.keys()].find((name) => name !== 'replicas' && name !== 'durability')
  if (unknown !== undefined) {
    throw unusable(`it has the setting ${unknown}`, 'the settings are replicas and durability')
  }
  const replicas = query.get('replicas')
  if (replicas !== null && !/^[1-5]$/.test(replicas)) {
    throw unusable('replicas is no number that it may be', 'write 1, 3 or 5')
  }
  const durability = query.get('durability')
  if (durability !== null && durability !== 'process' && durability !== 'fsync') {
    throw unusable('durability is no word that it may be', 'write process or fsync')
  }
  return {
    ...(replicas !== null && { replicas: Number(replicas) }),
    ...(durability !== null && { durability }),
  }
}

const unusable = (problem: string, fix: string): Error =>
  refused({ resource: 'the URL', problem, fix })
