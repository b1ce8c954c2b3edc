import { expect, test } from 'vitest'
import { describeTopic } from './kafka-topic.ts'

const viewOf = (...replicas: readonly number[]) => ({
  id: 'x',
  allowed: 0,
  partitions: replicas.map((count, index) => ({
    index,
    leader: 1,
    replicas: count,
    inSync: count,
  })),
})

const GOOD = new Map([
  ['min.insync.replicas', '2'],
  ['cleanup.policy', 'delete'],
  ['retention.ms', '604800000'],
])

const problemsOf = (over: readonly (readonly [string, string])[], copies = 3) =>
  describeTopic('t', viewOf(copies), new Map([...GOOD, ...over])).problems.map(
    ({ problem }) => problem,
  )

test('names what a message in a topic survives, by its weakest partition', () => {
  expect(describeTopic('t', viewOf(3, 3), GOOD)).toEqual({
    survives: 'replicated',
    settings:
      '2 partitions, replication factor 3, min.insync.replicas 2, cleanup.policy delete, retention 168 h',
    problems: [],
  })
  expect(describeTopic('t', viewOf(3, 1), GOOD).survives).toBe('process')
})

test.each([
  ['one copy', [], 1, 'replication factor is 1'],
  ['one confirmation', [['min.insync.replicas', '1']], 3, 'min.insync.replicas is 1'],
  ['unclean leaders', [['unclean.leader.election.enable', 'true']], 3, 'unclean'],
  ['compaction', [['cleanup.policy', 'compact']], 3, 'cleanup.policy is compact'],
  ['a short retention', [['retention.ms', '3600000']], 3, 'keeps messages for 1 h'],
] as const)('warns of %s', (_, over, copies, problem) => {
  expect(problemsOf(over, copies)).toEqual([expect.stringContaining(problem)])
})

test('does not take what cannot be read for what is good', () => {
  const described = describeTopic('t', viewOf(3), new Map())

  expect(described.survives).toBe('process')
  expect(described.settings).toContain('min.insync.replicas unknown')
})
