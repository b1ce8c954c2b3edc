import type { Integration } from '../contract/index.ts'
import { JuncturaError, type Kernel } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import {
  type Broker,
  type BrokerChannel,
  type BrokerState,
  createKafkaBroker,
  createNatsBroker,
  createRabbitmqBroker,
  type KafkaBrokerOptions,
  type NatsBrokerOptions,
  type RabbitmqBrokerOptions,
} from '../transport/index.ts'

/** How messages travel from the log to the consumers: one line, as the store is. */
export type TransportChoice =
  /** The store's own log: needs nothing more. */
  | { readonly engine: 'embedded' }
  /** The log of a PostgreSQL store; the same as `embedded` there. */
  | { readonly engine: 'postgres' }
  /** A broker between the log and the consumers; the store stays the record. */
  | ({ readonly engine: 'nats' } & Omit<NatsBrokerOptions, Given>)
  | ({ readonly engine: 'kafka' } & Omit<KafkaBrokerOptions, Given>)
  | ({ readonly engine: 'rabbitmq' } & Omit<RabbitmqBrokerOptions, Given>)
  /** A driver of your own, held by the conformance suite in `junctura/testing`. */
  | { readonly engine: 'custom'; readonly open: OpenBroker }

/** What the runtime gives every driver. */
type Given = 'clock' | 'random' | 'log' | 'onState'

export type OpenBroker = (parts: {
  readonly kernel: Kernel
  readonly onState: (state: BrokerState) => void
}) => Promise<Broker>

/**
 * How to open the broker of a choice; undefined where the log itself is the transport.
 *
 * @throws JUNCTURA_TRANSPORT_REFUSED when the store cannot carry the transport.
 */
export const chooseBroker = (choice: TransportChoice, store: Store): OpenBroker | undefined => {
  switch (choice.engine) {
    case 'embedded':
      return undefined
    case 'postgres': {
      const { engine } = store.features
      if (engine === 'postgres') return undefined
      throw new JuncturaError('JUNCTURA_TRANSPORT_REFUSED', {
        details: {
          engine: 'postgres',
          resource: `the store ${engine}`,
          problem: 'as a transport it is the log of a PostgreSQL store, and this store is another',
          fix: 'choose the store postgres as well, or the transport embedded',
        },
      })
    }
    case 'custom':
      return choice.open
    case 'nats':
    case 'kafka':
    case 'rabbitmq':
      return brokerOpener(choice)
  }
}

/**
 * The broker of a choice; undefined where the log is the transport. Nothing is created there.
 *
 * @throws what the driver throws when it cannot be reached.
 */
export const openBroker = async (
  choice: TransportChoice,
  parts: Parameters<OpenBroker>[0],
): Promise<Broker | undefined> => {
  if (choice.engine === 'embedded' || choice.engine === 'postgres') return undefined
  if (choice.engine === 'custom') return choice.open(parts)
  return brokerOpener(choice)(parts)
}

/** The channels of an integration, each kept as long as the contract that needs it longest. */
export const brokerChannelsOf = (integration: Integration): readonly BrokerChannel[] => {
  const longest = new Map<string, number>()
  for (const { channel, retentionMs } of integration.contracts.values()) {
    longest.set(channel, Math.max(retentionMs, longest.get(channel) ?? 0))
  }
  return [...longest].map(([channel, retentionMs]) => ({ channel, retentionMs }))
}

const brokerOpener =
  (choice: Extract<TransportChoice, { readonly url: string }>): OpenBroker =>
  ({ kernel, onState }) => {
    const { clock, random, log } = kernel
    const given = { clock, random, log, onState }
    switch (choice.engine) {
      case 'nats':
        return createNatsBroker({ ...choice, ...given })
      case 'kafka':
        return createKafkaBroker({ ...choice, ...given })
      case 'rabbitmq':
        return createRabbitmqBroker({ ...choice, ...given })
    }
  }
