import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engineForTests } from '../../test/engines/engine.ts'
import { consumer, integration } from '../contract/index.ts'
import { createSystemKernel } from '../kernel/index.ts'
import { createRuntime, type RuntimeOptions } from './create-runtime.ts'
import { type BrokerChoice, brokerOpener } from './open-transport.ts'
import type { Runtime } from './runtime-port.ts'
import { Placed, policy } from './world.fixture.ts'

type Server = { readonly url: string; stop(): Promise<void> }

const KEYS = 7
const ROUND = 300

describe('a swap of the broker under load, NATS for Kafka', () => {
  const servers = new Map<string, Server>()
  const directory = mkdtempSync(join(tmpdir(), 'junctura-bridge-'))
  const prefix = `swap-${process.pid}`

  const choiceOf = (engine: 'nats' | 'kafka'): BrokerChoice => ({
    engine,
    url: servers.get(engine)?.url ?? '',
    prefix,
  })

  beforeAll(async () => {
    for (const name of ['nats', 'kafka'] as const) servers.set(name, await engineForTests(name))
  })

  afterAll(async () => {
    for (const server of servers.values()) await server.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  /** What other systems find there, by key, without what was published twice. */
  const readAll = async (engine: 'nats' | 'kafka', count: number) => {
    const kernel = createSystemKernel()
    const broker = await brokerOpener(choiceOf(engine))({ kernel, onState: () => undefined })
    const byKey = new Map<string, number[]>()
    const ids = new Set<string>()
    await new Promise<void>((resolve, reject) => {
      const topic = { nats: `${prefix}_${Placed.channel}`, kafka: `${prefix}.${Placed.channel}` }
      const onBatch = async (
        batch: readonly {
          readonly attributes: Readonly<Record<string, string>>
          readonly data: Uint8Array
        }[],
      ): Promise<void> => {
        for (const { attributes, data } of batch) {
          if (ids.has(attributes['id'] ?? '')) continue
          ids.add(attributes['id'] ?? '')
          const { key, n } = JSON.parse(Buffer.from(data).toString()) as { key: string; n: number }
          byKey.set(key, [...(byKey.get(key) ?? []), n])
        }
        if (ids.size >= count) resolve()
      }
      broker.read(topic[engine], { from: {}, onBatch }).catch(reject)
    })
    await broker.close()
    return byKey
  }

  it('loses nothing, keeps the order of each key on both, and doubles no effect (M6, M14)', async () => {
    const effects: string[] = []
    const one = consumer('one', {
      ...policy,
      on: Placed,
      handle: async ({ key, n }) => void effects.push(`${key}:${n}`),
    })
    const start = (options: RuntimeOptions): Promise<Runtime> =>
      createRuntime(integration('demo', { parts: [one] }), {
        store: { engine: 'sqlite', directory },
        send: () => Promise.resolve(),
        ...options,
      })
    let sent = 0
    const publish = async (runtime: Runtime): Promise<void> => {
      for (let batch = 0; batch < ROUND; batch += 10) {
        const drafts = Array.from({ length: 10 }, () => {
          sent += 1
          return Placed.of({ key: `k${sent % KEYS}`, n: sent })
        })
        await runtime.publishMany(drafts)
      }
    }
    const steps: readonly RuntimeOptions[] = [
      { transport: choiceOf('nats') },
      { transport: choiceOf('nats'), bridges: [choiceOf('kafka')] },
      { transport: choiceOf('kafka'), bridges: [choiceOf('nats')] },
      { transport: choiceOf('kafka') },
    ]
    for (const options of steps) {
      const runtime = await start(options)
      await publish(runtime)
      await runtime.idle()
      await expect.poll(async () => (await unpublished(runtime)).every((n) => n === 0)).toBe(true)
      await runtime.close()
    }

    expect(effects).toHaveLength(4 * ROUND)
    expect(new Set(effects).size).toBe(4 * ROUND)
    const rising = (from: number, to: number, key: number): readonly number[] =>
      Array.from({ length: to - from }, (_, at) => from + 1 + at).filter((n) => n % KEYS === key)
    const onNats = await readAll('nats', 3 * ROUND)
    const onKafka = await readAll('kafka', 3 * ROUND)
    for (let key = 0; key < KEYS; key++) {
      expect(onNats.get(`k${key}`)).toEqual(rising(0, 3 * ROUND, key))
      expect(onKafka.get(`k${key}`)).toEqual(rising(ROUND, 4 * ROUND, key))
    }
  }, 120_000)
})

const unpublished = async (runtime: Runtime): Promise<readonly number[]> => {
  const { transport } = await runtime.overview()
  return [transport, ...transport.bridges].map((one) => one.unpublished ?? 0)
}
