import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningEngine, startEngine } from '../../../test/engines/engine.ts'
import { createSystemKernel } from '../../kernel/index.ts'
import { testBroker } from '../../testing/index.ts'
import { createKafkaBroker } from './kafka-broker.ts'

let engine: RunningEngine
let prefixes = 0

beforeAll(async () => {
  engine = await startEngine('kafka')
})

afterAll(async () => {
  await engine.stop()
})

const registered = testBroker({
  runner: {
    describe,
    // The suite asserts with node:assert, which vitest does not count.
    it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined()),
  },
  features: {
    engine: 'kafka',
    durability: 'process',
    unitOfOrder: 'partition',
    partitions: 8,
    messageBytesMax: 5_242_880,
    dedupeWindowMs: 0,
    reading: 'offset',
    delayMsMax: 0,
  },
  patienceMs: 30_000,
  create: async () => {
    const prefix = `case-${(prefixes += 1)}`
    const { clock, random, log } = createSystemKernel()
    return {
      open: (onState) =>
        createKafkaBroker({
          url: engine.url,
          prefix,
          clock,
          random,
          log,
          publishTimeoutMs: 5_000,
          ...(onState && { onState }),
        }),
      topicOf: async (channel) => `${prefix}.${channel}`,
      stop: () => engine.kill(),
      restart: async () => {
        await engine.kill()
        await engine.restart()
      },
      wipe: () => engine.wipe(),
      dispose: async () => undefined,
    }
  },
})

it('runs the whole conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(20)
})
