import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { isJuncturaError } from '../../kernel/index.ts'
import {
  type BrokerCase,
  byPartition,
  CHANNEL,
  createInbox,
  firstOf,
  manyMessages,
  numbersOf,
  pause,
  QUIET_MS,
  ready,
  waitFor,
} from './broker-case.ts'

export const READ_CASES: readonly BrokerCase[] = [
  {
    title: 'a reader gets everything that was and will be published, in order by partition',
    run: async (bench) => {
      const { partitions } = bench.features
      const broker = await ready(bench)
      const topic = await bench.topicOf(CHANNEL)
      await broker.publish(CHANNEL, manyMessages(100, { partitions }))
      const inbox = createInbox(bench)
      await broker.read(topic, {
        from: {},
        onBatch: async (messages) => void inbox.messages.push(...messages),
      })
      await broker.publish(CHANNEL, manyMessages(100, { partitions, from: 100 }))
      const received = byPartition(await inbox.until(200))

      for (let partition = 0; partition < partitions; partition++) {
        const sent = manyMessages(200, { partitions }).filter((one) => one.partition === partition)
        deepEqual(received[partition], numbersOf(sent))
      }
    },
  },
  {
    title: 'a reader goes on from the offsets that it is given',
    needs: ({ reading }) => reading === 'offset',
    run: async (bench) => {
      const { partitions } = bench.features
      const broker = await ready(bench)
      const topic = await bench.topicOf(CHANNEL)
      await broker.publish(CHANNEL, manyMessages(40, { partitions }))
      const first = createInbox(bench)
      const reading = await broker.read(topic, {
        from: {},
        batchMax: 10,
        onBatch: async (messages) => void first.messages.push(...messages),
      })
      await first.until(40)
      await reading.close()
      const from: Record<string, string> = {}
      for (const { partition, offset } of first.messages.slice(0, 25)) {
        from[String(partition)] = String(BigInt(offset) + 1n)
      }
      const rest = createInbox(bench)
      await broker.read(topic, {
        from,
        onBatch: async (messages) => void rest.messages.push(...messages),
      })
      const expected = byPartition(first.messages.slice(25))

      deepEqual(byPartition(await rest.until(15)), expected)
    },
  },
  {
    title: 'the next batch comes only after the one before it was handled',
    run: async (bench) => {
      const broker = await ready(bench)
      const topic = await bench.topicOf(CHANNEL)
      await broker.publish(CHANNEL, manyMessages(30))
      const inbox = createInbox(bench)
      let letGo: () => void = () => undefined
      const handled = new Promise<void>((resolve) => (letGo = resolve))
      await broker.read(topic, {
        from: {},
        batchMax: 10,
        onBatch: async (messages) => {
          inbox.messages.push(...messages)
          await handled
        },
      })
      await waitFor(bench, 'the first batch', () => inbox.messages.length > 0)
      await pause(QUIET_MS)
      ok(inbox.messages.length <= 10, 'no second batch while the first is handled')
      letGo()

      deepEqual(numbersOf(await inbox.until(30)), numbersOf(manyMessages(30)))
    },
  },
  {
    title: 'a batch that could not be handled comes again, before anything later',
    run: async (bench) => {
      const broker = await ready(bench)
      const topic = await bench.topicOf(CHANNEL)
      await broker.publish(CHANNEL, manyMessages(20))
      const inbox = createInbox(bench)
      let failures = 0
      await broker.read(topic, {
        from: {},
        batchMax: 5,
        onBatch: async (messages) => {
          if (inbox.messages.length >= 5 && failures < 3) {
            failures += 1
            return Promise.reject(new TypeError('not now'))
          }
          inbox.messages.push(...messages)
        },
      })

      deepEqual(firstOf(numbersOf(await inbox.until(20))), numbersOf(manyMessages(20)))
      equal(failures, 3)
    },
  },
  {
    title: 'closing a reader waits for its batch, and nothing comes after it',
    run: async (bench) => {
      const broker = await ready(bench)
      const topic = await bench.topicOf(CHANNEL)
      await broker.publish(CHANNEL, manyMessages(5))
      const inbox = createInbox(bench)
      const reading = await broker.read(topic, {
        from: {},
        onBatch: async (messages) => void inbox.messages.push(...messages),
      })
      await inbox.until(5)
      await reading.close()
      await broker.publish(CHANNEL, manyMessages(5, { from: 5 }))
      await pause(QUIET_MS)

      equal(inbox.messages.length, 5)
    },
  },
  {
    title: 'reading what is not there is refused',
    run: async (bench) => {
      const broker = await ready(bench)

      await rejects(
        broker.read('nothing-of-this-name', { from: {}, onBatch: async () => undefined }),
        (error) => isJuncturaError(error, 'JUNCTURA_TRANSPORT_REFUSED'),
      )
    },
  },
  {
    title: 'the ends of a channel grow with what is published',
    needs: ({ reading }) => reading === 'offset',
    run: async (bench) => {
      const { partitions } = bench.features
      const broker = await ready(bench)
      const before = await broker.inspect(CHANNEL)
      await broker.publish(CHANNEL, manyMessages(partitions * 3, { partitions }))
      const after = await broker.inspect(CHANNEL)

      equal(after.incarnation, before.incarnation)
      const total = (ends: Readonly<Record<string, string>>): number =>
        Object.values(ends).reduce((sum, end) => sum + Number(end), 0)
      equal(total(after.ends) - total(before.ends), partitions * 3)
    },
  },
]
