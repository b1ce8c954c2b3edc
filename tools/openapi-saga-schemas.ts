import { COMMANDS } from '../src/manage/index.ts'
import { SAGA_STATES } from '../src/store/index.ts'
import type { SchemaObject } from './openapi-schemas.ts'

const text: SchemaObject = { type: 'string' }
const count: SchemaObject = { type: 'integer', minimum: 0 }
const flag: SchemaObject = { type: 'boolean' }
const anything: SchemaObject = {}
const timeMs: SchemaObject = { type: 'integer', description: 'Epoch milliseconds.' }
const words = (...allowed: readonly string[]): SchemaObject => ({ type: 'string', enum: allowed })
const listOf = (items: SchemaObject): SchemaObject => ({ type: 'array', items })

/** Makes an object with exactly these members; a name that ends in `?` may be missing. */
type Exactly = (members: Readonly<Record<string, SchemaObject>>) => SchemaObject

const KIND = words(
  'call',
  'run',
  'tx',
  'wait',
  'sleep',
  'first',
  'gather',
  'child',
  'emit',
  'pivot',
  'now',
  'id',
)
const ENTRY_STATE = words(
  'open',
  'retrying',
  'in-doubt',
  'failed',
  'done',
  'declined',
  'dropped',
  'skipped',
)

/** Schemas of sagas and their runs. */
export const sagaSchemas = (exactly: Exactly): Readonly<Record<string, SchemaObject>> => {
  const standing = standingMembers(exactly)
  return {
    Saga: exactly({
      name: text,
      owner: text,
      'summary?': text,
      version: count,
      supports: listOf(count),
      on: text,
      live: exactly({
        unstarted: count,
        running: count,
        paused: count,
        compensating: count,
        'compensation-stuck': count,
      }),
      'oldestStartedAtMs?': timeMs,
      unbrought: listOf(text),
    }),
    SagaRunSummary: exactly({ ...standing, movedAtMs: timeMs, isQuiet: flag, steps: count }),
    SagaRun: exactly({
      schemaVersion: { const: 1 },
      ...standing,
      updatedAtMs: timeMs,
      'movedAtMs?': timeMs,
      'isQuiet?': flag,
      inputType: text,
      input: anything,
      'output?': anything,
      'late?': text,
      correlationId: text,
      'traceparent?': text,
      'parent?': text,
      repeats: count,
      entries: listOf(entryOf(exactly)),
      inbox: listOf(exactly({ arrived: count, id: text, type: text, data: anything, time: text })),
      timers: listOf(text),
      operations: listOf(
        exactly({
          id: text,
          command: text,
          actor: text,
          reason: text,
          atMs: timeMs,
          outcome: text,
        }),
      ),
      next: listOf(
        exactly({ command: words(...Object.keys(COMMANDS)), 'step?': text, when: text }),
      ),
    }),
  }
}

const standingMembers = (exactly: Exactly): Readonly<Record<string, SchemaObject>> => ({
  saga: text,
  key: text,
  id: text,
  state: words(...SAGA_STATES),
  version: count,
  owner: text,
  phase: words('forward', 'compensation'),
  startedAtMs: timeMs,
  'endedAtMs?': timeMs,
  'cause?': exactly({
    kind: words('declined', 'failed', 'cancelled', 'budget'),
    reason: text,
    'step?': text,
  }),
  'problem?': exactly({ kind: text, 'step?': text, message: text, fix: text, atMs: timeMs }),
  'parked?': count,
  waitsFor: listOf(
    exactly({
      step: text,
      kind: KIND,
      state: ENTRY_STATE,
      'contract?': text,
      owner: text,
      sinceMs: timeMs,
      'untilMs?': timeMs,
      'error?': text,
      'hint?': text,
    }),
  ),
})

const entryOf = (exactly: Exactly): SchemaObject =>
  exactly({
    step: text,
    kind: KIND,
    'contract?': text,
    'owner?': text,
    state: ENTRY_STATE,
    startedAtMs: timeMs,
    'endedAtMs?': timeMs,
    'arrived?': count,
    'seq?': count,
    'output?': anything,
    'error?': text,
    'attempts?': count,
    'sent?': count,
    'dueAtMs?': timeMs,
    'isDue?': flag,
    'compensates?': flag,
    'intentAtMs?': timeMs,
    'input?': anything,
    'reason?': text,
  })
