import { deepEqual, equal } from 'node:assert/strict'
import {
  type BrokerCase,
  CHANNEL,
  channelOf,
  follow,
  manyMessages,
  messageOf,
  numbersOf,
  pause,
  QUIET_MS,
  ready,
} from './broker-case.ts'

export const FOLLOW_CASES: readonly BrokerCase[] = [
  {
    title: 'a follower gets what is published from then on, and nothing older',
    run: async (bench) => {
      const broker = await ready(bench)
      await broker.publish(CHANNEL, manyMessages(20))
      const inbox = await follow(bench, broker)
      await broker.publish(CHANNEL, manyMessages(20, { from: 20 }))

      deepEqual(numbersOf(await inbox.until(20)), numbersOf(manyMessages(20, { from: 20 })))
    },
  },
  {
    title: 'every follower gets everything, in whichever process it is',
    run: async (bench) => {
      const [one, other] = [await ready(bench), await ready(bench)]
      const inboxes = [
        await follow(bench, one),
        await follow(bench, one),
        await follow(bench, other),
      ]
      await one.publish(CHANNEL, manyMessages(30))

      for (const inbox of inboxes) {
        deepEqual(numbersOf(await inbox.until(30)), numbersOf(manyMessages(30)))
      }
    },
  },
  {
    title: 'a follower of one channel gets nothing of another',
    run: async (bench) => {
      const broker = await ready(bench)
      await broker.ensure([channelOf('orders.extra'), channelOf('invoices')])
      const inbox = await follow(bench, broker)
      await broker.publish('orders.extra', [messageOf(1)])
      await broker.publish('invoices', [messageOf(2)])
      await broker.publish(CHANNEL, [messageOf(3)])

      deepEqual(numbersOf(await inbox.until(1)), [3])
    },
  },
  {
    title: 'a follower that is closed gets nothing more',
    run: async (bench) => {
      const broker = await ready(bench)
      const inbox = await follow(bench, broker)
      await broker.publish(CHANNEL, [messageOf(1)])
      await inbox.until(1)
      await inbox.reading.close()
      await inbox.reading.close()
      await broker.publish(CHANNEL, [messageOf(2)])
      await pause(QUIET_MS)

      equal(inbox.messages.length, 1)
    },
  },
]
