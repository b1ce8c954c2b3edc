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
  /** Values and keys in one JSON document; one parse may not block the loop for 100 ms (F47). */
  jsonNodesMax: 100_000,
  /** An idempotency key or a partition key, in UTF-8 bytes (F50). */
  keyBytesMax: 512,
  /** One JSON Schema, as text; compiling it costs time and memory at start (F55). */
  schemaBytesMax: 1_048_576,
  /** Nesting of a JSON Schema; its readers recurse (F55). */
  schemaDepthMax: 128,
  /** `$ref`s followed in one validation; stops schemas whose work doubles with each level (F55). */
  validateStepsMax: 500_000,
  /** Characters of a pattern; each costs states of the linear-time matcher (F55). */
  patternCharsMax: 4_096,
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
  /** Parsed messages that wait for their other consumers: several pages of what is fetched. */
  sharedParsesMax: 2_048,
  sharedParseBytesMax: 8_388_608,
  /** Events that one transform may make of one partner message. */
  emitsPerMessageMax: 100,
  /** Requests that wait for a commit; past it ingress answers 503. */
  acceptQueueMax: 10_000,
  /** Bytes that wait for a commit; past it ingress answers 503. */
  acceptQueueBytesMax: 67_108_864,
  /** Units of work in one group commit; bounds how long a commit holds the loop. */
  commitUnitsMax: 1_000,
  /** So many do not wait for more where the store works meanwhile; commits of fewer cost more. */
  commitEarlyUnits: 256,
  /** Records in one group commit, unless a single unit has more: writing them holds the loop. */
  commitRecordsMax: 2_000,
  /** Positions a consumer may have fetched and not finished. */
  fetchWindowMax: 4_096,
  /** Bytes of records that a consumer may have fetched and not finished. */
  fetchWindowBytesMax: 67_108_864,
  /** Positions claimed ahead of the last one fetched; after a crash that many run as suspects. */
  claimWindow: 256,
  /** A message that took the process down this often, alone, is a dead letter (M20). */
  crashesMax: 3,
  /** Keys handled at once by one consumer. */
  concurrencyMax: 1_024,
  /** Partitions of one consumer: a channel has so many slots, and each has at least one of them. */
  partitionsMax: 64,
  /** Attempts that a retry policy may allow. */
  attemptsMax: 100,
  /** The longest delay between two attempts, so that an operator notices within a day (M21). */
  retryDelayMsMax: 86_400_000,
  /** The longest time from first attempt to dead letter. */
  retryHorizonMsMax: 1_209_600_000,
  /** A busy store collects for a commit this long; it is felt only in an answer under load. */
  gatherMs: 3,
  /** Bytes written to SQLite's write-ahead log before they are moved into the file. */
  walFoldBytes: 8_388_608,
  /** Pages in that log before commits wait for its end to be reached: some 64 MiB. */
  walFramesMax: 8_192,
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
  /** Growth of the delay from one retry to the next; more reaches the cap at once. */
  retryFactorMax: 10,
  /** Tokens per second and tokens at once of a rate limit; more is no limit. */
  ratePerSecondMax: 1_000_000,
  rateBurstMax: 1_000_000,
  /** Characters of one metric label value. */
  metricLabelCharsMax: 120,
  /** Members of a received tracestate; more discards it (W3C Trace Context, section 3.3.1). */
  traceStateMembersMax: 32,
  /** Characters of tracestate carried with every envelope, the least that the W3C asks for. */
  traceStateCharsMax: 512,
  /** Characters of a span attribute; traces are for finding, not for keeping payloads. */
  spanAttributeCharsMax: 256,
  /** Characters of a cause as people read it. */
  causeCharsMax: 200,
  /** Characters of an alert's title, which also travels to pagers. */
  alertTitleCharsMax: 200,
  /** One log line: fields, items of a list, depth, characters of a value and of the line. */
  logFieldsMax: 50,
  logItemsMax: 20,
  logDepthMax: 4,
  logValueCharsMax: 4_000,
  logLineCharsMax: 16_384,
  /** Past and future tolerance of a signed timestamp; a wider door lets old requests in again. */
  toleranceMsMax: 86_400_000,
  /** Characters of a signed message id; it becomes a key and is logged (F50, W11). */
  messageIdCharsMax: 256,
  /** Public-key checks in one request; each costs some fifty times a keyed hash (W4). */
  publicKeyChecksMax: 10,
  /** Fields of a form, and parameters of a query; each is decoded and sorted. */
  formFieldsMax: 1_000,
  /** Components that an HTTP Message Signature may cover, and characters of one parameter. */
  signedComponentsMax: 50,
  /** Characters of the text that a handshake sends back to whoever asks. */
  handshakeCharsMax: 1_024,
  /** Certificates of signers that are kept; a sender has one or two at a time. */
  certificatesMax: 16,
  /** Bytes of a certificate; one has some two thousand. */
  certificateBytesMax: 65_536,
  /** How long a certificate is used before it is fetched again. */
  certificateKeptMs: 86_400_000,
  /** How long a certificate may take to come; a request waits for it. */
  certificateFetchMs: 5_000,
  /** Certificates fetched in a minute: anyone can name one that nobody has seen. */
  certificateFetchesPerMinute: 10,
  /** Characters of a certificate's URL. */
  certificateUrlCharsMax: 500,
  /** Bytes of a file or variable that holds secrets; more is another file named by mistake. */
  secretSourceBytesMax: 16_384,
  /** Characters of a bearer token; it is hashed before it is compared. */
  tokenCharsMax: 512,
  /** Personal values searched for in one text, and characters of that text (F57). */
  maskValuesMax: 200,
  maskTextCharsMax: 16_384,
  /** Values visited while masking one document; what lies beyond is masked unseen. */
  maskNodesMax: 200_000,
  /** Bodies being read or decompressed at once, in bytes; past it ingress answers 503. */
  bodiesInFlightBytesMax: 134_217_728,
  /** Requests being answered at once; past it ingress answers 503. */
  requestsInFlightMax: 10_000,
  /** Decompressed bytes that are taken whatever their ratio; small texts shrink a lot. */
  inflateFloorBytes: 65_536,
  /** Connections of the public listener; an idle one costs memory (F100). */
  connectionsMax: 10_000,
  /** Addresses whose request rate is remembered; the oldest is forgotten first. */
  rateAddressesMax: 10_000,
  /** Messages of one `publishMany`, which is one unit of commit. */
  publishManyMax: 1_000,
  /** Events of one batch over HTTP; each is a message of its own. */
  eventsPerBatchMax: 1_000,
  /** The answer of a receiver: in memory, and what is kept of it with a failure. */
  pushAnswerBytesMax: 1_048_576,
  pushAnswerCharsMax: 500,
  /** Connections to one receiver; each consumer has at most `concurrency` messages on the way. */
  pushSocketsMax: 256,
  /** Messages whose repeats are counted in memory between two flushes. */
  repeatsTrackedMax: 10_000,
  /** A message repeated for longer than this is told to the owner of the webhook. */
  repeatAlertAfterMs: 3_600_000,
  /** How long the count of repeats of one message is kept. */
  repeatsKeptMs: 2_592_000_000,
  /** Invalid requests kept per webhook, and kept newly per day, in number and in bytes. */
  invalidOpenMax: 10_000,
  invalidPerDayMax: 2_000,
  invalidBytesPerDayMax: 134_217_728,
  /** Log records read to find one message by its id. */
  locateRecordsMax: 10_000,
  /** Size and age at which a partition of the log is closed; dropping one holds the loop. */
  partitionBytesMax: 67_108_864,
  partitionMs: 86_400_000,
  /**
   * Positions of the log that one statement looks through for a channel; bounds how long it runs.
   */
  logScanPositionsMax: 16_384,
  /**
   * A store up to this size is read and checked wholly at start; of a larger one, the parts below.
   */
  startCheckBytesMax: 67_108_864,
  /** Newest records whose checksums are verified at start, whatever the size. */
  startCheckRecords: 10_000,
  /**
   * How far behind the mark of the highest position may stay: what is younger when a store is put
   * back from a copy goes unnoticed (F29).
   */
  highMarkMs: 1_000,
  /** Prepared statements of the user's own that are kept; one more and the oldest is forgotten. */
  userStatementsMax: 500,
  /** Memory for the idempotency keys of a SQLite store; more are found on disk. */
  dedupeBytesMax: 134_217_728,
  /** The least that may be set: tables and filters that are too small cost more than they hold. */
  dedupeBytesMin: 4_194_304,
  /** Pages of expired idempotency keys deleted at once, and in one round of retention. */
  claimPagesDeletedMax: 256,
  claimCleanStepsMax: 400,
  /** Tables of expired idempotency keys dropped in one call; each drop holds the loop. */
  claimTablesDroppedMax: 2,
  /** Rows and bytes of one statement to PostgreSQL; a commit with more takes several. */
  sqlRowsMax: 1_000,
  sqlBytesMax: 16_777_216,
  /** Connections of one process to PostgreSQL that read; one more writes. */
  postgresReadersMax: 4,
  /** A statement of the user's own may wait for a lock, and run: the whole group commit waits. */
  sqlLockWaitMs: 5_000,
  sqlStatementMs: 30_000,
  /**
   * After this without renewal, another process may take over what only one may do, such as running
   * the consumers: with its start, within ten seconds of a death.
   */
  leaseMs: 5_000,
  /** Renewals of a lease before it would expire; fewer, and one slow answer loses it. */
  leaseRenewals: 3,
  /** How often a process that waits for a lease looks whether it is free. */
  leasePollMs: 500,
  /**
   * Looks in a row at which nobody had a partition; then whoever sees it takes it, also beyond its
   * share, and keeps it for so long: the others may run another version, or be held up.
   */
  leaseFreeLooksMax: 20,
  leaseKeptMs: 600_000,
  /** Workers that share the consumers of one store; more stand by. Each looks at all leases. */
  workersMax: 64,
  /** How often a worker looks whether somebody asks it for something. */
  requestPollMs: 1_000,
  /** How long somebody who asks for something is kept waiting for the worker that can do it. */
  requestWaitMs: 10_000,
  /** Dead letters named in one such request: with their answer it is one small row. */
  requestIdsMax: 200,
  /** What runs may take so long to finish before a partition is given to another worker. */
  handBackMs: 10_000,
  /** What may have killed a process waits so long for the others here, so that it runs alone. */
  aloneWaitMs: 2_000,
  /** A consumer that had nothing to handle says so often how far it is, for retention. */
  progressNoteMs: 60_000,
  /** Records looked through, and ranges kept, when the partitions of a consumer are joined. */
  repartitionRecordsMax: 100_000,
  repartitionRangesMax: 2_000,
  /**
   * Left free above the highest position known when a store has gone back in time: what is known
   * may be a little behind, and no position that somebody has seen is given to another record.
   */
  positionGap: 1_000_000,
  /** How long a commit waits for the commits of all other processes before it is refused. */
  orderLockWaitMs: 10_000,
  /** A process that hangs while every other one waits for its commit loses its connection. */
  orderedIdleMs: 3_000,
  /** A network that swallows packets breaks nothing: past this, a connection counts as broken. */
  sqlConnectMs: 10_000,
  /** The same for the store's own statements in a commit: longer than the wait for its order. */
  sqlAnswerMs: 15_000,
  /** The same for what is read, which may be much. */
  sqlReadMs: 45_000,
  /** How long a commit whose answer was lost is asked for before the process gives itself up. */
  commitAskMs: 30_000,
  /**
   * How often a process looks for what others have appended: when it cannot be told, just after
   * something came, and when it is told and only makes sure.
   */
  watchPollMs: 60,
  watchBusyPollMs: 10,
  watchListenPollMs: 1_000,
  /** News of other processes are told and passed on so often at most, under load (p99 of 20 ms). */
  watchPaceMs: 4,
  /** A notice that has not come the whole way by then does not come: a pooler is in between. */
  watchProbeMs: 1_000,
  /** After this it is tried again to listen. */
  watchListenAgainMs: 30_000,
  /** A transaction of anybody's in the store's database that is open for longer raises an alert. */
  longTransactionMs: 300_000,
  /** Dropping a partition waits this long for whoever reads it, or is tried again later. */
  dropLockWaitMs: 500,
  /** Runs of one group commit that another transaction stood in the way of. */
  commitTriesMax: 3,
  /** Connections of the management listener; people, probes and scrapers need few (F100). */
  manageConnectionsMax: 512,
  /** Body of one management request. */
  manageBodyBytesMax: 1_048_576,
  /** Ids named in one operation; who means more names their cause. */
  operationIdsMax: 1_000,
  /** Characters of a parameter of the management API: a key of 512 bytes, an id, a cursor. */
  parameterCharsMax: 2_048,
  /** Characters of a person's reason, which is journaled. */
  reasonCharsMax: 500,
  /** Trusted proxies that may be named; whoever has more names their range. */
  trustedProxiesMax: 256,
  /** Shortest `ttl`: a commit and a busy key may take as long. Longest: above it is for ever. */
  ttlMsMin: 1_000,
  ttlMsMax: 31_536_000_000,
  /** How long an expected message may take: below, a busy log alone would raise alarms. */
  expectationMsMin: 1_000,
  expectationMsMax: 31_536_000_000,
  /** Messages that an expectation takes in one commit, and has read ahead of each channel. */
  expectationBatch: 512,
  expectationAheadMax: 1_024,
  /** What comes within this is taken together: pairs that meet in it write nothing. */
  expectationGatherMs: 50,
  /** Without a look at the log for this long, an expectation was blind, and gives its grace. */
  expectationBlindMs: 30_000,
  /** Messages of one group of an aggregate: all of them are read with each that comes. */
  groupItemsMax: 1_000,
  /** Keys that the title of an alarm names. */
  expectationExamplesMax: 3,
  /** Events that wait for one slow reader: a whole resume and some. Past it the reader is cut. */
  streamReaderEventsMax: 12_000,
  /** Rows and bytes that a relay moves in one commit; both are in memory at once. */
  outboxRowsMax: 1_000,
  outboxBytesMax: 8_388_608,
  /** Ranges of numbers that a relay waits for; each is looked up in every read. */
  outboxGapsMax: 1_000,
  /** Invalid rows of one outbox that nobody has dealt with; past it the relay waits. */
  outboxInvalidOpenMax: 10_000,
  /** A number that is missing for longer is told: a transaction is kept open. */
  outboxGapAlertMs: 60_000,
  /** A database that is away for longer is told. */
  outboxAwayAlertMs: 10_000,
  /** Idle, a relay asks this often: 20 statements a second, and 25 ms until found on average. */
  outboxIdleMs: 50,
  /** Messages and bytes that a topic's relay moves in one commit; as much more is on its way. */
  topicBatchMax: 500,
  topicBatchBytesMax: 8_388_608,
  /** How often a topic is asked for its ends: what its lag is, and whether its broker answers. */
  topicInspectMs: 5_000,
  /** A broker of a topic that is away for longer is told. */
  topicAwayAlertMs: 30_000,
  /** Longest pause before a topic is opened again. */
  topicPauseMsMax: 30_000,
  /** Invalid messages of one topic that nobody has dealt with; past it the relay waits. */
  topicInvalidOpenMax: 10_000,
  /** Of an invalid message, body and headers are kept up to this size; the topic has the rest. */
  topicInvalidBytesMax: 1_048_576,
  /** A source of CloudEvents is a URI; a longer one is none that anybody reads. */
  eventSourceCharsMax: 1_024,
  /** How long the ids of a queue's messages are known; what crashes bring back comes in seconds. */
  queueDedupeMs: 86_400_000,
  /** After another process has moved a topic, this one looks again. */
  topicStandByMs: 10_000,
  /** Messages published to a broker at once; they come again together where it fails. */
  relayBatchMax: 512,
  /** Longest pause before publishing is tried again. */
  relayPauseMsMax: 2_000,
  /** Waits this long for a message that the broker seems to have lost; then the store has it. */
  brokerPatienceMs: 1_000,
  /** The same while the broker brings nothing at all. */
  brokerDoubtMs: 50,
  /** How often the places of the relays are kept; what lies between is published again. */
  relayPlaceMs: 1_000,
  /** A broker that is away for longer than this is told of. */
  brokerDownAlertMs: 30_000,
  /** A broker that lost something is given again what was written within this time. */
  republishMs: 3_600_000,
  /** How often a channel that is written is looked at in the broker, to notice a loss. */
  brokerSurveyMs: 5_000,
  /**
   * Where the broker is the record: messages that wait in memory for one partition of a consumer,
   * in number and in bytes, before the broker is asked for no more.
   */
  recordQueueMax: 2_048,
  recordQueueBytesMax: 16_777_216,
  /** Messages in one publication that is not held up by those before it, and their bytes. */
  recordBatchMax: 2_000,
  recordBatchBytesMax: 4_194_304,
  /** Publications of one channel that the broker has not confirmed yet. */
  recordInFlightMax: 4,
  /** Partitions of a topic that is a record: a channel has no more slots. */
  recordPartitionsMax: 64,
  /** A page of a record that is read for a replay takes no longer; then it is read again. */
  recordReadMsMax: 10_000,
  /** Messages that wait to be published; beyond it the caller is told to come back. */
  recordWaitingMax: 20_000,
  recordWaitingBytesMax: 67_108_864,
  /** How soon after something was published its end is looked at, for whoever waits for it. */
  recordLookMs: 100,
  /** Stores whose relays are remembered by a reader; a channel has one, or a few. */
  recordStoresMax: 16,
  /** Bodies of exceptions that are copied to the store in one commit; one is, whatever its size. */
  recordCopyBytesMax: 8_388_608,
  /** Messages of one channel that wait for one before them, in number and in bytes. */
  brokerEarlyMax: 8_192,
  brokerEarlyBytesMax: 33_554_432,
  /** Longest pause before a broker that is away is tried again. */
  kafkaPauseMsMax: 3_000,
  /** A connection to a broker and the sign-in are given up after this. */
  kafkaConnectMs: 5_000,
  /** How often an idle connection is tried, since a half-open one says nothing. */
  kafkaBeatMs: 15_000,
  /** Bytes that wait to be published to a broker; past it a publish is refused for now. */
  kafkaWaitingBytesMax: 67_108_864,
  /** Bytes of one request that publishes to Kafka; some brokers take no more in one batch. */
  kafkaRequestBytesMax: 1_000_000,
  /** Such requests on their way at once; Kafka knows repeats among the last five alone. */
  kafkaRequestsMax: 3,
  /** How long Kafka holds a question for more while there is nothing. */
  kafkaFetchWaitMs: 3_000,
  /** Bytes of one answer, and of one partition in it; a larger message comes alone. */
  kafkaFetchBytes: 4_194_304,
  kafkaFetchPartitionBytes: 1_048_576,
  /** Messages of one channel, and their bytes, that RabbitMQ has and did not confirm yet. */
  rabbitmqUnconfirmedMax: 2_048,
  rabbitmqUnconfirmedBytesMax: 16_777_216,
  /** Messages of one channel that wait to be sent to RabbitMQ; past it a publish is refused. */
  rabbitmqWaitingMax: 16_384,
  /** Headers of one message: what the client can write, and less than one frame. */
  rabbitmqHeaderBytesMax: 61_440,
  /** The live queue of one process; older messages are dropped, because the store has them. */
  rabbitmqFollowMessagesMax: 65_536,
  rabbitmqFollowBytesMax: 67_108_864,
  /** Bytes of one queue that wait to be handled; past it fewer messages are fetched at once. */
  rabbitmqReadBytesMax: 67_108_864,
  /** Each crash and each broken connection is a delivery, and must not make a dead letter. */
  rabbitmqDeliveriesMin: 1_000,
  /** Queues made for other systems, of one channel: each takes a copy of every message. */
  rabbitmqQueuesMax: 100,
  /** Arguments of one queue that are looked at. */
  rabbitmqArgumentsMax: 20,
  /** How long one try to connect may take, and how long a connection may be silent. */
  rabbitmqConnectMs: 10_000,
  rabbitmqHeartbeatSeconds: 10,
  /** Pauses between tries to connect and to subscribe. */
  rabbitmqPauseMsMin: 100,
  rabbitmqPauseMsMax: 2_000,
  /** How long a server that does not answer is waited for when something is closed. */
  rabbitmqCloseMs: 2_000,
  /** Messages that a driver keeps for one channel until it can send them; past it publish fails. */
  brokerWaitingMax: 16_384,
  /** Steps of one run of a saga; its journal is read and run through at each thing that comes. */
  sagaStepsMax: 1_000,
  /** One journal as text; it is written with each step (F158). */
  sagaJournalBytesMax: 1_048_576,
  /** Events that one run holds and has not waited for yet. */
  sagaInboxMax: 100,
  /** Timers of sagas that are told at once; the rest wait, as after a long downtime. */
  sagaTimersAtOnceMax: 256,
  /** Operations on one run that are remembered, so that a repeat does nothing. */
  sagaOperationsMax: 50,
  /** Commits of one scenario of a saga test at which the process is killed, before and after. */
  sagaTestCommitsMax: 500,
  /** Alternatives of one scenario of a saga test; each is a run of its own. */
  sagaTestAlternativesMax: 100,
} as const
