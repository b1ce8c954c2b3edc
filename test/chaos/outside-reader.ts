// A reader of another system: it has nothing but the broker, and goes by what the messages say.
import type { BrokerName } from './broker-faults.ts'
import { decodeRecord } from '../../src/contract/index.ts'
import { createSystemKernel, silentLogger } from '../../src/kernel/index.ts'
import { openStore } from '../../src/runtime/index.ts'
import type { Store } from '../../src/store/index.ts'
import {
  type Broker,
  type BrokerOptions,
  createKafkaBroker,
  createNatsBroker,
  createRabbitmqBroker,
} from '../../src/transport/index.ts'

export interface OutsideReader {
  /** Positions of the log of a store that it was never given, by channel. */
  missing(databaseUrl: string): Promise<readonly string[]>
  /** Messages that came the first time after a later one of their key. */
  readonly outOfOrder: readonly string[]
  close(): Promise<void>
}

const open = (name: BrokerName, options: BrokerOptions): Promise<Broker> => {
  if (name === 'nats') return createNatsBroker(options)
  return name === 'kafka' ? createKafkaBroker(options) : createRabbitmqBroker(options)
}

export const startOutsideReader = async (
  name: BrokerName,
  url: string,
  channels: readonly string[],
): Promise<OutsideReader> => {
  const seen = new Map<string, Set<number>>()
  const last = new Map<string, number>()
  const outOfOrder: string[] = []
  const kernel = createSystemKernel()
  const { clock, random } = kernel
  const broker = await open(name, { url, clock, random, log: silentLogger })
  await broker.ensure(channels.map((channel) => ({ channel, retentionMs: 604_800_000 })))
  for (const channel of channels) {
    const positions = new Set<number>()
    seen.set(channel, positions)
    await broker.follow(channel, (messages) => {
      for (const { key, attributes } of messages) {
        const position = Number(attributes['logposition'])
        const of = `${channel} ${key}`
        if (!positions.has(position) && position < (last.get(of) ?? 0)) {
          outOfOrder.push(`${of}: ${position} after ${last.get(of)}`)
        }
        positions.add(position)
        last.set(of, Math.max(position, last.get(of) ?? 0))
      }
    })
  }
  return {
    outOfOrder,
    async missing(databaseUrl) {
      const store = await openStore({ engine: 'postgres', url: databaseUrl }, kernel)
      const missed: string[] = []
      for (const [channel, positions] of seen) {
        for await (const position of positionsOf(store, channel)) {
          if (!positions.has(position)) missed.push(`${channel} ${position}`)
        }
      }
      for (const state of ['open', 'resolved']) {
        // Nothing was lost here: whoever says so would publish an hour of it again.
        const scan = { collection: 'alerts', index: 'byState', where: [state], limit: 100 } as const
        const alerts = await store.scan(scan)
        const losses = alerts.filter(({ row }) => row.kind === 'transport-loss')
        missed.push(...losses.map(({ row }) => `told as lost: ${row.title}`))
      }
      await store.close()
      return missed
    },
    close: () => broker.close(),
  }
}

/** What is a message: a receipt without data is not published. */
async function* positionsOf(store: Store, channel: string): AsyncGenerator<number> {
  for (let afterPosition = 0; ;) {
    const query = { channel, afterPosition, limit: 500, bytesMax: 8_388_608 }
    const { records, scannedTo } = await store.readLog(query)
    for (const { position, bytes } of records) {
      if (decodeRecord(bytes, position).data.length > 0) yield position
    }
    if (records.length === 0) return
    afterPosition = scannedTo
  }
}
