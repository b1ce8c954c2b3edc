import { expect, test } from 'vitest'
import { describeQueue } from './rabbitmq-queue.ts'

const queueOf = (settings: Readonly<Record<string, string>>) =>
  describeQueue('q', new Map(Object.entries(settings)), undefined)

test('names what a message in a queue survives', () => {
  expect(queueOf({ 'x-queue-type': 'quorum' })).toEqual({
    survives: 'fsync',
    settings: 'quorum queue, durable',
    problems: [],
  })
})

test.each<readonly [string, Readonly<Record<string, string>>, string]>([
  ['a queue of one machine', { 'x-queue-type': 'classic' }, 'classic queue'],
  ['one that ends with the server', { durable: 'false' }, 'not durable'],
  ['bounds', { 'x-queue-type': 'quorum', 'x-message-ttl': '60000' }, 'x-message-ttl 60000'],
])('warns of %s', (_, settings, problem) => {
  expect(queueOf(settings).problems).toMatchObject([{ problem: expect.stringContaining(problem) }])
})

test('does not take what cannot be found out for what is good', () => {
  const described = describeQueue('q', new Map(), 'access refused')

  expect(described).toMatchObject({ survives: 'accepted', problems: [{ severity: 'warning' }] })
})
