import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningEngine, startEngine } from '../../../test/engines/engine.ts'
import { createSystemKernel, sleep } from '../../kernel/index.ts'
import { testBroker } from '../../testing/index.ts'
import { createRabbitmqBroker, RABBITMQ_FEATURES } from './rabbitmq-broker.ts'

let engine: RunningEngine | undefined

const server = (): RunningEngine => {
  if (!engine) throw new TypeError('the server is started before the cases')
  return engine
}

beforeAll(async () => {
  engine = await startEngine('rabbitmq')
})

afterAll(async () => {
  await engine?.stop()
})

let cases = 0

const NAME_KEPT_MS = 1_500

const registered = testBroker({
  runner: {
    describe,
    // The suite asserts with node:assert, which vitest does not count.
    it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined()),
  },
  features: RABBITMQ_FEATURES,
  // A server that was killed takes up to ten seconds to be back.
  patienceMs: 60_000,
  create: async () => {
    const kernel = createSystemKernel()
    const prefix = `case-${(cases += 1)}`
    let settled = Promise.resolve()
    const kill = async (): Promise<void> => {
      await settled
      await server().kill()
    }
    return {
      open: (onState) =>
        createRabbitmqBroker({
          ...kernel,
          url: server().url,
          prefix,
          ...(onState && { onState }),
        }),
      topicOf: async (channel) => {
        const queue = `${prefix}.${channel}.all`
        const admin = await connect(server().url)
        const amqp = await admin.createChannel()
        const type = { 'x-queue-type': 'quorum' }
        await amqp.assertQueue(queue, { durable: true, arguments: type })
        await amqp.bindQueue(queue, `${prefix}.${channel}`, '#')
        await admin.close()
        // Until then, RabbitMQ 3.10 has the name of a new quorum queue in memory alone.
        settled = sleep(kernel.clock, NAME_KEPT_MS)
        return queue
      },
      restart: async () => {
        await kill()
        await server().restart()
      },
      stop: kill,
      wipe: () => server().wipe(),
      dispose: async () => undefined,
    }
  },
})

it('runs the conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(20)
})
