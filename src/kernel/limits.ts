/**
 * Every maximum in one place, each with the failure it prevents. A limit that users may change is a
 * default here and an option in the declaration; the rest are fixed.
 */
export const LIMITS = {
  /** A partner's request body, before and after decompression. More is an answer of 413. */
  bodyBytesMax: 1_048_576,
  /** Decompressed bytes per compressed byte; more is a bomb (F46). */
  inflateRatioMax: 100,
  /** Nesting of a JSON document; deeper input costs stack in every later reader (F47). */
  jsonDepthMax: 64,
  /** Values in one JSON document; bounds the time one parse may block the loop (F47). */
  jsonNodesMax: 200_000,
  /** An idempotency key or a partition key, in UTF-8 bytes (F50). */
  keyBytesMax: 512,
  /** Field errors listed in one problem document. */
  problemErrorsMax: 64,
  /** Header lines of one request; more is an answer of 431 (F102). */
  headersMax: 100,
  /** All header bytes of one request. */
  headerBytesMax: 16_384,
  /** Bytes of the request line's target. */
  urlBytesMax: 8_192,
  /** Signatures tried in one header; each costs one comparison (F114). */
  signaturesMax: 10,
  /** Secrets valid at once for one webhook while rotating. */
  secretsMax: 5,
  /** One log record: envelope, data and raw bytes. */
  recordBytesMax: 4_194_304,
  /** Events that one transform may make of one partner message. */
  emitsPerMessageMax: 100,
  /** Requests that wait for a commit; past it ingress answers 503. */
  acceptQueueMax: 10_000,
  /** Bytes that wait for a commit; past it ingress answers 503. */
  acceptQueueBytesMax: 67_108_864,
  /** Units of work in one group commit; bounds how long a commit holds the loop. */
  commitUnitsMax: 1_000,
  /** Positions a consumer may have fetched and not finished. */
  fetchWindowMax: 4_096,
  /** Positions claimed ahead of the watermark; after a crash that many run as suspects. */
  claimWindow: 256,
  /** Keys handled at once by one consumer. */
  concurrencyMax: 1_024,
  /** Attempts that a retry policy may allow. */
  attemptsMax: 100,
  /** The longest delay between two attempts, so that an operator notices within a day (M21). */
  retryDelayMsMax: 86_400_000,
  /** The longest time from first attempt to dead letter. */
  retryHorizonMsMax: 1_209_600_000,
  /** A transform may hold the loop this long. */
  transformMs: 1_000,
  /** Characters of an error message and of a stack kept with a dead letter. */
  errorMessageCharsMax: 2_000,
  errorStackCharsMax: 8_000,
  /** Log lines that one attempt may write through `ctx.log`. */
  attemptLogLinesMax: 200,
  /** Rows in one answer of the management API. */
  pageRowsMax: 500,
  /** Readers of the event stream at once, and events kept for one that resumes. */
  streamReadersMax: 100,
  streamEventsKept: 10_000,
  /** Label values per metric; the rest is counted under `other` (F97). */
  metricSeriesMax: 2_000,
} as const
