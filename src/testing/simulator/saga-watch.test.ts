import { describe, expect, it } from 'vitest'
import type { SagaEntryRow, SagaRunRow } from '../../store/index.ts'
import { SagaWatch } from './saga-watch.ts'

const entry = (step: string, state: SagaEntryRow['state'] = 'done'): SagaEntryRow => ({
  step,
  kind: 'call',
  state,
  startedAtMs: 0,
  sent: 1,
  ...(!step.startsWith('undo:') && { compensates: true }),
})

const forward: SagaRunRow = {
  saga: 'order',
  key: 'a',
  id: 'run_a',
  state: 'running',
  version: 1,
  owner: 'owners',
  phase: 'forward',
  startedAtMs: 0,
  updatedAtMs: 0,
  position: 10,
  arrivals: 2,
  deliveries: 2,
  startId: 'msg_a',
  inputType: 'shop.placed',
  input: {},
  correlationId: 'msg_a',
  repeats: 0,
  entries: [entry('reserve#1'), entry('charge#1')],
  inbox: [],
  timers: [],
  operations: [],
}

const back: SagaRunRow = { ...forward, state: 'compensating', phase: 'compensation', position: 11 }

/** What is said of a run whose row was written so, one after the other. */
const seen = (...rows: readonly SagaRunRow[]): { readonly said: string[]; watch: SagaWatch } => {
  const said: string[] = []
  const watch = new SagaWatch((sentence) => void said.push(sentence))
  for (const row of rows) {
    watch.applied({ records: [], rows: [{ collection: 'sagaRuns', key: 'order\na', row }] })
  }
  return { said, watch }
}

describe('the watch over sagas', () => {
  it('says nothing of a run that is taken back in reverse order, and ends so', () => {
    const undone = [entry('undo:charge#1'), entry('undo:reserve#1')]
    const ended: SagaRunRow = {
      ...back,
      state: 'compensated',
      entries: [...back.entries, ...undone],
      endedAtMs: 1,
    }
    expect(seen(forward, back, ended).said).toEqual([])
  })

  it.each<readonly [string, readonly SagaRunRow[], string]>([
    [
      'compensation in the order of start',
      [{ ...back, entries: [...back.entries, entry('undo:reserve#1'), entry('undo:charge#1')] }],
      'was not taken back in reverse order',
    ],
    [
      'a step forward after a crash in compensation',
      [back, { ...back, entries: [...back.entries, entry('ship#1', 'open')] }],
      'began ship#1 while it was being taken back',
    ],
    [
      'a run that goes forward again',
      [back, forward],
      'goes forward again after it was being taken back',
    ],
    [
      'a journal written over by who slept',
      [forward, { ...forward, position: 9, entries: [entry('reserve#1')] }],
      'went back from position 10 to 9',
    ],
    [
      'a failed compensation that is called done',
      [
        {
          ...back,
          state: 'compensated',
          entries: [...back.entries, entry('undo:charge#1', 'failed'), entry('undo:reserve#1')],
        },
      ],
      'undo:charge#1 is failed',
    ],
    [
      'a step that was forgotten when it was taken back',
      [{ ...back, state: 'compensated', entries: [...back.entries, entry('undo:charge#1')] }],
      'reserve#1 was not taken back',
    ],
    [
      'an end that is none',
      [{ ...forward, state: 'completed' }, forward],
      'had ended as completed, and is running',
    ],
  ])('sees %s', (_name, rows, sentence) => {
    expect(seen(...rows).said.join('\n')).toContain(sentence)
  })

  it('waits for what ends by itself, and not for a person or an event', () => {
    const waiting = { ...forward, entries: [{ ...entry('paid#1', 'open'), kind: 'wait' as const }] }
    const rests = (row: SagaRunRow): boolean => seen(row).watch.unrest().next().done === true

    expect(rests(waiting)).toBe(true)
    expect(rests({ ...waiting, timers: ['sleep:gone#1'] })).toBe(false)
    expect(rests({ ...forward, entries: [entry('charge#1', 'open')] })).toBe(false)
    expect(rests({ ...forward, state: 'paused', entries: [entry('charge#1', 'open')] })).toBe(true)
  })
})
