import type { BrokerOptions } from '../broker.ts'
import { Cluster } from './cluster.ts'
import { loadKafka } from './kafka-package.ts'
import { parseKafkaUrl } from './kafka-url.ts'
import type { TlsOptions } from './tls-options.ts'

export interface OpenClusterOptions extends Pick<
  BrokerOptions,
  'url' | 'clock' | 'random' | 'log' | 'onState'
> {
  readonly tls?: TlsOptions | undefined
  readonly clientId: string
  readonly requestTimeoutMs: number
}

/**
 * @throws JUNCTURA_PEER_MISSING, JUNCTURA_DECLARATION for the URL, JUNCTURA_TRANSPORT_UNAVAILABLE
 *   and JUNCTURA_TRANSPORT_REFUSED.
 */
export const openCluster = async (options: OpenClusterOptions): Promise<Cluster> => {
  const { tls, clientId, clock, random, log, requestTimeoutMs } = options
  const { onState = () => undefined } = options
  const url = parseKafkaUrl(options.url)
  const kafka = await loadKafka()
  const context = { clock, random, log, requestTimeoutMs, onState }
  const cluster = new Cluster({ kafka, url, tls, clientId, ...context })
  await cluster.open()
  return cluster
}
