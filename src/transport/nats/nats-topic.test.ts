import type { StreamConfig } from '@nats-io/jetstream'
import { expect, test } from 'vitest'
import { describeStream } from './nats-topic.ts'

const DAY_NANOS = 86_400_000_000_000

const configOf = (over: Partial<StreamConfig> = {}): StreamConfig => ({
  name: 'S',
  subjects: ['s.>'],
  retention: 'limits',
  storage: 'file',
  num_replicas: 3,
  max_age: 7 * DAY_NANOS,
  max_msgs: -1,
  max_bytes: -1,
  max_msg_size: -1,
  max_msgs_per_subject: -1,
  max_consumers: -1,
  discard: 'old',
  duplicate_window: 0,
  allow_direct: true,
  allow_rollup_hdrs: false,
  deny_delete: false,
  deny_purge: false,
  discard_new_per_subject: false,
  mirror_direct: false,
  sealed: false,
  first_seq: 0,
  no_ack: false,
  ...over,
})

test('names what a message in a stream survives', () => {
  expect(describeStream('S', configOf({ max_msgs: 5 }))).toEqual({
    survives: 'replicated',
    settings: 'storage file, 3 replicas, kept 168 h, at most 5 messages',
    problems: [],
  })
})

test.each<readonly [string, Partial<StreamConfig>, string]>([
  ['one machine', { num_replicas: 1 }, 'one replica'],
  ['memory', { storage: 'memory' }, 'kept in memory'],
  ['a short time', { max_age: DAY_NANOS }, 'keeps messages for 24 h'],
  ['writers that are told nothing', { no_ack: true }, 'no_ack'],
])('warns of %s', (_, over, problem) => {
  const { problems } = describeStream('S', configOf(over))

  expect(problems).toMatchObject([{ problem: expect.stringContaining(problem) }])
})
