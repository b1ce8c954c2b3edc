import { crc32 } from 'node:zlib'
import { refused } from './nats-errors.ts'

/**
 * How channels are called in NATS. The stream of a channel is `<prefix>_<channel>` and its subjects
 * are `<prefix>.<channel>.<share>.<type>`, with `_` for the dots of the channel. Neither a prefix
 * nor a channel has a `_` of its own, so two channels never share a name, of one prefix or of two.
 *
 * The share is CRC-32 of the key, modulo 16: several processes of another system can split a
 * channel among themselves by subject, and each key keeps its order. The type lets them take what
 * they want. Both only choose; the truth is in the headers.
 */
export interface NatsNames {
  readonly stream: string
  /** What the stream takes, and what a follower listens to. */
  readonly subjects: string
  subjectOf(key: string, type: string | undefined): string
}

const SHARES = 16
/** Types of one channel that are remembered; an unusual channel has a few dozen. */
const TYPES_MAX = 1_024
const TYPE_CHARS_MAX = 200

export const natsNames = (prefix: string, channel: string): NatsNames => {
  if (!/^[a-z0-9-]+$/.test(prefix)) {
    throw refused({
      resource: `the prefix ${JSON.stringify(prefix)}`,
      problem: 'names of streams begin with it',
      fix: 'use a-z, 0-9 and -',
    })
  }
  if (!/^[a-z0-9.-]+$/.test(channel)) {
    throw refused({
      resource: `the channel ${JSON.stringify(channel)}`,
      problem: 'a stream is called after it',
      fix: 'use a-z, 0-9, - and dots',
    })
  }
  const token = channel.replaceAll('.', '_')
  const root = `${prefix}.${token}`
  const types = new Map<string, string>()
  const tokensOf = (type: string): string => {
    const known = types.get(type)
    if (known !== undefined) return known
    const tokens = toTokens(type)
    if (types.size < TYPES_MAX) types.set(type, tokens)
    return tokens
  }
  return {
    stream: `${prefix}_${token}`,
    subjects: `${root}.>`,
    subjectOf: (key, type = '') => `${root}.${crc32(key) % SHARES}.${tokensOf(type)}`,
  }
}

/** Whether the server takes it as the name of a stream. */
export const isStreamName = (name: string): boolean => /^[^\s.*>/\\\p{Cc}]{1,255}$/u.test(name)

const toTokens = (type: string): string =>
  type
    .slice(0, TYPE_CHARS_MAX)
    .split('.')
    .map((token) => token.replaceAll(/[^A-Za-z0-9_-]/g, '_'))
    .filter((token) => token !== '')
    .join('.') || '_'
