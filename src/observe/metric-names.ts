import type { MetricDefinition } from './metrics.ts'
import { SAGA_METRICS } from './saga-metric-names.ts'

const MOST_METRICS = {
  // The five health figures (docs/reference/metrics.md). Each is also there as raw counts.
  duplicateRate: {
    name: 'junctura_health_duplicate_ratio',
    type: 'gauge',
    help: 'Health figure 1: share of valid requests in the recent window that were repeats.',
    unit: 'ratio',
    labels: [],
  },
  deadLetterVolume: {
    name: 'junctura_health_dead_letters',
    type: 'gauge',
    help: 'Health figure 2: dead letters that nobody has dealt with yet.',
    unit: '',
    labels: [],
  },
  contractMismatchRate: {
    name: 'junctura_health_contract_mismatch_ratio',
    type: 'gauge',
    help: 'Health figure 3: share of verified requests in the recent window that broke a contract.',
    unit: 'ratio',
    labels: [],
  },
  consumerLatency: {
    name: 'junctura_health_consumer_latency_seconds',
    type: 'gauge',
    help: 'Health figure 4: from receipt to done, over all consumers in the recent window.',
    unit: 'seconds',
    /** p50, p95 or p99. */
    labels: ['percentile'],
  },
  correlationCoverage: {
    name: 'junctura_health_correlation_coverage_ratio',
    type: 'gauge',
    help: 'Health figure 5: share of envelopes in the recent window that carry a correlation id.',
    unit: 'ratio',
    labels: [],
  },

  // The border, per webhook.
  ingressLatency: {
    name: 'junctura_ingress_latency_seconds',
    type: 'histogram',
    help: 'From the request line to the answer.',
    unit: 'seconds',
    labels: ['webhook'],
  },
  ingressInFlight: {
    name: 'junctura_ingress_in_flight',
    type: 'gauge',
    help: 'Requests being answered now.',
    unit: '',
    labels: [],
  },
  accepted: {
    name: 'junctura_ingress_accepted',
    type: 'counter',
    help: 'Requests answered 202: verified, valid, new and durable.',
    unit: '',
    labels: ['webhook'],
  },
  duplicates: {
    name: 'junctura_ingress_duplicates',
    type: 'counter',
    help: 'Requests whose idempotency key was taken: repeats, or other bytes under a used key.',
    unit: '',
    /** `kind` is repeat or mismatch. */
    labels: ['webhook', 'kind'],
  },
  invalid: {
    name: 'junctura_ingress_invalid',
    type: 'counter',
    help: 'Verified requests kept as invalid.',
    unit: '',
    labels: ['webhook', 'reason'],
  },
  refused: {
    name: 'junctura_ingress_refused',
    type: 'counter',
    help: 'Requests answered with an error and not kept: size, route, rate, signature, overload.',
    unit: '',
    /** `detail` says which cause of a reason that has several: of a signature, of a body. */
    labels: ['webhook', 'reason', 'detail'],
  },
  contractMismatches: {
    name: 'junctura_contract_mismatches',
    type: 'counter',
    help: 'Verified requests with an unknown version or a payload that breaks its schema.',
    unit: '',
    /** `reason` is version or schema. */
    labels: ['webhook', 'reason'],
  },
  signatureSkew: {
    name: 'junctura_ingress_signature_skew_seconds',
    type: 'gauge',
    help: 'Our clock minus the signed timestamp of the latest verified request.',
    unit: 'seconds',
    labels: ['webhook'],
  },

  refusedSkew: {
    name: 'junctura_ingress_refused_skew_seconds',
    type: 'gauge',
    help: 'Our clock minus the signed timestamp of the latest genuine request refused for its age.',
    unit: 'seconds',
    labels: ['webhook'],
  },

  // The log.
  appended: {
    name: 'junctura_log_appended',
    type: 'counter',
    help: 'Envelopes appended to the log.',
    unit: '',
    labels: ['channel'],
  },
  correlated: {
    name: 'junctura_log_correlated',
    type: 'counter',
    help: 'Envelopes appended with a correlation id that their origin gave.',
    unit: '',
    labels: ['channel'],
  },
  commitBatchSize: {
    name: 'junctura_commit_units',
    type: 'histogram',
    help: 'Units of work in one group commit.',
    unit: '',
    labels: [],
  },
  commitDuration: {
    name: 'junctura_commit_duration_seconds',
    type: 'histogram',
    help: 'From closing a group commit to durable on disk.',
    unit: 'seconds',
    labels: [],
  },
  commitWaiting: {
    name: 'junctura_commit_waiting',
    type: 'gauge',
    help: 'Units of work that wait for a group commit.',
    unit: '',
    labels: [],
  },

  // Consumers.
  endToEndLatency: {
    name: 'junctura_consumer_latency_seconds',
    type: 'histogram',
    help: 'From receipt at the border to done, retries and waiting included.',
    unit: 'seconds',
    labels: ['consumer'],
  },
  handlerDuration: {
    name: 'junctura_handler_duration_seconds',
    type: 'histogram',
    help: 'One run of a handler, whatever came of it.',
    unit: 'seconds',
    labels: ['consumer'],
  },
  attempts: {
    name: 'junctura_consumer_attempts',
    type: 'counter',
    help: 'Attempts that ended.',
    unit: '',
    /** `outcome` is done, failed or timeout. One that took the process down is not counted. */
    labels: ['consumer', 'outcome'],
  },
  retriesScheduled: {
    name: 'junctura_consumer_retries_scheduled',
    type: 'counter',
    help: 'Failed attempts that will be tried again.',
    unit: '',
    labels: ['consumer'],
  },
  deadLetters: {
    name: 'junctura_dead_letters',
    type: 'counter',
    help: 'Messages that a consumer or a transform gave up on.',
    unit: '',
    /** `stage` is handler, or transform; then `consumer` is the name of the webhook. */
    labels: ['consumer', 'stage'],
  },
  deadLettersOpen: {
    name: 'junctura_dead_letters_open',
    type: 'gauge',
    help: 'Dead letters that nobody has dealt with yet.',
    unit: '',
    /** As of `deadLetters`. */
    labels: ['consumer', 'stage'],
  },
  lag: {
    name: 'junctura_consumer_lag',
    type: 'gauge',
    help: 'Envelopes appended and not finished.',
    unit: '',
    labels: ['consumer'],
  },
  oldestPendingAge: {
    name: 'junctura_consumer_oldest_pending_age_seconds',
    type: 'gauge',
    help: 'Age of the oldest envelope that is not finished; 0 when there is none.',
    unit: 'seconds',
    labels: ['consumer'],
  },
  partitionsHere: {
    name: 'junctura_consumer_partitions',
    type: 'gauge',
    help: 'Partitions of the consumer that this process runs.',
    unit: '',
    labels: ['consumer'],
  },
  parkedLanes: {
    name: 'junctura_consumer_parked_lanes',
    type: 'gauge',
    help: 'Keys that wait behind a dead letter, for a person, or for code that knows a newer version.',
    unit: '',
    labels: ['consumer'],
  },
  retryingLanes: {
    name: 'junctura_consumer_retrying_lanes',
    type: 'gauge',
    help: 'Keys that wait for a retry that is due later.',
    unit: '',
    labels: ['consumer'],
  },
  inFlight: {
    name: 'junctura_consumer_in_flight',
    type: 'gauge',
    help: 'Attempts running now.',
    unit: '',
    labels: ['consumer'],
  },
  droppedAtMostOnce: {
    name: 'junctura_consumer_dropped',
    type: 'counter',
    help: 'Messages of an at-most-once contract that were lost on purpose.',
    unit: '',
    labels: ['consumer'],
  },
  expired: {
    name: 'junctura_consumer_expired',
    type: 'counter',
    help: 'Messages that nobody handled in time: their ttl had passed, or retention removed them.',
    unit: '',
    /** `consumer` is all for what retention removed at its hard limit: it does not say whose. */
    labels: ['consumer'],
  },

  // The outboxes.
  outboxMoved: {
    name: 'junctura_outbox_moved',
    type: 'counter',
    help: 'Messages that a relay has moved from an outbox into the log.',
    unit: '',
    labels: ['outbox'],
  },
  outboxInvalid: {
    name: 'junctura_outbox_invalid',
    type: 'counter',
    help: 'Rows of an outbox that are no message; kept as invalid.',
    unit: '',
    labels: ['outbox'],
  },
  outboxLag: {
    name: 'junctura_outbox_lag_seconds',
    type: 'histogram',
    help: 'From written in the outbox to durable in the log, of the oldest row of each move.',
    unit: 'seconds',
    labels: ['outbox'],
  },
  outboxGaps: {
    name: 'junctura_outbox_gaps',
    type: 'gauge',
    help: 'Ranges of numbers whose transactions have not ended yet.',
    unit: '',
    labels: ['outbox'],
  },
  outboxUp: {
    name: 'junctura_outbox_up',
    type: 'gauge',
    help: 'Whether the database of the outbox can be read: 1 or 0.',
    unit: '',
    labels: ['outbox'],
  },

  // The topics of others.
  topicMoved: {
    name: 'junctura_topic_moved',
    type: 'counter',
    help: 'Messages that a relay has moved from a topic of others into the log.',
    unit: '',
    labels: ['topic'],
  },
  topicInvalid: {
    name: 'junctura_topic_invalid',
    type: 'counter',
    help: 'Messages of a topic that fit no contract; kept as invalid.',
    unit: '',
    labels: ['topic'],
  },
  topicRepeats: {
    name: 'junctura_topic_repeats',
    type: 'counter',
    help: 'Messages of a topic that were known already, by their fact or, in a queue, by their id.',
    unit: '',
    labels: ['topic'],
  },
  topicLost: {
    name: 'junctura_topic_lost',
    type: 'counter',
    help: 'Offsets of a topic that were gone before they were moved, as far as they can be counted.',
    unit: '',
    labels: ['topic'],
  },
  topicLag: {
    name: 'junctura_topic_lag',
    type: 'gauge',
    help: 'Offsets of a topic, or messages of a queue, that are not moved yet.',
    unit: '',
    labels: ['topic'],
  },
  topicUp: {
    name: 'junctura_topic_up',
    type: 'gauge',
    help: 'Whether the topic is read: 1 or 0; 0 as well where another process moves it.',
    unit: '',
    labels: ['topic'],
  },

  // The broker between the log and the consumers, and those of bridges.
  transportPublished: {
    name: 'junctura_transport_published',
    type: 'counter',
    help: 'Messages that the broker confirmed; a relay that was started again repeats some.',
    unit: '',
    labels: ['broker', 'channel'],
  },
  recordLost: {
    name: 'junctura_record_lost',
    type: 'counter',
    help: 'Messages that a broker, being their record, lost before they were read; 1 for a topic made again.',
    unit: '',
    labels: ['broker', 'channel'],
  },
  recordForeign: {
    name: 'junctura_record_foreign',
    type: 'counter',
    help: 'Messages in a channel whose record is the broker that no contract can have made; left out.',
    unit: '',
    labels: ['broker', 'channel'],
  },
  transportRecovered: {
    name: 'junctura_transport_recovered',
    type: 'counter',
    help: 'Records that came from the store because the broker did not bring them in time.',
    unit: '',
    labels: ['broker', 'channel'],
  },
  transportUnpublished: {
    name: 'junctura_transport_unpublished',
    type: 'gauge',
    help: 'Positions of the log that the slowest relay of this process has still before it.',
    unit: '',
    labels: ['broker'],
  },
  transportConnected: {
    name: 'junctura_transport_connected',
    type: 'gauge',
    help: 'Whether the broker is reached by this process, which uses it: 1 or 0.',
    unit: '',
    labels: ['broker'],
  },
  transportChannelsHere: {
    name: 'junctura_transport_channels',
    type: 'gauge',
    help: 'Channels that this process publishes to the broker.',
    unit: '',
    labels: ['broker'],
  },

  // What has to follow what.
  expectationsOpen: {
    name: 'junctura_expectations_open',
    type: 'gauge',
    help: 'Keys that wait for an expected message.',
    unit: '',
    labels: ['expectation'],
  },
  expectationsMissed: {
    name: 'junctura_expectations_missed',
    type: 'gauge',
    help: 'Keys whose expected message did not come in time, and has not come since.',
    unit: '',
    labels: ['expectation'],
  },
  expectationOutcomes: {
    name: 'junctura_expectation_outcomes',
    type: 'counter',
    help: 'What became of keys.',
    unit: '',
    /** `outcome` is opened, met, late, undone, missed, unexpected or unreadable. */
    labels: ['expectation', 'outcome'],
  },

  schedulesFired: {
    name: 'junctura_schedules_fired',
    type: 'counter',
    help: 'Messages that schedules emitted.',
    unit: '',
    labels: ['schedule'],
  },

  // Operating.
  alertsOpen: {
    name: 'junctura_alerts_open',
    type: 'gauge',
    help: 'Alerts that are not resolved.',
    unit: '',
    /** `severity` is critical or warning; `state` is open or acknowledged. */
    labels: ['severity', 'state'],
  },
  alertNotifications: {
    name: 'junctura_alert_notifications',
    type: 'counter',
    help: 'Notifications handed to a route.',
    unit: '',
    /** `outcome` is sent or failed. */
    labels: ['kind', 'outcome'],
  },
  replayPlanned: {
    name: 'junctura_replay_planned',
    type: 'gauge',
    help: 'Messages in a replay that runs now.',
    unit: '',
    labels: ['replay'],
  },
  replayDone: {
    name: 'junctura_replay_done',
    type: 'gauge',
    help: 'Messages that a running replay has handed over or skipped so far.',
    unit: '',
    labels: ['replay'],
  },
  eventLoopLag: {
    name: 'junctura_event_loop_lag_seconds',
    type: 'gauge',
    help: 'How late the event loop ran since this was last read.',
    unit: 'seconds',
    /** p50, p99 or max. */
    labels: ['percentile'],
  },
  residentMemory: {
    name: 'junctura_resident_memory_bytes',
    type: 'gauge',
    help: 'Memory that the operating system holds for the process.',
    unit: 'bytes',
    labels: [],
  },
  build: {
    name: 'junctura_build',
    type: 'gauge',
    help: 'Always 1; the labels say which version runs which Model.',
    unit: '',
    labels: ['version', 'model'],
  },
} as const

/**
 * Every public metric. Names, types, labels and units are API: they change only with a major
 * version and an entry in the changelog. Label values are names from the declarations and the
 * fixed words given here, never anything out of a message (F57).
 */
export const METRICS: typeof MOST_METRICS & typeof SAGA_METRICS = {
  ...MOST_METRICS,
  ...SAGA_METRICS,
}

/** The same list, in order, for the reference page and for checks. */
export const metricDefinitions = (): readonly MetricDefinition[] => Object.values(METRICS)
