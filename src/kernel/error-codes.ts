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
} as const

export type ErrorCode = keyof typeof ERROR_CODES

export interface ErrorCodeEntry {
  readonly status: number
  readonly retryable: boolean
  readonly message: string
  readonly advice: string
}
