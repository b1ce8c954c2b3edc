import { describe, expect, it } from 'vitest'
import { createOutageGate, resolveOutagePolicy } from './outage-gate.ts'

const policy = { after: 3, probeMs: 1_000 }

describe('an outage gate', () => {
  it('closes after so many different messages in a row, and opens at the first success (M25)', () => {
    const gate = createOutageGate(policy, false)

    expect([gate.failed(1, 0), gate.failed(2, 10), gate.waitMs(10)]).toEqual([false, false, 0])
    expect(gate.failed(3, 20)).toBe(true)
    expect([gate.isOut, gate.waitMs(20), gate.waitMs(1_020)]).toEqual([true, 1_000, 0])
    expect(gate.failed(4, 1_020)).toBe(false)
    expect(gate.waitMs(1_020)).toBe(1_000)
    expect(gate.succeeded()).toBe(true)
    expect([gate.isOut, gate.waitMs(1_020), gate.succeeded()]).toEqual([false, 0, false])
  })

  it('stays open for one message that fails again and again, and when others succeed', () => {
    const gate = createOutageGate(policy, false)

    for (let attempt = 0; attempt < 10; attempt++) expect(gate.failed(1, attempt)).toBe(false)
    expect(gate.failed(2, 10)).toBe(false)
    gate.succeeded()
    expect([gate.failed(3, 11), gate.failed(4, 12)]).toEqual([false, false])
    expect(gate.isOut).toBe(false)
  })

  it('goes on with the outage of an earlier process by a probe at once', () => {
    const gate = createOutageGate(policy, true)

    expect([gate.isOut, gate.waitMs(5)]).toEqual([true, 0])
    gate.failed(1, 5)
    expect(gate.waitMs(5)).toBe(1_000)
  })
})

describe('the policy of an outage', () => {
  it('is read with its default', () => {
    expect(resolveOutagePolicy({ after: 20 }, 'x')).toEqual({ after: 20, probeMs: 5_000 })
  })

  it.each([
    [{ after: 1 }, 'x.after'],
    [{ after: 1_001 }, 'x.after'],
    [{ after: 2.5 }, 'x.after'],
    [{ after: 5, probe: '99ms' }, 'x.probe'],
    [{ after: 5, probe: '2h' }, 'x.probe'],
  ] as const)('%o is refused by its name', (wrong, field) => {
    expect(() => resolveOutagePolicy(wrong, 'x')).toThrow(field)
  })
})
