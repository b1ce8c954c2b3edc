/** The errors of the outbox, in a file of their own: a part of the one list in error-codes.ts. */
export const OUTBOX_ERROR_CODES = {
  JUNCTURA_OUTBOX_HANDLE: {
    status: 500,
    retryable: false,
    message: 'The outbox cannot write with this handle: {problem}. {fix}',
    advice: 'Pass the open transaction itself, as the client hands it to its callback.',
  },
  JUNCTURA_OUTBOX_REFUSED: {
    status: 500,
    retryable: false,
    message: 'The outbox {outbox} cannot be moved: {problem}. {fix}',
    advice:
      'Put right what the message says; the relay tries again by itself, and nothing is lost.',
  },
} as const
