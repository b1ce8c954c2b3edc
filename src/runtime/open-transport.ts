import { JuncturaError, type Kernel } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import type { Broker, BrokerState } from '../transport/index.ts'

/** How messages travel from the log to the consumers: one line, as the store is. */
export type TransportChoice =
  /** The store's own log: needs nothing more. */
  | { readonly engine: 'embedded' }
  /** The log of a PostgreSQL store; the same as `embedded` there. */
  | { readonly engine: 'postgres' }
  /** A broker between the log and the consumers; the store stays the record. */
  | {
      readonly engine: 'nats' | 'kafka' | 'rabbitmq'
      /** `nats://`, `kafka://` or `amqp://`, several hosts separated by commas. */
      readonly url: string
      /**
       * Begins the names of streams, topics and exchanges.
       *
       * @default 'junctura'
       */
      readonly prefix?: string
    }
  /** A driver of your own, held by the conformance suite in `junctura/testing`. */
  | { readonly engine: 'custom'; readonly open: OpenBroker }

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

const brokerOpener =
  ({ engine, url, prefix }: Extract<TransportChoice, { readonly url: string }>): OpenBroker =>
  async ({ kernel, onState }) => {
    const { clock, random, log } = kernel
    const options = { url, clock, random, log, onState, ...(prefix !== undefined && { prefix }) }
    throw new JuncturaError('JUNCTURA_USAGE', {
      details: {
        problem: `the transport ${engine} is not built yet`,
        options: Object.keys(options),
      },
    })
  }
