import type { ConsumerPorts } from '../consumer/index.ts'
import type { Consumer, Integration } from '../contract/index.ts'
import { createHttpDialer, createPushHandler } from '../egress/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { createMasker, type DevelopmentValue, resolveSecrets } from '../security/index.ts'
import type { RuntimeOptions } from './create-runtime.ts'
import { createReadData } from './read-data.ts'

/** The consumers whose messages are sent to a URL. */
export interface PushConsumers {
  /** The same integration, its consumers that push with their handler. */
  readonly integration: Integration
  /** Reads a message's data, remembering from which bytes a value was read. */
  readonly readData: ConsumerPorts['readData']
  readonly developmentSecrets: readonly DevelopmentValue[]
  /** Closes the connections that are kept. Idempotent. */
  close(): void
}

/**
 * @throws JUNCTURA_SECRET_MISSING, JUNCTURA_SECRET_WEAK or JUNCTURA_SECRET_INVALID for the secret
 *   of a push, in a process that runs the consumers.
 */
export const openPushConsumers = async (
  integration: Integration,
  options: Pick<RuntimeOptions, 'dial' | 'roles'> & { readonly kernel: Kernel },
): Promise<PushConsumers> => {
  const { kernel, roles } = options
  // Without them, nothing is sent and no secret is needed.
  const runsConsumers = roles?.includes('worker') ?? true
  const readData = createReadData(integration)
  const dialer = createHttpDialer()
  const sources = new WeakMap<object, Uint8Array>()
  const developmentSecrets: DevelopmentValue[] = []
  const consumers: Consumer[] = []
  for (const consumer of integration.consumers) {
    const { push } = consumer
    if (!push || !runsConsumers) {
      consumers.push(consumer)
      continue
    }
    const resolved = push.verify ? await resolveSecrets(kernel, push.verify) : NO_SECRETS
    developmentSecrets.push(...resolved.developmentValues)
    const handle = createPushHandler({
      consumer,
      push,
      keys: resolved.keys,
      dial: options.dial ?? dialer.dial,
      clock: kernel.clock,
      bytesOf: (data) => (isObject(data) ? sources.get(data) : undefined),
      maskText: createMasker(consumer.on.pii).text,
    })
    consumers.push({ ...consumer, handle })
  }
  return {
    integration: { ...integration, consumers },
    developmentSecrets,
    readData(consumer, envelope, data) {
      const value = readData(consumer, envelope, data)
      // As it was written, a number beyond 2^53 stays what it is (F49).
      const isAsWritten = envelope.contractversion === consumer.on.asked
      if (consumer.push && isAsWritten && isObject(value)) sources.set(value, data)
      return value
    },
    close: () => dialer.close(),
  }
}

const NO_SECRETS = { keys: [], developmentValues: [] } as const

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
