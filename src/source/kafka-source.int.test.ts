import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin, Producer } from '@platformatic/kafka'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type RunningEngine, startEngine } from '../../test/engines/engine.ts'
import type { TopicPlace, TopicSourceOptions } from '../contract/index.ts'
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
let admin: Admin
let producer: Producer
let topics = 0
let topic = ''
const opened: TopicWorld[] = []

beforeAll(async () => {
  engine = await startEngine('kafka')
  const bootstrapBrokers = [engine.url.replace('kafka://', '')]
  admin = new Admin({ clientId: 'test', bootstrapBrokers, retries: 40, retryDelay: 250 })
  // Without it, what this client sends again is there twice.
  const idempotent = true
  producer = new Producer({
    clientId: 'test',
    bootstrapBrokers,
    idempotent,
    retries: 40,
    retryDelay: 250,
  })
})

beforeEach(async () => {
  topic = `payments.${(topics += 1)}`
  await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 })
  return async () => {
    for (const world of opened.splice(0)) await world.close()
  }
})

afterAll(async () => {
  await producer.close()
  await admin.close()
  await engine.stop()
})

const place = (): TopicPlace => ({ kafka: BROKER_URL, topic })

const openWorld = async (
  over: Partial<TopicSourceOptions> = {},
  rest: Partial<TopicWorldOptions> = {},
): Promise<TopicWorld> => {
  const world = await openTopicWorld({ topic: place(), url: engine.url, over, ...rest })
  opened.push(world)
  return world
}

interface Sent {
  readonly key?: string
  readonly value: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly partition?: number
}

/** As another program does it, with the client of a vendor. */
const send = async (messages: readonly Sent[]): Promise<void> => {
  await producer.send({
    messages: messages.map(({ key, value, headers = {}, partition }) => ({
      topic,
      ...(key !== undefined && { key: Buffer.from(key) }),
      value: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
      headers: new Map(
        Object.entries(headers).map(([name, text]) => [Buffer.from(name), Buffer.from(text)]),
      ),
      ...(partition !== undefined && { partition }),
    })),
  })
}

const binary = (id: string, value: unknown, over: Partial<Sent> = {}): Sent => ({
  value,
  ...over,
  headers: {
    ce_specversion: '1.0',
    ce_id: id,
    ce_source: '/shop',
    ce_type: 'payments.captured',
    'content-type': 'application/json',
    ...over.headers,
  },
})

const numbered = (n: number): Sent =>
  binary(
    `evt-${n}`,
    { paymentId: `pay-${n % 7}`, n },
    { key: `pay-${n % 7}`, partition: (n % 7) % 3 },
  )

const invalidOf = async (world: TopicWorld) => (await world.runtime.invalid({ limit: 100 })).items

const viewOf = async (world: TopicWorld) => (await world.runtime.topics())[0]

test('moves CloudEvents of both modes, with their ids, and counts what waits', async () => {
  const structured = {
    specversion: '1.0',
    id: 'evt-2',
    source: '/shop',
    type: 'payments.captured',
    partitionkey: 'b',
    data: { paymentId: 'b', n: 2 },
  }
  await send([
    binary(
      'evt-1',
      { paymentId: 'a', n: 1 },
      { partition: 0, headers: { ce_correlationid: 'c-1' } },
    ),
    {
      value: structured,
      partition: 0,
      headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' },
    },
  ])
  const world = await openWorld()

  const logged = await world.logged(2)

  expect(logged).toMatchObject([
    { id: 'evt-1', type: 'payments.captured', key: 'a', correlationId: 'c-1' },
    { id: 'evt-2', key: 'b' },
  ])
  await world.runtime.idle()
  expect(await viewOf(world)).toMatchObject({ state: 'running', moved: 2, invalid: 0, lag: 0 })
  expect((await viewOf(world))?.durability).toMatch(/^process: 3 partitions, replication factor 1/)
})

test('gives plain JSON its place as its id, and the key of its record where data have none', async () => {
  await send([
    { value: { paymentId: 'a', n: 1 }, partition: 1, key: 'k' },
    { value: { paymentId: 'b', n: 2 }, partition: 1, key: 'k' },
  ])
  const world = await openWorld({ format: { json: PaymentCaptured } })

  expect(await world.logged(2)).toMatchObject([
    { id: 'payments:1:0', key: 'a' },
    { id: 'payments:1:1', key: 'b' },
  ])
})

test('what fits no contract is kept with its place, holds nothing back, and can be admitted', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'topics-invalid-'))
  const store = { engine: 'sqlite', directory } as const
  await send([
    binary('ok-1', { paymentId: 'a', n: 1 }, { partition: 2 }),
    binary('bad-1', { paymentId: 'a' }, { partition: 2, key: 'rec' }),
    { value: 'no json at all', partition: 2 },
    binary(
      'bad-2',
      { paymentId: 'r', n: 9 },
      { partition: 2, headers: { ce_type: 'payments.refunded' } },
    ),
    binary('ok-2', { paymentId: 'a', n: 2 }, { partition: 2 }),
  ])
  const world = await openWorld({}, { store })

  expect((await world.logged(2)).map(({ id }) => id)).toEqual(['ok-1', 'ok-2'])
  await until('three invalid', async () => (await invalidOf(world)).length === 3)
  const items = await invalidOf(world)
  const shown = items.map(
    ({ messageId, reason, headers }) => `${messageId} ${reason} ${headers['junctura-offset']}`,
  )
  expect(shown.toSorted((one, other) => one.localeCompare(other))).toEqual([
    'bad-1 schema 1',
    'bad-2 contract 3',
    'payments:2:2 syntax 2',
  ])
  const { items: alerts } = await world.runtime.alerts({ limit: 9 })
  expect(alerts.map(({ kind }) => kind)).toEqual(['contract-mismatch'])
  await world.close()

  const types = { 'payments.captured': PaymentCaptured, 'payments.refunded': PaymentCaptured }
  const mended = await openWorld({ accepts: types }, { store })
  const command = { kind: 'invalid.readmit', webhook: 'topic/payments' } as const
  const by = { operationId: 'op_1', actor: 'me', reason: 'a second type', origin: 'test' }
  const planned = await mended.runtime.operate({ ...command, planOnly: true }, by)
  const done = await mended.runtime.operate(command, { ...by, operationId: 'op_2' })
  const again = await mended.runtime.operate(command, { ...by, operationId: 'op_3' })

  expect(planned.result).toMatchObject({ planned: 3, wouldAdmit: 1, wouldStayInvalid: 2 })
  expect(done.result).toMatchObject({ admitted: 1, stillInvalid: 2 })
  expect(again.result).toMatchObject({ planned: 2, admitted: 0 })
  expect((await mended.logged(3)).map(({ id }) => id)).toEqual(['ok-1', 'ok-2', 'bad-2'])
  await mended.close()
  rmSync(directory, { recursive: true, force: true })
})

test('kill -9 in the middle of a transfer loses nothing and moves nothing twice (M1)', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'topics-kill-'))
  const count = await killInTransfer({
    place: { kafka: '', topic },
    url: engine.url,
    directory,
    send: (numbers) => send(numbers.map(numbered)),
  })

  const world = await openWorld({}, { store: { engine: 'sqlite', directory } })
  await world.logged(count)
  await world.runtime.idle()
  const logged = await world.logged(count)

  expect((await viewOf(world))?.moved).toBeGreaterThan(0)
  expect((await viewOf(world))?.moved).toBeLessThan(count)
  // One message in the log for each offset in the topic.
  const offsets = Object.values((await viewOf(world))?.next ?? {}).map(Number)
  expect(logged).toHaveLength(offsets.reduce((sum, next) => sum + next, 0))
  for (let key = 0; key < KEYS; key++) {
    expect(numbersOfKey(logged, key)).toEqual(expectedOfKey(count, key))
  }
  await world.close()
  rmSync(directory, { recursive: true, force: true })
})

test('a broker that is killed is waited for, and the transfer goes on where it was', async () => {
  const world = await openWorld()
  await send([numbered(0)])
  await world.logged(1)

  await engine.kill()
  await until('away', async () => (await viewOf(world))?.state === 'away')
  await engine.restart()
  await until('a producer again', () =>
    send([numbered(1)]).then(
      () => true,
      () => false,
    ),
  )

  // The one that was sent may have been sent twice: a producer that was not answered tries again.
  const logged = await world.logged(2)
  expect(new Set(logged.map(({ id }) => id))).toEqual(new Set(['evt-0', 'evt-1']))
  await until('running', async () => (await viewOf(world))?.state === 'running')
})

test('offsets that were deleted before they were moved are counted and told (F79)', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'topics-gone-'))
  const store = { engine: 'sqlite', directory } as const
  const before = await openWorld({}, { store })
  await send([binary('evt-1', { paymentId: 'a', n: 1 }, { partition: 0 })])
  await before.logged(1)
  await before.close()
  const lost = Array.from({ length: 5 }, (_, n) =>
    binary(`lost-${n}`, { paymentId: 'a', n }, { partition: 0 }),
  )
  await send([...lost, binary('evt-2', { paymentId: 'a', n: 2 }, { partition: 0 })])
  await admin.deleteRecords({
    topics: [{ name: topic, partitions: [{ partition: 0, offset: 6n }] }],
  })

  const world = await openWorld({}, { store })

  expect((await world.logged(2)).map(({ id }) => id)).toEqual(['evt-1', 'evt-2'])
  expect(await viewOf(world)).toMatchObject({ lost: 5, state: 'running' })
  const { items } = await world.runtime.alerts({ limit: 9 })
  expect(items[0]).toMatchObject({ kind: 'topic-lost', severity: 'critical' })
  expect(items[0]?.title).toContain('has lost 5 offsets before they were moved (partitions 0)')
  await world.close()
  rmSync(directory, { recursive: true, force: true })
})

test('a topic that is made again while it is read is told, and read from its beginning', async () => {
  const world = await openWorld({ format: { json: PaymentCaptured } })
  await send([{ value: { paymentId: 'a', n: 1 }, partition: 0 }])
  await world.logged(1)

  await admin.deleteTopics({ topics: [topic] })
  await until('another topic', () =>
    admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 }).then(
      () => true,
      () => false,
    ),
  )
  await until('a producer that knows', () =>
    send([{ value: { paymentId: 'a', n: 2 }, partition: 0 }]).then(
      () => true,
      () => false,
    ),
  )

  const ids = (await world.logged(2)).map(({ id }) => id)
  expect(ids[0]).toBe('payments:0:0')
  // Another topic of that name: the same place is another message.
  expect(ids[1]).toBe('payments~1:0:0')
  const { items } = await world.runtime.alerts({ limit: 9 })
  const told = items.find(({ kind }) => kind === 'topic-lost')
  expect(told?.title).toContain('was deleted and made again')
})

test('a topic that is not there is told with what to do, and is moved once it is', async () => {
  topic = `later.${topics}`
  const world = await openWorld()
  await until('away', async () => (await viewOf(world))?.state === 'away')
  expect((await viewOf(world))?.lastError).toContain('create it, or correct its name')
  await until('an alert', async () => (await world.runtime.alerts({ limit: 9 })).items.length === 1)

  await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 })
  await send([numbered(0)])

  expect(await world.logged(1)).toMatchObject([{ id: 'evt-0' }])
})

test('a restart goes on where the last commit was, whatever startAt says', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'topics-again-'))
  const store = { engine: 'sqlite', directory } as const
  await send([numbered(0)])
  const world = await openWorld({ startAt: 'now' }, { store })
  await until('running', async () => (await viewOf(world))?.state === 'running')
  await send([numbered(1)])
  await world.logged(1)
  await world.close()
  await send([numbered(2)])

  const again = await openWorld({ startAt: 'now' }, { store })

  expect((await again.logged(2)).map(({ id }) => id)).toEqual(['evt-1', 'evt-2'])
  await again.close()
  rmSync(directory, { recursive: true, force: true })
})
