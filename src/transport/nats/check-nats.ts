import type { StreamConfig } from '@nats-io/jetstream'
import type { BrokerFeatures } from '../../contract/index.ts'
import { LIMITS } from '../../kernel/index.ts'
import type { BrokerProblem } from '../broker.ts'
import { toBrokerError } from './nats-errors.ts'
import type { NatsLink } from './nats-link.ts'
import { findStream, type StreamWish, unusable, widening } from './nats-streams.ts'

export interface NatsCheckOptions {
  readonly link: NatsLink
  readonly wishes: readonly StreamWish[]
  readonly durability: BrokerFeatures['durability']
}

/** Looks at the server, the account and each stream; changes nothing. */
export const checkNats = async (options: NatsCheckOptions): Promise<readonly BrokerProblem[]> => {
  const { link, wishes, durability } = options
  link.assertConnected()
  const problems: BrokerProblem[] = [...checkDurability(durability), ...checkSize(link)]
  try {
    problems.push(...(await checkAccount(link)))
    for (const wish of wishes) problems.push(...(await checkStream(link, wish)))
  } catch (error) {
    throw toBrokerError(error, 'the JetStream API')
  }
  return problems
}

function checkDurability(durability: BrokerFeatures['durability']): readonly BrokerProblem[] {
  if (durability === 'replicated') return []
  const resource = 'sync_interval'
  if (durability === 'fsync') {
    const problem = 'the driver was told that each write is synced, which no client can see'
    const fix = 'look for sync_always at /varz of the monitoring port, under jetstream.config'
    return [{ severity: 'warning', resource, problem, fix }]
  }
  return [
    {
      severity: 'warning',
      resource,
      problem: 'a power failure may lose confirmed messages, by default those of two minutes',
      fix: "set `sync_interval: always` and the driver's durability to fsync, or use 3 replicas",
    },
  ]
}

function checkSize({ messageBytesMax }: NatsLink): readonly BrokerProblem[] {
  if (messageBytesMax >= LIMITS.recordBytesMax) return []
  return [
    {
      severity: 'warning',
      resource: 'max_payload',
      problem: `a message may have ${messageBytesMax} bytes; the store takes ${LIMITS.recordBytesMax}`,
      fix: `raise max_payload of the server to ${LIMITS.recordBytesMax * 2}, or send less`,
    },
  ]
}

const FULL = 0.8

async function checkAccount(link: NatsLink): Promise<readonly BrokerProblem[]> {
  const { storage, limits } = await link.account()
  if (limits.max_storage <= 0 || storage < limits.max_storage * FULL) return []
  return [
    {
      severity: storage >= limits.max_storage ? 'error' : 'warning',
      resource: 'the storage of the account',
      problem: `${storage} of ${limits.max_storage} bytes are used; when it is full nothing is taken`,
      fix: 'raise max_file of the account, or keep messages for a shorter time',
    },
  ]
}

async function checkStream(link: NatsLink, wish: StreamWish): Promise<readonly BrokerProblem[]> {
  const resource = `the stream ${wish.names.stream}`
  const found = await findStream(link, wish.names.stream)
  if (!found) {
    const problem = 'it is not there'
    return [{ severity: 'error', resource, problem, fix: 'start the integration: it creates it' }]
  }
  const { config } = found
  const mismatch = unusable(config, wish)
  if (mismatch) return [{ severity: 'error', resource, ...mismatch }]
  const narrow = Object.keys(widening(link, config, wish) ?? {})
  return [
    ...narrow.map((setting): BrokerProblem => ({
      severity: 'error',
      resource,
      problem: `${setting} is less than the channel needs`,
      fix: 'start the integration: it raises it; if it is refused, raise the limit of the account',
    })),
    ...checkLimits(link, config).map((problem): BrokerProblem => ({ resource, ...problem })),
  ]
}

/** Limits that somebody else has set, and that drop or refuse messages before their time. */
function checkLimits(
  { messageBytesMax }: NatsLink,
  config: StreamConfig,
): readonly Omit<BrokerProblem, 'resource'>[] {
  const problems: Omit<BrokerProblem, 'resource'>[] = []
  const isNew = config.discard === 'new'
  for (const name of ['max_bytes', 'max_msgs', 'max_msgs_per_subject'] as const) {
    const limit = config[name]
    if (limit === undefined || limit <= 0) continue
    problems.push({
      severity: isNew ? 'error' : 'warning',
      problem: isNew
        ? `when ${name} is reached (${limit}) and discard is new, nothing more is taken`
        : `${name} is ${limit}: readers of other systems lose messages before max_age`,
      fix: `set ${name} to -1`,
    })
  }
  if (config.max_msg_size > 0 && config.max_msg_size < messageBytesMax) {
    problems.push({
      severity: 'error',
      problem: `max_msg_size is ${config.max_msg_size}; the server takes ${messageBytesMax}`,
      fix: 'set max_msg_size to -1',
    })
  }
  return problems
}
