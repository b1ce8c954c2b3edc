import { expect, test } from 'vitest'
import { JuncturaError, LIMITS } from '../kernel/index.ts'
import { createRelayBench } from './topic-relay.fixture.ts'

const payment = (n: number) => ({ paymentId: `p-${n}`, n })

test('of two relays of one topic one moves, the other stands by, and nothing is moved twice', async () => {
  const bench = createRelayBench()
  const [one, other] = [bench.relay(), bench.relay()]
  for (let n = 0; n < 30; n++) bench.topic.put(payment(n))
  one.start()
  other.start()
  await bench.pass(2_000)
  for (let n = 30; n < 60; n++) bench.topic.put(payment(n))
  await bench.pass(30_000)

  expect(await bench.logged()).toEqual(Array.from({ length: 60 }, (_, n) => `payments:0:${n}`))
  expect(one.status().moved + other.status().moved).toBe(60)
  await Promise.all([one.close(), other.close(), bench.pass(2_000)])
})

test('while the store refuses, nothing is lost or moved past, and it is told after 30 s', async () => {
  const bench = createRelayBench()
  const relay = bench.relay()
  relay.start()
  await bench.pass(100)
  bench.refuse.with = new JuncturaError('JUNCTURA_STORE_FULL', { details: { store: 'memory' } })
  bench.topic.put(payment(0))
  bench.topic.put(payment(1))

  await bench.pass(LIMITS.topicAwayAlertMs - 1_000)
  expect(relay.status().state).toBe('away')
  expect(bench.told).toEqual([])
  await bench.pass(2_000)
  expect(bench.told[0]).toMatch(/^topic-away: Topic payments is not moved/)
  delete bench.refuse.with
  await bench.pass(6_000)

  expect(await bench.logged()).toEqual(['payments:0:0', 'payments:0:1'])
  expect(relay.status()).toMatchObject({ state: 'running', moved: 2, lag: 0 })
  expect(bench.told.at(-1)).toBe('resolved:topic-away:payments')
  await Promise.all([relay.close(), bench.pass(2_000)])
})

test('a broker that is away is told after 30 s, and the place is kept', async () => {
  const bench = createRelayBench()
  const relay = bench.relay()
  bench.topic.put(payment(0))
  relay.start()
  await bench.pass(100)
  bench.topic.isDown = true
  await bench.pass(LIMITS.topicAwayAlertMs)
  expect(relay.status().state).toBe('away')
  await bench.pass(LIMITS.topicInspectMs * 2)
  expect(bench.told).not.toEqual([])
  bench.topic.isDown = false
  bench.topic.put(payment(1))
  await bench.pass(LIMITS.topicPauseMsMax)

  expect(await bench.logged()).toEqual(['payments:0:0', 'payments:0:1'])
  expect(bench.told.at(-1)).toBe('resolved:topic-away:payments')
  await Promise.all([relay.close(), bench.pass(2_000)])
})

test('a full shelf stops the transfer and drops nothing; what fits before it is moved', async () => {
  const bench = createRelayBench()
  bench.shelf.others = LIMITS.topicInvalidOpenMax - 1
  bench.topic.put('no json')
  bench.topic.put(payment(1))
  bench.topic.put('one too many')
  bench.topic.put(payment(2))
  const relay = bench.relay()
  relay.start()
  await bench.pass(5_000)

  expect(relay.status()).toMatchObject({ state: 'away', moved: 1 })
  expect(bench.told.at(-1)).toContain('10000 of its messages are invalid')
  bench.shelf.others = 0
  await bench.pass(LIMITS.topicPauseMsMax)

  expect(await bench.logged()).toHaveLength(2)
  expect(relay.status().state).toBe('running')
  await Promise.all([relay.close(), bench.pass(2_000)])
})

test('what the engine went past by itself is counted with what comes behind it', async () => {
  const bench = createRelayBench()
  const relay = bench.relay()
  relay.start()
  await bench.pass(100)
  bench.topic.skip(3)
  bench.topic.put(payment(0))
  await bench.pass(100)

  expect(relay.status().lost).toBe(3)
  expect(bench.told).toEqual([expect.stringContaining('has lost 3 offsets before they were moved')])
  await Promise.all([relay.close(), bench.pass(2_000)])
})

test('a message larger than what is kept is on the shelf with its beginning, place and size', async () => {
  const bench = createRelayBench()
  const relay = bench.relay()
  bench.topic.put('x'.repeat(LIMITS.topicInvalidBytesMax + 1))
  bench.topic.put(payment(1))
  relay.start()
  await bench.pass(100)

  const [found] = await bench.store.scan({ collection: 'invalid', limit: 2 })
  expect(found?.row).toMatchObject({ bodyBytes: LIMITS.topicInvalidBytesMax + 1 })
  expect(found?.row.headers).toMatchObject({ 'junctura-topic': 'payments', 'junctura-offset': '0' })
  expect(found?.row.body.length).toBeLessThan(LIMITS.topicInvalidBytesMax * 1.4)
  expect(await bench.logged()).toEqual(['payments:0:1'])
  await Promise.all([relay.close(), bench.pass(2_000)])
})

test('what a process before this one told is resolved once the topic is read again', async () => {
  const bench = createRelayBench()
  bench.topic.isDown = true
  const before = bench.relay()
  before.start()
  await bench.pass(LIMITS.topicAwayAlertMs * 3)
  expect(bench.told).not.toEqual([])
  await Promise.all([before.close(), bench.pass(2_000)])
  bench.topic.isDown = false
  const relay = bench.relay()
  relay.start()
  await bench.pass(2_000)

  expect(bench.told.at(-1)).toBe('resolved:topic-away:payments')
  await Promise.all([relay.close(), bench.pass(2_000)])
})
