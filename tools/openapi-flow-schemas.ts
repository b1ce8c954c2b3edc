import type { SchemaObject } from './openapi-schemas.ts'

const text: SchemaObject = { type: 'string' }
const count: SchemaObject = { type: 'integer', minimum: 0 }
const timeMs: SchemaObject = { type: 'integer', description: 'Epoch milliseconds.' }
const words = (...allowed: readonly string[]): SchemaObject => ({ type: 'string', enum: allowed })
const listOf = (items: SchemaObject): SchemaObject => ({ type: 'array', items })

/** Makes an object with exactly these members; a name that ends in `?` may be missing. */
type Exactly = (members: Readonly<Record<string, SchemaObject>>) => SchemaObject

/** Schemas of what must follow what, and of what is due when. */
export const flowSchemas = (exactly: Exactly): Readonly<Record<string, SchemaObject>> => {
  const expectation = expectationMembers(exactly)
  const expectationKey = {
    key: text,
    state: words('missed', 'open', 'early', 'undone'),
    dueAtMs: timeMs,
    'missedAtMs?': timeMs,
    lastSeen: exactly({ messageId: text, type: text, atMs: timeMs }),
    correlationId: text,
    shouldAct: listOf(text),
    'deadLetters?': listOf(exactly({ id: text, consumer: text, cause: text })),
  }

  const flow = {
    name: text,
    owner: text,
    'summary?': text,
    coordination: words('choreography'),
    path: listOf(text),
    open: count,
    missed: count,
    steps: listOf(exactly(expectation)),
  }

  const schedule = {
    name: text,
    owner: text,
    'summary?': text,
    'cron?': text,
    'timezone?': text,
    emits: text,
    whenMissed: words('run-once', 'skip'),
    nextAtMs: { type: ['integer', 'null'], description: 'Epoch milliseconds.' },
    'lastDueAtMs?': timeMs,
    'lastFiredAtMs?': timeMs,
    'lastMessageId?': text,
    'lastError?': text,
    fired: count,
    missed: count,
  }

  return {
    Expectation: exactly(expectation),
    ExpectationKey: exactly(expectationKey),
    Flow: exactly(flow),
    Schedule: exactly(schedule),
  }
}

const expectationMembers = (exactly: Exactly): Readonly<Record<string, SchemaObject>> => ({
  name: text,
  owner: text,
  'summary?': text,
  after: listOf(text),
  expect: listOf(text),
  undoneBy: listOf(text),
  withinMs: count,
  shouldAct: listOf(text),
  state: words('standing-by', 'running', 'stopped', 'closed'),
  lag: count,
  open: count,
  missed: count,
  'oldestMissedAtMs?': timeMs,
  'heldUntilMs?': timeMs,
  totals: exactly({
    opened: count,
    met: count,
    late: count,
    undone: count,
    missed: count,
    unexpected: count,
    unreadable: count,
  }),
})
