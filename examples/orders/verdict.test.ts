import { describe, expect, it } from 'vitest'
import { isWell, renderReport } from './report.ts'
import type { Scenario } from './scenarios.ts'
import { CONSUMERS, type Effect, type Held, judge, type Outcome } from './verdict.ts'

const scenario: Scenario = {
  title: 'two of one order',
  queues: [
    [
      { id: 'a-1', body: { orderId: 'A' } },
      { id: 'a-2', body: { orderId: 'A' } },
    ],
  ],
  atOnce: 1,
  answers: { 202: 2 },
}
const outcome: Outcome = {
  scenario,
  answers: [
    [
      { status: 202, says: 'msg_1' },
      { status: 202, says: 'msg_2' },
    ],
  ],
}
const effectsOf = (...messageIds: readonly string[]): readonly Effect[] =>
  messageIds.flatMap((messageId) =>
    CONSUMERS.map((consumer) => ({ consumer, orderId: 'A', messageId })),
  )
const problemsOf = (effects: readonly Effect[], held: readonly Held[] = []): readonly string[] =>
  judge(outcome, { effects, held }).problems

describe('the verdict on what the partner sent', () => {
  it('finds an effect that is missing', () => {
    const problems = problemsOf(effectsOf('msg_1', 'msg_2').slice(0, -1))

    expect(problems).toEqual(['notifications msg_2: 0 effects, expected 1'])
  })

  it('finds an effect that happened twice', () => {
    const problems = problemsOf(effectsOf('msg_1', 'msg_1', 'msg_2'))

    expect(problems).toHaveLength(3)
    expect(problems).toContain('finance msg_1: 2 effects, expected 1')
  })

  it('finds an effect of a request that was refused', () => {
    const problems = problemsOf(effectsOf('msg_1', 'msg_2', 'msg_refused'))

    expect(problems).toContain('finance has an effect of a refused one')
  })

  it('finds effects of one key in another order than they were sent in', () => {
    const problems = problemsOf(effectsOf('msg_2', 'msg_1'))

    expect(problems).toContain('warehouse saw A out of order')
  })

  it('finds an answer that was not expected', () => {
    const surprised: Outcome = {
      scenario: { ...scenario, answers: { 202: 1, 200: 1 } },
      answers: outcome.answers,
    }

    const { problems } = judge(surprised, { effects: effectsOf('msg_1', 'msg_2'), held: [] })

    expect(problems).toEqual(['0 answers of 200, expected 1', '2 answers of 202, expected 1'])
  })

  it('finds a dead letter that nobody expected', () => {
    const held: Held[] = [{ consumer: 'finance', messageId: 'msg_2', status: 'dead' }]
    const effects = effectsOf('msg_1', 'msg_2').filter(
      (effect) => effect.consumer !== 'finance' || effect.messageId !== 'msg_2',
    )

    expect(problemsOf(effects, held)).toEqual(['1 messages are dead, expected 0'])
  })

  it('finds an effect of a message that is held as dead', () => {
    const held: Held[] = [{ consumer: 'finance', messageId: 'msg_2', status: 'dead' }]

    const problems = problemsOf(effectsOf('msg_1', 'msg_2'), held)

    expect(problems).toContain('finance msg_2: 1 effects, expected 0')
  })

  it('has nothing to say when each consumer had each message once, in order', () => {
    expect(problemsOf(effectsOf('msg_1', 'msg_2'))).toEqual([])
  })
})

describe('the report', () => {
  const verdict = judge(outcome, { effects: effectsOf('msg_1', 'msg_2'), held: [] })

  it('says FAILED and why, and is not well, when one line did not hold', () => {
    const failed = judge(outcome, { effects: effectsOf('msg_1'), held: [] })
    const report = {
      verdicts: [verdict, failed],
      deadLetters: [],
      updates: { emitted: 1, counted: 1 },
    }

    expect(isWell(report)).toBe(false)
    expect(renderReport(report)).toMatch(/^two of one order .*FAILED$/m)
    expect(renderReport(report)).toContain('warehouse msg_2: 0 effects, expected 1')
  })

  it('is not well when the fourth consumer lost an update', () => {
    const updates = { emitted: 2, counted: 1 }

    expect(isWell({ verdicts: [verdict], deadLetters: [], updates })).toBe(false)
  })

  it('is well when every line held', () => {
    const updates = { emitted: 2, counted: 2 }
    const report = { verdicts: [verdict], deadLetters: [], updates }

    expect(isWell(report)).toBe(true)
    expect(renderReport(report)).not.toContain('FAILED')
  })
})
