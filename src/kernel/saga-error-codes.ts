/** Errors of sagas; ERROR_CODES joins them with the others. */
export const SAGA_ERROR_CODES = {
  JUNCTURA_SAGA_INBOX_FULL: {
    status: 500,
    retryable: false,
    message: 'Run {key} of saga {saga} holds {maximum} events that it has not waited for.',
    advice: 'Wait for them in the saga, or take their contract out of `uses`.',
  },
  JUNCTURA_SAGA_DECLINED: {
    status: 409,
    retryable: false,
    message: 'Step {step} was declined: {error}.',
    advice:
      'Ask with `s.try` to handle declared errors; uncaught, they end the saga in compensation.',
  },
  JUNCTURA_SAGA_FAILED: {
    status: 409,
    retryable: false,
    message: 'The saga failed: {reason}.',
    advice: 'Let it pass: `s.fail` ends the saga in compensation.',
  },
  JUNCTURA_SAGA_STEP: {
    status: 500,
    retryable: false,
    message: 'Step {step} of saga {saga}: {problem}.',
    advice: 'Change the saga as the message says; it is declared wrongly.',
  },
  JUNCTURA_SAGA_VERSION: {
    status: 500,
    retryable: false,
    message:
      'Saga {saga} has {count} live runs of versions that this code does not run: {versions}. It runs {supports}.',
    advice:
      'Start code that runs these versions, list them in `supports` when this code can go on with them, or end the runs with the code that has them.',
  },
} as const
