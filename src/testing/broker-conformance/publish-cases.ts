import { deepEqual, equal, rejects } from 'node:assert/strict'
import { isJuncturaError } from '../../kernel/index.ts'
import {
  type BrokerCase,
  CHANNEL,
  channelOf,
  createInbox,
  follow,
  manyMessages,
  messageOf,
  numbersOf,
  ready,
} from './broker-case.ts'

/** Values that senders of the world put into ids, keys and traces. */
const UNUSUAL_TEXTS: readonly string[] = [
  ' ',
  'a b',
  "it's",
  '"quoted"',
  'a,b;c=d',
  '100 %',
  '%41',
  'ä',
  'a\u0308',
  '日本語',
  '😀',
  'a\nb',
  'a\r\nb: c',
  '\t',
  'k'.repeat(512),
]

export const PUBLISH_CASES: readonly BrokerCase[] = [
  {
    title: 'making a channel again changes nothing, also by two at once',
    run: async (bench) => {
      const [one, other] = [await bench.open(), await bench.open()]
      await Promise.all([one.ensure([channelOf(CHANNEL)]), other.ensure([channelOf(CHANNEL)])])
      const inbox = await follow(bench, other)
      await one.publish(CHANNEL, [messageOf(1)])
      await one.ensure([channelOf(CHANNEL), channelOf('invoices')])
      await one.publish(CHANNEL, [messageOf(2)])

      deepEqual(numbersOf(await inbox.until(2)), [1, 2])
    },
  },
  {
    title: 'data and attributes come as they were, byte for byte',
    run: async (bench) => {
      const broker = await ready(bench)
      const inbox = await follow(bench, broker)
      const data = Uint8Array.from({ length: 256 }, (_, at) => at)
      const attributes = { ...messageOf(1).attributes, subject: 'orders/1', tenant: 'default' }
      await broker.publish(CHANNEL, [messageOf(1, { data, attributes })])
      const [received] = await inbox.until(1)

      deepEqual([...(received?.data ?? [])], [...data])
      deepEqual({ ...received?.attributes }, attributes)
    },
  },
  {
    title: 'text of any kind survives in attributes and keys',
    run: async (bench) => {
      const broker = await ready(bench)
      const inbox = await follow(bench, broker)
      await broker.publish(
        CHANNEL,
        UNUSUAL_TEXTS.map((text, n) =>
          messageOf(n, { key: text, attributes: { ...messageOf(n).attributes, tracestate: text } }),
        ),
      )
      const received = await inbox.until(UNUSUAL_TEXTS.length)

      deepEqual(
        received.map(({ attributes }) => attributes['tracestate']),
        UNUSUAL_TEXTS,
      )
    },
  },
  {
    title: 'a thousand messages of one publish keep their order in each partition',
    run: async (bench) => {
      const { partitions } = bench.features
      const broker = await ready(bench)
      const inbox = await follow(bench, broker)
      const messages = manyMessages(1_000, { partitions })
      await broker.publish(CHANNEL, messages)
      const received = await inbox.until(1_000)

      equal(received.length, 1_000)
      for (let partition = 0; partition < partitions; partition++) {
        const mine = received.filter((message) => message.partition === partition)
        const sent = messages.filter((message) => message.partition === partition)
        deepEqual(numbersOf(mine), numbersOf(sent))
      }
    },
  },
  {
    title: 'publishes that are not waited for keep their order',
    run: async (bench) => {
      const broker = await ready(bench)
      const inbox = await follow(bench, broker)
      const sent = Array.from({ length: 50 }, (_, n) => broker.publish(CHANNEL, [messageOf(n)]))
      await Promise.all(sent)

      deepEqual(
        numbersOf(await inbox.until(50)),
        Array.from({ length: 50 }, (_, n) => n),
      )
    },
  },
  {
    title: 'a message of a mebibyte passes',
    run: async (bench) => {
      const broker = await ready(bench)
      const inbox = await follow(bench, broker)
      const data = Buffer.alloc(1_000_000, 'x')
      await broker.publish(CHANNEL, [messageOf(1, { data })])
      const [received] = await inbox.until(1)

      equal(received?.data.length, data.length)
    },
  },
  {
    title: 'a message that is too large is refused at once, and what comes after it is taken',
    run: async (bench) => {
      const broker = await ready(bench)
      const inbox = await follow(bench, broker)
      const data = Buffer.alloc(bench.features.messageBytesMax + 1)

      await rejects(broker.publish(CHANNEL, [messageOf(1, { data })]), (error) =>
        isJuncturaError(error, 'JUNCTURA_TRANSPORT_REFUSED'),
      )
      await broker.publish(CHANNEL, [messageOf(2)])
      deepEqual(numbersOf(await inbox.until(1)), [2])
    },
  },
  {
    title: 'a message that is published again with its id is kept once',
    needs: ({ dedupeWindowMs }) => dedupeWindowMs > 0,
    run: async (bench) => {
      const broker = await ready(bench)
      const inbox = createInbox(bench)
      await broker.publish(CHANNEL, [messageOf(1), messageOf(2)])
      await broker.publish(CHANNEL, [messageOf(1), messageOf(2), messageOf(3)])
      await broker.read(await bench.topicOf(CHANNEL), {
        from: {},
        onBatch: async (messages) => void inbox.messages.push(...messages),
      })

      deepEqual(numbersOf(await inbox.until(3)), [1, 2, 3])
    },
  },
]
