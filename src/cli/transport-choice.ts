import { JuncturaError } from '../kernel/index.ts'
import type { BridgeChoice, BrokerChoice, StoreChoice, TransportChoice } from '../runtime/index.ts'

export const TRANSPORT_HELP =
  'embedded, postgres, or the URL of a broker: nats://, kafka://, amqp://'

/** By the scheme of a URL. */
const ENGINES: Readonly<Record<string, 'nats' | 'kafka' | 'rabbitmq'>> = {
  nats: 'nats',
  tls: 'nats',
  kafka: 'kafka',
  kafkas: 'kafka',
  amqp: 'rabbitmq',
  amqps: 'rabbitmq',
}

/**
 * What `--transport` says.
 *
 * @throws JUNCTURA_USAGE when it is no transport, or names a database that is not the store.
 */
export const readTransportChoice = (text: string, store: StoreChoice): TransportChoice => {
  if (text === 'embedded' || text === 'postgres') return { engine: text }
  const broker = readBroker(text)
  if (broker) return broker
  if (/^postgres(ql)?:/.test(text)) {
    if (store.engine === 'postgres' && store.url === text) return { engine: 'postgres' }
    throw usage(
      '--transport: this database is not the store, and as a transport PostgreSQL is the log of its store',
      'Give the same URL as --store, or leave --transport out',
    )
  }
  throw usage('--transport: this is no transport', `Write ${TRANSPORT_HELP}`)
}

export const BRIDGE_HELP =
  'a broker that is given every message as well: URL or NAME=URL; may be given again'

export const BRIDGE_FROM_HELP = 'where a new bridge begins: now or earliest'

export interface BridgeOptions {
  readonly bridge?: readonly string[]
  readonly bridgeFrom: string
}

/**
 * What each `--bridge` says.
 *
 * @throws JUNCTURA_USAGE when one is no URL of a broker.
 */
export const readBridges = ({ bridge, bridgeFrom: from }: BridgeOptions): BridgeChoice[] => {
  if (from !== 'now' && from !== 'earliest') {
    throw usage(`--bridge-from: ${from} is no place`, 'Write now or earliest')
  }
  return (bridge ?? []).map((text) => {
    const broker = readBroker(text)
    if (broker) return { ...broker, from }
    throw usage('--bridge: this is no broker', 'Write nats://, kafka:// or amqp://, or NAME=URL')
  })
}

/** A URL, or a name and a URL. */
const readBroker = (text: string): BrokerChoice | undefined => {
  const [, name, url = '', scheme = ''] = /^(?:([^=:/]*)=)?(([a-z]+):\/\/.*)$/.exec(text) ?? []
  const engine = ENGINES[scheme]
  return engine && { engine, url, ...(name !== undefined && { name }) }
}

const usage = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem, fix } })
