import { JuncturaError } from '../kernel/index.ts'
import type { StoreChoice, TransportChoice } from '../runtime/index.ts'

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
  const scheme = /^([a-z]+):\/\//.exec(text)?.[1] ?? ''
  const engine = ENGINES[scheme]
  if (engine) return { engine, url: text }
  if (scheme === 'postgres' || scheme === 'postgresql') {
    if (store.engine === 'postgres' && store.url === text) return { engine: 'postgres' }
    throw usage(
      'this database is not the store, and as a transport PostgreSQL is the log of its store',
      'Give the same URL as --store, or leave --transport out',
    )
  }
  throw usage('this is no transport', `Write ${TRANSPORT_HELP}`)
}

const usage = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem: `--transport: ${problem}`, fix } })
