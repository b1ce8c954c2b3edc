import type { StreamConfig, StreamInfo, StreamUpdateConfig } from '@nats-io/jetstream'
import type { BrokerChannel, BrokerChannelState } from '../broker.ts'
import { API_ERROR, apiFailureOf, refused, toBrokerError, unavailable } from './nats-errors.ts'
import type { NatsLink } from './nats-link.ts'
import type { NatsNames } from './nats-names.ts'

/** How long the server knows the ids of what it took: the time within which a relay tries again. */
export const DEDUPE_WINDOW_MS = 120_000

export interface StreamWish extends BrokerChannel {
  readonly names: NatsNames
  readonly replicas: number
}

/** Creates the stream of a channel, or widens the one that is there. */
export const ensureStream = async (link: NatsLink, wish: StreamWish): Promise<void> => {
  const { stream } = wish.names
  try {
    // Another process may do the same at this moment: whoever is second finds it.
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const found = await findStream(link, stream)
      if (!found) {
        if (await addStream(link, wish)) return
        continue
      }
      const problem = unusable(found.config, wish)
      if (problem) throw refused({ resource: `the stream ${stream}`, ...problem })
      const change = widening(link, found.config, wish)
      if (change) await link.call(({ streams }) => streams.update(stream, change))
      return
    }
  } catch (error) {
    throw toBrokerError(error, `the stream ${stream}`)
  }
  throw unavailable(`the stream ${stream} is made and deleted by others at this moment`)
}

const TRIES_MAX = 5

export const findStream = async (
  link: NatsLink,
  stream: string,
): Promise<StreamInfo | undefined> => {
  try {
    return await link.call(({ streams }) => streams.info(stream))
  } catch (error) {
    if (apiFailureOf(error)?.code === API_ERROR.streamNotFound) return undefined
    throw error
  }
}

export const inspectStream = async (
  link: NatsLink,
  { stream }: NatsNames,
): Promise<BrokerChannelState> => {
  const found = await findStream(link, stream).catch((error: unknown) => {
    throw toBrokerError(error, `the stream ${stream}`)
  })
  if (!found) throw unavailable(`there is no stream ${stream}`)
  return { incarnation: found.created, ends: { '0': String(found.state.last_seq + 1) } }
}

/** False when somebody else has just made one of that name. */
async function addStream(link: NatsLink, wish: StreamWish): Promise<boolean> {
  const { names, channel, replicas } = wish
  const { nanos } = link.packages.core
  const maxAge = nanos(wish.retentionMs)
  try {
    const config = {
      name: names.stream,
      description: `Junctura channel ${channel}`,
      storage: 'file',
      retention: 'limits',
      discard: 'old',
      max_age: maxAge,
      // What may be in it is bound by max_payload of the server.
      max_msg_size: -1,
      duplicate_window: Math.min(nanos(DEDUPE_WINDOW_MS), maxAge),
      num_replicas: replicas,
      allow_atomic: true,
      allow_direct: true,
    } as const
    await link.call(({ streams }) => streams.add({ ...config, subjects: [names.subjects] }))
    return true
  } catch (error) {
    if (apiFailureOf(error)?.code === API_ERROR.streamNameInUse) return false
    throw error
  }
}

interface Mismatch {
  readonly problem: string
  readonly fix: string
}

/** What of a stream that is there cannot be changed, or is not ours to change. */
export const unusable = (config: StreamConfig, { names }: StreamWish): Mismatch | undefined => {
  const fix = 'delete it if nobody needs it, or choose another prefix'
  const because = (problem: string): Mismatch => ({ problem, fix })
  if (config.mirror) return because('it is a mirror, and takes no messages')
  if (!config.subjects?.includes(names.subjects)) {
    return because(`it is there, and its subjects are not ${names.subjects}`)
  }
  if (config.sealed) return because('it is sealed')
  if (config.no_ack) return because('no_ack is set: the server confirms nothing')
  if (config.storage !== 'file') return because('it is kept in memory, and not in files')
  if (config.retention !== 'limits') {
    return because(`its retention is ${config.retention}: readers take messages from each other`)
  }
  if (config.persist_mode === 'async') {
    return because('persist_mode is async: messages are confirmed before they are written')
  }
  return undefined
}

/** What has to grow; undefined when all of it is wide enough. */
export const widening = (
  link: NatsLink,
  config: StreamConfig,
  { retentionMs, replicas }: StreamWish,
): Partial<StreamUpdateConfig> | undefined => {
  const { nanos } = link.packages.core
  const maxAge = nanos(retentionMs)
  const keptNow = config.max_age === 0 ? Infinity : config.max_age
  const windowWanted = Math.min(nanos(DEDUPE_WINDOW_MS), Math.max(maxAge, keptNow))
  const change: Partial<StreamUpdateConfig> = {
    ...(keptNow < maxAge && { max_age: maxAge }),
    ...(config.duplicate_window < windowWanted && { duplicate_window: windowWanted }),
    ...(config.num_replicas < replicas && { num_replicas: replicas }),
    ...(config.allow_atomic !== true && { allow_atomic: true }),
  }
  return Object.keys(change).length > 0 ? change : undefined
}
