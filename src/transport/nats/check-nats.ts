import type { StreamConfig } from '@nats-io/jetstream'
import type { BrokerFeatures } from '../../contract/index.ts'
import { type Clock, isJuncturaError, LIMITS, type Logger } from '../../kernel/index.ts'
import type { BrokerProblem } from '../broker.ts'
import { toBrokerError } from './nats-errors.ts'
import { followNats, PROBE_HEADER } from './nats-follower.ts'
import type { NatsLink } from './nats-link.ts'
import type { NatsNames } from './nats-names.ts'
import { messageBytesMaxOf } from './nats-publisher.ts'
import { findStream, type StreamWish, unusable, widening } from './nats-streams.ts'

export interface NatsCheckOptions {
  readonly link: NatsLink
  readonly clock: Clock
  readonly log: Logger
  readonly wishes: readonly StreamWish[]
  readonly durability: BrokerFeatures['durability']
}

/** Looks at the server, the account and each stream; changes nothing. */
export const checkNats = async (options: NatsCheckOptions): Promise<readonly BrokerProblem[]> => {
  const { link, wishes, durability } = options
  const problems: BrokerProblem[] = [...checkDurability(durability), ...checkSize(link)]
  try {
    problems.push(...(await checkAccount(link)))
    for (const wish of wishes) {
      problems.push(...(await checkStream(link, wish)), ...(await checkRights(options, wish)))
    }
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

function checkSize(link: NatsLink): readonly BrokerProblem[] {
  const messageBytesMax = messageBytesMaxOf(link)
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
  const { storage, limits } = await link.call((manager) => manager.getAccountInfo())
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
  { payloadBytesMax }: NatsLink,
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
  if (config.max_msg_size > 0 && config.max_msg_size < payloadBytesMax) {
    problems.push({
      severity: 'error',
      problem: `max_msg_size is ${config.max_msg_size}; the server takes ${payloadBytesMax}`,
      fix: 'set max_msg_size to -1',
    })
  }
  return problems
}

/** Tries what a start does, in a way that leaves nothing behind. */
async function checkRights(
  { link, clock, log }: NatsCheckOptions,
  { names }: StreamWish,
): Promise<readonly BrokerProblem[]> {
  const { subjects } = names
  const follow = async (): Promise<void> => {
    const reading = await followNats({ link, clock, log, subjects, listener: () => undefined })
    await reading.close()
  }
  const problems: BrokerProblem[] = []
  for (const attempt of [follow, () => probe(link, names)]) {
    try {
      await attempt()
    } catch (error) {
      const told = toBrokerError(error, subjects)
      if (!isJuncturaError(told, 'JUNCTURA_TRANSPORT_REFUSED')) continue
      const { problem, fix } = told.details
      const resource = `the rights to ${subjects}`
      problems.push({ severity: 'error', resource, problem: String(problem), fix: String(fix) })
    }
  }
  return problems
}

/** A message for another stream than the one that takes its subject: it is never kept. */
async function probe(link: NatsLink, names: NatsNames): Promise<void> {
  const headers = link.packages.core.headers()
  headers.set(PROBE_HEADER, '1')
  headers.set('Nats-Expected-Stream', PROBE_HEADER)
  const subject = names.subjectOf('', PROBE_HEADER)
  await link.call(() => link.connection.request(subject, '', { headers, timeout: PROBE_MS }))
}

const PROBE_MS = 2_000
