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
  | BrokerChoice

export type BrokerChoice = NamedBroker &
  (
    | ({ readonly engine: 'nats' } & Omit<NatsBrokerOptions, Given>)
    | ({ readonly engine: 'kafka' } & Omit<KafkaBrokerOptions, Given>)
    | ({ readonly engine: 'rabbitmq' } & Omit<RabbitmqBrokerOptions, Given>)
    /** A driver of your own, held by the conformance suite in `junctura/testing`. */
    | { readonly engine: 'custom'; readonly open: OpenBroker }
  )

export interface NamedBroker {
  /**
   * Under which the store keeps how far it has published there. A broker that is moved from
   * `bridges` to `transport`, or back, goes on where it was; two of one engine need two names.
   *
   * @default the engine
   */
  readonly name?: string
}

/**
 * A broker that is given every message as well: for systems that are elsewhere, and to move from
 * one broker to another while everything runs. Each channel arrives complete and in the order of
 * the log, also after the broker was away; our consumers take nothing from it.
 */
export type BridgeChoice = BrokerChoice & {
  /** @default every channel of the integration */
  readonly channels?: readonly string[]
  /**
   * Where a bridge begins the first time: with what comes from now on, or with the oldest message
   * that the log still has.
   *
   * @default 'now'
   */
  readonly from?: 'now' | 'earliest'
}

/** What the runtime gives every driver. */
type Given = 'clock' | 'random' | 'log' | 'onState'

export type OpenBroker = (parts: {
  readonly kernel: Kernel
  readonly onState: (state: BrokerState) => void
}) => Promise<Broker>

/** Whether a choice is a broker: the others are the log of the store itself. */
export const isBroker = (choice: TransportChoice | undefined): choice is BrokerChoice =>
  choice !== undefined && choice.engine !== 'embedded' && choice.engine !== 'postgres'

/**
 * Holds a transport against the store that has to carry it.
 *
 * @throws JUNCTURA_TRANSPORT_REFUSED when it cannot.
 */
export const checkTransportChoice = (choice: TransportChoice, { features }: Store): void => {
  const { engine } = features
  if (choice.engine !== 'postgres' || engine === 'postgres') return
  throw new JuncturaError('JUNCTURA_TRANSPORT_REFUSED', {
    details: {
      engine: 'postgres',
      resource: `the store ${engine}`,
      problem: 'as a transport it is the log of a PostgreSQL store, and this store is another',
      fix: 'choose the store postgres as well, or the transport embedded',
    },
  })
}

/**
 * How to open a broker. Nothing is created there until its channels are.
 *
 * @throws what the driver throws when it cannot be reached.
 */
export const brokerOpener =
  (choice: BrokerChoice): OpenBroker =>
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
      case 'custom':
        return choice.open({ kernel, onState })
    }
  }

/** The channels of an integration, each kept as long as the contract that needs it longest. */
export const brokerChannelsOf = (integration: Integration): readonly BrokerChannel[] => {
  const longest = new Map<string, number>()
  const records = new Set<string>()
  for (const { channel, retentionMs, record } of integration.contracts.values()) {
    longest.set(channel, Math.max(retentionMs, longest.get(channel) ?? 0))
    if (record === 'transport') records.add(channel)
  }
  return [...longest].map(([channel, retentionMs]) => ({
    channel,
    retentionMs,
    ...(records.has(channel) && { isRecord: true }),
  }))
}

/** Names of the contracts whose record is the transport. */
export const recordedContracts = (integration: Integration): readonly string[] =>
  [...integration.contracts.values()]
    .filter(({ record }) => record === 'transport')
    .map(({ name }) => name)

/**
 * The channels that a bridge is given.
 *
 * @throws JUNCTURA_USAGE for one that the integration does not have.
 */
export const bridgeChannelsOf = (
  integration: Integration,
  { channels: wanted }: Pick<BridgeChoice, 'channels'>,
): readonly BrokerChannel[] => {
  // A bridge reads the log of the store, which has no record of another.
  const all = brokerChannelsOf(integration).filter(({ isRecord }) => isRecord !== true)
  const unknown = wanted?.find((name) => !all.some(({ channel }) => channel === name))
  if (unknown !== undefined) {
    const fix = `Use some of ${all.map(({ channel }) => channel).join(', ')}`
    throw usage(`bridges: ${integration.name} has no channel ${unknown} in the store`, fix)
  }
  return wanted ? all.filter(({ channel }) => wanted.includes(channel)) : all
}

/**
 * Under which the brokers of a runtime are known: first that of the transport.
 *
 * @throws JUNCTURA_USAGE when two have one name, or one has a name that is none.
 */
export const checkBrokerNames = (choices: readonly BrokerChoice[]): void => {
  const names = choices.map(brokerName)
  const invalid = names.find((name) => !/^[a-z0-9][a-z0-9-]{0,62}$/.test(name))
  if (invalid !== undefined) {
    const fix = 'Use a-z, 0-9 and -, at most 63 characters'
    throw usage(`the name ${JSON.stringify(invalid)} of a broker cannot be used`, fix)
  }
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice === undefined) return
  throw usage(`two brokers are called ${twice}`, 'Give one of them another name: NAME=URL')
}

export const brokerName = ({ name, engine }: BrokerChoice): string => name ?? engine

const usage = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem, fix } })
