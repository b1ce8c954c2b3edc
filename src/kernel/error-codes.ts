/**
 * The only list of errors. A code is permanent once released; message and advice may improve.
 * `status` is the HTTP answer, `retryable` whether the same thing may succeed later unchanged;
 * in `message`, `{name}` is replaced by the detail of that name.
 * Every code has its entry in docs/reference/errors.md; a test holds table and page together.
 */
export const ERROR_CODES = {
  // Declaring and starting: the caller's bug, thrown at once.
  JUNCTURA_DECLARATION: {
    status: 500,
    retryable: false,
    message: '{field}: {problem}',
    advice: 'Correct the field as the detail `fix` says.',
  },
  JUNCTURA_REFUSED_START: {
    status: 500,
    retryable: false,
    message: 'The integration is refused at start, {count} finding(s):\n{findings}',
    advice: 'Each finding names the declaration, its line and what to write there.',
  },
  JUNCTURA_USAGE: {
    status: 400,
    retryable: false,
    message: '{problem}',
    advice: 'See `junctura help` for the allowed values.',
  },
  JUNCTURA_PEER_MISSING: {
    status: 500,
    retryable: false,
    message: 'The package `{package}` is needed for {feature} and is not installed.',
    advice: 'Install it beside junctura with npm.',
  },
  JUNCTURA_NODE_VERSION: {
    status: 500,
    retryable: false,
    message: 'Junctura needs Node 22.18 or later; this is {version}.',
    advice: 'Install a newer Node, or bring one into the project: npm i junctura node@24',
  },
  JUNCTURA_INVARIANT: {
    status: 500,
    retryable: false,
    message: 'An internal invariant does not hold: {invariant}',
    advice: 'This is a defect in Junctura; please report it with this message.',
  },
  JUNCTURA_CLOSED: {
    status: 503,
    retryable: true,
    message: '{what} is closed.',
    advice: 'Start it again before using it.',
  },
  JUNCTURA_POLICY_RANGE: {
    status: 500,
    retryable: false,
    message: '{field} is {value}; allowed is {allowed}. {fix}',
    advice: 'Write a value inside the allowed range; the detail `fix` says which.',
  },
  // The log and the store.
  JUNCTURA_RECORD_TOO_LARGE: {
    status: 413,
    retryable: false,
    message: 'A record of {type} would take {size} bytes; the maximum is {maximum}.',
    advice: 'Send less in one message, or keep the large part elsewhere and send its address.',
  },
  JUNCTURA_RECORD_DAMAGED: {
    status: 500,
    retryable: false,
    message: 'The record at position {position} is damaged: {problem}.',
    advice: 'Run `junctura doctor --data DIR`; it names the damaged file and how to repair it.',
  },
  JUNCTURA_RECORD_VERSION: {
    status: 500,
    retryable: false,
    message: 'The record at position {position} has format {version}; this release knows {known}.',
    advice: 'Start a release that is at least as new as the one that wrote the store.',
  },
  JUNCTURA_STORE_FULL: {
    status: 503,
    retryable: true,
    message: 'The store has no room: {problem}',
    advice: 'Free disk space; accepting resumes by itself.',
  },
  JUNCTURA_STORE_FAILED: {
    status: 503,
    retryable: true,
    message: 'The store did not take a commit: {problem}',
    advice: 'Look at the cause; nothing of the commit was written.',
  },
  JUNCTURA_STORE_UNKNOWN: {
    status: 503,
    retryable: true,
    message: 'A commit may or may not be on disk, so this process no longer trusts its store: {problem}',
    advice: 'Restart the process; it reads the store again and goes on from what is there.',
  },
  JUNCTURA_STORE_BUSY: {
    status: 503,
    retryable: true,
    message: 'The store is busy: {waiting} units wait for a commit.',
    advice: 'Send again after the time in Retry-After.',
  },
  JUNCTURA_STORE_LOCKED: {
    status: 500,
    retryable: false,
    message: 'The data directory {directory} is in use by process {pid}.',
    advice: 'Stop that process, or start this one with another --data directory.',
  },
  JUNCTURA_STORE_DAMAGED: {
    status: 500,
    retryable: false,
    message: 'The file {file} is damaged: {problem}',
    advice: 'Run `junctura doctor --data DIR` for what is readable and `--repair` to salvage it.',
  },
  JUNCTURA_STORE_FORMAT: {
    status: 500,
    retryable: false,
    message: 'The store {file} has format {format}; this release reads {known}.',
    advice: 'Start a release that is at least as new as the one that wrote the store.',
  },
  JUNCTURA_MIGRATION_CHANGED: {
    status: 500,
    retryable: false,
    message: 'The migration {name} was applied with other statements.',
    advice: 'Leave an applied migration as it was and add a new one with the change.',
  },
  JUNCTURA_MIGRATION_FAILED: {
    status: 500,
    retryable: false,
    message: 'The migration {name} failed: {problem}',
    advice: 'Correct its statements; nothing of it was applied.',
  },
  JUNCTURA_MIGRATION_DIALECT: {
    status: 500,
    retryable: false,
    message: 'The migration {name} has no statements for {dialect}.',
    advice: 'Add them: sql({ sqlite, postgres }).',
  },
  // Inside a handler.
  JUNCTURA_TX_LEFT: {
    status: 500,
    retryable: false,
    message: 'The callback of ctx.tx awaited something other than db; its statements were rolled back.',
    advice: 'Do calls and timers before ctx.tx, and await only db inside it.',
  },
  JUNCTURA_TX_TWICE: {
    status: 500,
    retryable: false,
    message: 'ctx.tx was called twice in one attempt of {consumer}.',
    advice: 'ctx.tx completes the message: put all statements into one callback.',
  },
  JUNCTURA_ATTEMPT_OVER: {
    status: 500,
    retryable: true,
    message: 'The attempt of {consumer} is over: {reason}.',
    advice: 'Stop work when ctx.signal aborts, or give the consumer a longer timeout.',
  },
} as const

export type ErrorCode = keyof typeof ERROR_CODES

export interface ErrorCodeEntry {
  readonly status: number
  readonly retryable: boolean
  readonly message: string
  readonly advice: string
}
