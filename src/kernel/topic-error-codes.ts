/** The errors of topics of others: a part of the one list in error-codes.ts. */
export const TOPIC_ERROR_CODES = {
  JUNCTURA_TOPIC_REFUSED: {
    status: 500,
    retryable: false,
    message: 'The topic {topic} cannot be moved: {problem}. {fix}',
    advice:
      'Put right what the message says; the relay tries again by itself, and goes on where it was.',
  },
} as const
