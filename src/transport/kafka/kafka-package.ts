import type * as Kafka from '@platformatic/kafka'
import { loadPeer } from '../../kernel/index.ts'

/**
 * The part of the package `@platformatic/kafka` that the driver uses: connections, and requests of
 * the protocol by their version. All versions named here are known to every broker from Kafka 3.5
 * to 4.x. Its producers and consumers are not used: their retries, timers and caches of metadata
 * are out of our hands.
 */
export type KafkaPackage = Pick<
  typeof Kafka,
  | 'apiVersionsV3'
  | 'Connection'
  | 'crc32c'
  | 'createTopicsV7'
  | 'describeClusterV0'
  | 'describeConfigsV4'
  | 'fetchV13'
  | 'incrementalAlterConfigsV1'
  | 'initProducerIdV4'
  | 'listOffsetsV7'
  | 'metadataV12'
  | 'produceV9'
  | 'Writer'
>

/**
 * The package is an optional peer: it is looked for when a Kafka broker is opened.
 *
 * @throws JUNCTURA_PEER_MISSING when it is not installed.
 */
export const loadKafka = async (
  load: () => Promise<KafkaPackage> = () => import('@platformatic/kafka'),
): Promise<KafkaPackage> =>
  loadPeer({ package: '@platformatic/kafka', feature: 'the Kafka transport' }, load)
