import { deepEqual, notEqual, ok, rejects } from 'node:assert/strict'
import { isJuncturaError } from '../../kernel/index.ts'
import type { Broker, BrokerMessage, BrokerState } from '../../transport/index.ts'
import {
  type BrokerBench,
  type BrokerCase,
  CHANNEL,
  channelOf,
  createInbox,
  firstOf,
  follow,
  manyMessages,
  messageOf,
  numbersOf,
  ready,
  waitFor,
} from './broker-case.ts'

export const FAILURE_CASES: readonly BrokerCase[] = [
  {
    title: 'a healthy broker has no errors to report',
    run: async (bench) => {
      const broker = await ready(bench)
      const problems = await broker.check([channelOf(CHANNEL)])

      deepEqual(
        problems.filter(({ severity }) => severity === 'error'),
        [],
      )
    },
  },
  {
    title: 'what was confirmed is there after the broker was killed',
    needs: ({ durability }) => durability === 'fsync' || durability === 'replicated',
    run: async (bench) => {
      const broker = await ready(bench)
      const topic = await bench.topicOf(CHANNEL)
      await broker.publish(CHANNEL, manyMessages(100))
      await bench.restart()
      const inbox = createInbox(bench)
      await untilDone(bench, () =>
        broker.read(topic, {
          from: {},
          onBatch: async (messages) => void inbox.messages.push(...messages),
        }),
      )

      deepEqual(firstOf(numbersOf(await inbox.until(100))), numbersOf(manyMessages(100)))
    },
  },
  {
    title: 'publishing, following and reading go on by themselves when the broker is back',
    run: async (bench) => {
      const states: BrokerState[] = []
      const broker = await ready(bench, (state) => states.push(state))
      const topic = await bench.topicOf(CHANNEL)
      const followed = await follow(bench, broker)
      const read = createInbox(bench)
      await broker.read(topic, {
        from: {},
        onBatch: async (messages) => void read.messages.push(...messages),
      })
      await broker.publish(CHANNEL, [messageOf(1)])
      await followed.until(1)
      await bench.restart()
      await untilPublished(bench, broker, messageOf(2))
      // What was published while the follower was away may be missing to it; later ones are not.
      let n = 3
      await waitFor(bench, 'the follower to be back', async () => {
        await untilPublished(bench, broker, messageOf(n++))
        return numbersOf(followed.messages).some((number) => number > 1)
      })
      await waitFor(bench, 'the reader to be back', () => {
        const numbers = new Set(numbersOf(read.messages))
        return Array.from({ length: n - 1 }, (_, at) => at + 1).every((one) => numbers.has(one))
      })

      ok(
        states.some(({ connected }) => !connected),
        'it said that the connection broke',
      )
      ok(states.at(-1)?.connected, 'it said that the connection is back')
    },
  },
  {
    title: 'without the broker a publish fails in bounded time, as something that passes',
    run: async (bench) => {
      const broker = await ready(bench)
      await bench.stop()

      await rejects(broker.publish(CHANNEL, [messageOf(1)]), (error) =>
        isJuncturaError(error, 'JUNCTURA_TRANSPORT_UNAVAILABLE'),
      )
      await bench.restart()
      await untilPublished(bench, broker, messageOf(2))
    },
  },
  {
    title: 'a broker that lost everything is told apart from one that was restarted',
    needs: ({ reading }) => reading === 'offset',
    run: async (bench) => {
      const broker = await ready(bench)
      await broker.publish(CHANNEL, manyMessages(10))
      const before = await broker.inspect(CHANNEL)
      await bench.restart()
      const restarted = await untilDone(bench, () => broker.inspect(CHANNEL))
      deepEqual(restarted.incarnation, before.incarnation)
      await bench.wipe()
      await untilDone(bench, () => broker.ensure([channelOf(CHANNEL)]))
      const wiped = await untilDone(bench, () => broker.inspect(CHANNEL))

      notEqual(wiped.incarnation, before.incarnation)
    },
  },
  {
    title: 'publishing and following go on by themselves after the broker lost everything',
    needs: ({ reading }) => reading === 'offset',
    run: async (bench) => {
      const broker = await ready(bench)
      const followed = await follow(bench, broker)
      await broker.publish(CHANNEL, manyMessages(10))
      await followed.until(10)
      await bench.wipe()
      await untilDone(bench, () => broker.ensure([channelOf(CHANNEL)]))
      let n = 10
      await waitFor(bench, 'the follower to be back', async () => {
        await untilPublished(bench, broker, messageOf(n++))
        return numbersOf(followed.messages).some((number) => number >= 10)
      })
      await untilPublished(bench, broker, messageOf(n))
      await waitFor(bench, 'the last message', () => numbersOf(followed.messages).includes(n))

      const later = firstOf(numbersOf(followed.messages)).filter((number) => number >= 10)
      deepEqual(
        later,
        later.toSorted((one, other) => one - other),
      )
    },
  },
  {
    title: 'a closed broker takes nothing, and can be closed again',
    run: async (bench) => {
      const broker = await ready(bench)
      await broker.close()
      await broker.close()

      await rejects(broker.publish(CHANNEL, [messageOf(1)]), (error) =>
        isJuncturaError(error, 'JUNCTURA_CLOSED'),
      )
    },
  },
]

/** Until it succeeds: what passes may be tried again. */
const untilDone = async <T>(bench: BrokerBench, act: () => Promise<T>): Promise<T> => {
  let result: { readonly value: T } | undefined
  await waitFor(bench, 'the broker to be back', async () => {
    try {
      result = { value: await act() }
    } catch (error) {
      if (!isJuncturaError(error, 'JUNCTURA_TRANSPORT_UNAVAILABLE')) throw error
    }
    return result !== undefined
  })
  ok(result)
  return result.value
}

const untilPublished = (bench: BrokerBench, broker: Broker, message: BrokerMessage) =>
  untilDone(bench, () => broker.publish(CHANNEL, [message]))
