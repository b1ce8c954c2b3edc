import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningEngine, startEngine } from '../../../test/engines/engine.ts'
import { createSystemKernel } from '../../kernel/index.ts'
import { testBroker } from '../../testing/index.ts'
import { createNatsBroker } from './index.ts'

let server: RunningEngine
beforeAll(async () => {
  server = await startEngine('nats')
}, 300_000)
afterAll(() => server.stop())

let cases = 0

const registered = testBroker({
  runner: {
    describe,
    // The suite asserts with node:assert, which vitest does not count.
    it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined(), 60_000),
  },
  features: {
    engine: 'nats',
    durability: 'fsync',
    unitOfOrder: 'partition',
    partitions: 1,
    messageBytesMax: 1_048_576,
    dedupeWindowMs: 120_000,
    reading: 'offset',
    delayMsMax: 0,
  },
  create: async () => {
    cases += 1
    const prefix = `case-${cases}`
    const { clock, random, log } = createSystemKernel()
    return {
      open: (onState) =>
        createNatsBroker({
          url: server.url,
          prefix,
          clock,
          random,
          log,
          durability: 'fsync',
          ...(onState && { onState }),
        }),
      topicOf: async (channel) => `${prefix}_${channel.replaceAll('.', '_')}`,
      restart: () => server.restart(),
      stop: () => server.kill(),
      wipe: () => server.wipe(),
      dispose: async () => undefined,
    }
  },
})

it('runs the whole conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(24)
})
