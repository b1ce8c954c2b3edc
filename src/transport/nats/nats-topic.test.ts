import { expect, test } from 'vitest'
import { describeStream } from './nats-topic.ts'

const DAY_NANOS = 86_400_000_000_000

type Settings = Parameters<typeof describeStream>[1]

const settingsOf = (over: Partial<Settings> = {}): Settings => ({
  storage: 'file',
  num_replicas: 3,
  max_age: 7 * DAY_NANOS,
  max_msgs: -1,
  max_bytes: -1,
  no_ack: false,
  ...over,
})

test('names what a message in a stream survives', () => {
  expect(describeStream('S', settingsOf({ max_msgs: 5 }))).toEqual({
    survives: 'replicated',
    settings: 'storage file, 3 replicas, kept 168 h, at most 5 messages',
    problems: [],
  })
})

test.each<readonly [string, Partial<Settings>, string]>([
  ['one machine', { num_replicas: 1 }, 'one replica'],
  ['memory', { storage: 'memory' }, 'kept in memory'],
  ['a short time', { max_age: DAY_NANOS }, 'keeps messages for 24 h'],
  ['writers that are told nothing', { no_ack: true }, 'no_ack'],
])('warns of %s', (_, over, problem) => {
  const { problems } = describeStream('S', settingsOf(over))

  expect(problems).toMatchObject([{ problem: expect.stringContaining(problem) }])
})
