import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ChannelModel, type ConfirmChannel, connect, type Options } from 'amqplib'
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
let model: ChannelModel
let channel: ConfirmChannel
let queues = 0
let queue = ''
const opened: TopicWorld[] = []

const begin = async (): Promise<void> => {
  model = await connect(engine.url)
  model.on('error', () => undefined)
  channel = await model.createConfirmChannel()
  channel.on('error', () => undefined)
}

beforeAll(async () => {
  engine = await startEngine('rabbitmq')
})

beforeEach(async () => {
  await begin()
  queue = `payments.${(queues += 1)}`
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  return async () => {
    for (const world of opened.splice(0)) await world.close()
    await model.close().catch(() => undefined)
  }
})

afterAll(() => engine.stop())

const place = (): TopicPlace => ({ rabbitmq: BROKER_URL, queue })

const openWorld = async (
  over: Partial<TopicSourceOptions> = {},
  rest: Partial<TopicWorldOptions> = {},
): Promise<TopicWorld> => {
  const world = await openTopicWorld({ topic: place(), url: engine.url, over, ...rest })
  opened.push(world)
  return world
}

/** As another program does it, with the client of a vendor. */
const send = async (value: unknown, options: Options.Publish = {}): Promise<void> => {
  const data = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  channel.sendToQueue(queue, data, { persistent: true, ...options })
  await channel.waitForConfirms()
}

const binary = (id: string, prefix = 'cloudEvents:'): Options.Publish => ({
  contentType: 'application/json',
  headers: {
    [`${prefix}specversion`]: '1.0',
    [`${prefix}id`]: id,
    [`${prefix}source`]: '/shop',
    [`${prefix}type`]: 'payments.captured',
  },
})

const sendNumber = (n: number): Promise<void> =>
  send({ paymentId: `pay-${n % KEYS}`, n }, binary(`evt-${n}`))

const viewOf = async (world: TopicWorld): Promise<TopicView | undefined> =>
  (await world.runtime.topics())[0]

const idsOf = async (world: TopicWorld, count: number): Promise<readonly string[]> =>
  (await world.logged(count)).map(({ id }) => id)

test('moves CloudEvents of both modes and keeps what is none, in the order of the queue', async () => {
  await send({ paymentId: 'a', n: 1 }, binary('evt-1'))
  await send({ paymentId: 'a', n: 2 }, binary('evt-2', 'cloudEvents_'))
  await send(
    {
      specversion: '1.0',
      id: 'evt-3',
      source: '/shop',
      type: 'payments.captured',
      data: { paymentId: 'a', n: 3 },
    },
    { contentType: 'application/cloudevents+json' },
  )
  await send('no json', { messageId: 'odd-1' })
  await send({ paymentId: 'a', n: 4 }, binary('evt-4'))
  const world = await openWorld()

  expect(await idsOf(world, 4)).toEqual(['evt-1', 'evt-2', 'evt-3', 'evt-4'])
  await world.runtime.idle()
  const { items } = await world.runtime.invalid({ limit: 9 })
  expect(items).toMatchObject([{ reason: 'syntax', messageId: 'odd-1' }])
  expect(await viewOf(world)).toMatchObject({ state: 'running', moved: 4, invalid: 1, lag: 0 })
  expect((await viewOf(world))?.durability).toBe('fsync: quorum queue, durable')
})

test('what comes again is known by its message-id, and without any id it is another message', async () => {
  const world = await openWorld({ format: { json: PaymentCaptured } })
  await send({ paymentId: 'a', n: 1 }, { messageId: 'm-1' })
  await send({ paymentId: 'a', n: 1 }, { messageId: 'm-1' })
  await send({ paymentId: 'a', n: 2 })
  await send({ paymentId: 'a', n: 2 })

  const logged = await world.logged(3)
  await world.runtime.idle()

  expect(logged[0]?.id).toBe('m-1')
  expect(logged).toHaveLength(3)
  expect(await viewOf(world)).toMatchObject({ moved: 3, repeats: 1 })
})

test('kill -9 in the middle of a transfer loses nothing and moves nothing twice (M1)', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'topics-rabbitmq-'))
  const count = await killInTransfer({
    place: { rabbitmq: '', queue },
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

test('a server that is killed is waited for, and what was not acknowledged comes once', async () => {
  // One machine alone elects the leader of a quorum queue again only after minutes.
  queue = `${queue}.classic`
  await channel.assertQueue(queue, { durable: true })
  const world = await openWorld()
  await sendNumber(0)
  await world.logged(1)

  await engine.kill()
  await until('away', async () => (await viewOf(world))?.state === 'away')
  await engine.restart()
  await begin()
  await until('a leader of the queue', () =>
    sendNumber(1).then(
      () => true,
      () => false,
    ),
  )

  expect(await idsOf(world, 2)).toEqual(['evt-0', 'evt-1'])
  await until('running', async () => (await viewOf(world))?.state === 'running')
})

test('a queue that another reads is told, and is moved when that ends', async () => {
  const other = await model.createChannel()
  const { consumerTag } = await other.consume(queue, () => undefined, { noAck: false })

  const world = await openWorld()
  await until('away', async () => (await viewOf(world))?.state === 'away')
  expect((await viewOf(world))?.lastError).toContain('another consumer reads the queue')
  await other.cancel(consumerTag)
  await sendNumber(0)

  expect(await idsOf(world, 1)).toEqual(['evt-0'])
})
