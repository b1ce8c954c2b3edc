import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { connect, headers as newHeaders, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type RunningEngine, startEngine } from '../../test/engines/engine.ts'
import type { TopicPlace, TopicSourceOptions } from '../contract/index.ts'
import type { TopicView } from '../runtime/index.ts'
import {
  BROKER_URL,
  expectedOfKey,
  KEYS,
  killInTransfer,
  numbersOfKey,
  openTopicWorld,
  PaymentCaptured,
  type TopicWorld,
  type TopicWorldOptions,
  until,
} from './topic-world.fixture.ts'

let engine: RunningEngine
let plain: NatsConnection
let manager: JetStreamManager
let streams = 0
let stream = ''
const opened: TopicWorld[] = []

beforeAll(async () => {
  engine = await startEngine('nats')
})

beforeEach(async () => {
  plain = await connect({ servers: engine.url, maxReconnectAttempts: -1 })
  manager = await jetstreamManager(plain)
  stream = `PAYMENTS_${(streams += 1)}`
  await manager.streams.add({ name: stream, subjects: [`${stream}.>`] })
  return async () => {
    for (const world of opened.splice(0)) await world.close()
    await manager.streams.delete(stream).catch(() => undefined)
    await plain.close()
  }
})

afterAll(() => engine.stop())

const place = (): TopicPlace => ({ nats: BROKER_URL, stream })

const openWorld = async (
  over: Partial<TopicSourceOptions> = {},
  rest: Partial<TopicWorldOptions> = {},
): Promise<TopicWorld> => {
  const world = await openTopicWorld({ topic: place(), url: engine.url, over, ...rest })
  opened.push(world)
  return world
}

/** As another program does it, with the client of a vendor. */
const send = async (
  value: unknown,
  sent: Readonly<Record<string, string>> = {},
  subject = 'captured',
): Promise<void> => {
  const head = newHeaders()
  for (const [name, text] of Object.entries(sent)) head.set(name, text)
  const data = typeof value === 'string' ? value : JSON.stringify(value)
  await jetstream(plain).publish(`${stream}.${subject}`, data, { headers: head })
}

const binary = (id: string, over: Readonly<Record<string, string>> = {}) => ({
  'ce-specversion': '1.0',
  'ce-id': id,
  'ce-source': '/shop',
  'ce-type': 'payments.captured',
  'content-type': 'application/json',
  ...over,
})

const sendNumber = (n: number): Promise<void> =>
  send({ paymentId: `pay-${n % KEYS}`, n }, binary(`evt-${n}`))

const viewOf = async (world: TopicWorld): Promise<TopicView | undefined> =>
  (await world.runtime.topics())[0]

const idsOf = async (world: TopicWorld, count: number): Promise<readonly string[]> =>
  (await world.logged(count)).map(({ id }) => id)

test('moves CloudEvents of both modes and keeps what is none, in the order of the stream', async () => {
  await send({ paymentId: 'a', n: 1 }, binary('evt-1'))
  await send(
    {
      specversion: '1.0',
      id: 'evt-2',
      source: '/shop',
      type: 'payments.captured',
      data: { paymentId: 'a', n: 2 },
    },
    { 'content-type': 'application/cloudevents+json' },
  )
  await send('no json')
  await send({ paymentId: 'a', n: 3 }, binary('evt-3', { 'ce-traceparent': 'nonsense' }))
  const world = await openWorld()

  expect(await idsOf(world, 3)).toEqual(['evt-1', 'evt-2', 'evt-3'])
  await world.runtime.idle()
  const { items } = await world.runtime.invalid({ limit: 9 })
  expect(items).toMatchObject([{ reason: 'syntax', messageId: 'payments:0:3' }])
  expect(await viewOf(world)).toMatchObject({ state: 'running', moved: 3, invalid: 1, lag: 0 })
  expect((await viewOf(world))?.durability).toBe('process: storage file, 1 replica, kept for ever')
})

test('takes only the subjects that it names, and what is not wanted is no lag', async () => {
  await send({ paymentId: 'a', n: 1 }, {}, 'captured')
  await send({ paymentId: 'a', n: 2 }, {}, 'refunded')
  await send({ paymentId: 'a', n: 3 }, {}, 'captured')
  await send({ paymentId: 'a', n: 4 }, {}, 'refunded')
  const topic = { nats: BROKER_URL, stream, subjects: [`${stream}.captured`] }
  const world = await openWorld({ format: { json: PaymentCaptured } }, { topic })

  expect(await idsOf(world, 2)).toEqual(['payments:0:1', 'payments:0:3'])
  await world.runtime.idle()
  expect(await viewOf(world)).toMatchObject({ state: 'running', moved: 2, lag: 0, lost: 0 })
})

test('kill -9 in the middle of a transfer loses nothing and moves nothing twice (M1)', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'topics-nats-'))
  const count = await killInTransfer({
    place: { nats: '', stream },
    url: engine.url,
    directory,
    send: async (numbers) => {
      for (const n of numbers) await sendNumber(n)
    },
  })

  const world = await openWorld({}, { store: { engine: 'sqlite', directory } })
  const logged = await world.logged(count)
  await world.runtime.idle()

  expect((await viewOf(world))?.moved).toBeLessThan(count)
  for (let key = 0; key < KEYS; key++) {
    expect(numbersOfKey(logged, key)).toEqual(expectedOfKey(count, key))
  }
  await world.close()
  rmSync(directory, { recursive: true, force: true })
})

test('a server that is killed is waited for, and the transfer goes on where it was', async () => {
  const world = await openWorld()
  await sendNumber(0)
  await world.logged(1)

  await engine.kill()
  await until('away', async () => (await viewOf(world))?.state === 'away')
  await engine.restart()
  await until('a publisher again', () =>
    sendNumber(1).then(
      () => true,
      () => false,
    ),
  )

  expect(new Set(await idsOf(world, 2))).toEqual(new Set(['evt-0', 'evt-1']))
  await until('running', async () => (await viewOf(world))?.state === 'running')
})

test('what the limits of the stream dropped before it was moved is counted and told', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'topics-nats-'))
  const store = { engine: 'sqlite', directory } as const
  const before = await openWorld({}, { store })
  await sendNumber(0)
  await before.logged(1)
  await before.close()
  for (let n = 1; n <= 6; n++) await sendNumber(n)
  await manager.streams.purge(stream, { seq: 6 })

  const world = await openWorld({}, { store })

  expect(await idsOf(world, 3)).toEqual(['evt-0', 'evt-5', 'evt-6'])
  expect(await viewOf(world)).toMatchObject({ lost: 4 })
  const { items } = await world.runtime.alerts({ limit: 9 })
  expect(items[0]).toMatchObject({ kind: 'topic-lost', severity: 'critical' })
  await world.close()
  rmSync(directory, { recursive: true, force: true })
})

test('a stream that is made again while it is read is told, and read from its beginning', async () => {
  const world = await openWorld({ format: { json: PaymentCaptured } })
  await send({ paymentId: 'a', n: 1 })
  await world.logged(1)

  await manager.streams.delete(stream)
  await manager.streams.add({ name: stream, subjects: [`${stream}.>`] })
  await send({ paymentId: 'a', n: 2 })

  expect(await idsOf(world, 2)).toEqual(['payments:0:1', 'payments~1:0:1'])
  const { items } = await world.runtime.alerts({ limit: 9 })
  expect(items.find(({ kind }) => kind === 'topic-lost')?.title).toContain('made again')
})

test('a stream whose readers take messages from others is refused, with what to do', async () => {
  await manager.streams.add({ name: `${stream}_w`, subjects: ['w'], retention: 'workqueue' })

  const world = await openWorld({}, { topic: { nats: BROKER_URL, stream: `${stream}_w` } })

  await until('away', async () => (await viewOf(world))?.state === 'away')
  expect((await viewOf(world))?.lastError).toContain('with retention limits, and read that')
})
