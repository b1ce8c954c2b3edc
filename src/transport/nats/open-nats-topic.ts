import type { ForeignTopic, ForeignTopicOptions } from '../foreign-topic.ts'
import { loadNats, openNatsLink } from './nats-link.ts'
import { isStreamName } from './nats-names.ts'
import { natsTopicOf, noStream } from './nats-topic.ts'

export interface NatsTopicOptions extends ForeignTopicOptions {
  readonly stream: string
  /** Of the stream, only what matches one of them. @default all of it */
  readonly subjects?: readonly string[] | undefined
}

/**
 * Opens a stream that others write, by a consumer that the server forgets: nothing is made there.
 * A stream whose retention is not `limits` is refused, because there a reader takes messages away.
 *
 * @throws JUNCTURA_PEER_MISSING, JUNCTURA_DECLARATION, JUNCTURA_TRANSPORT_UNAVAILABLE,
 *   JUNCTURA_TRANSPORT_REFUSED.
 */
export const openNatsTopic = async (options: NatsTopicOptions): Promise<ForeignTopic> => {
  const { clientName, stream } = options
  if (!isStreamName(stream)) throw noStream(stream)
  const link = await openNatsLink({ ...options, prefix: clientName }, await loadNats())
  return natsTopicOf(options, link, false)
}
