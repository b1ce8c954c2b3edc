import { describe, expect, it } from 'vitest'
import { JuncturaError } from '../kernel/index.ts'
import type { Broker, BrokerState } from '../transport/index.ts'
import { testBroker } from './broker-conformance.ts'
import { createMemoryBroker, type MemoryBroker } from './memory-broker.ts'

/** One of several connections to the same broker. */
const connectionTo = (server: MemoryBroker): Broker => {
  let isClosed = false
  return {
    ...server,
    publish: async (channel, messages) => {
      if (isClosed) throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The broker' } })
      await server.publish(channel, messages)
    },
    close: async () => {
      isClosed = true
    },
  }
}

const registered = testBroker({
  runner: {
    describe,
    // The suite asserts with node:assert, which vitest does not count.
    it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined()),
  },
  features: createMemoryBroker().features,
  patienceMs: 2_000,
  create: async () => {
    const server = createMemoryBroker()
    const listeners: ((state: BrokerState) => void)[] = []
    const tell = (connected: boolean): void => {
      server.isDown = !connected
      for (const listener of listeners) listener({ connected })
    }
    return {
      open: async (onState) => {
        if (onState) listeners.push(onState)
        return connectionTo(server)
      },
      topicOf: async (channel) => channel,
      stop: async () => tell(false),
      restart: async () => {
        tell(false)
        tell(true)
      },
      wipe: async () => server.wipe(),
      dispose: async () => undefined,
    }
  },
})

it('runs the whole conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(20)
})
