// The public door: what a team declares, what runs it, and what it is told.

// Declaring an integration.
export {
  body,
  call,
  command,
  commandHandler,
  consumer,
  correlate,
  Declined,
  event,
  eventsEndpoint,
  expectation,
  flow,
  header,
  integration,
  isIntegration,
  jsonSchema,
  outboxSource,
  route,
  schedule,
  saga,
  secret,
  sql,
  system,
  team,
  topicSource,
  webhook,
} from './contract/index.ts'
export type {
  AlertRoute,
  AnswerOf,
  AnyCommand,
  AnyContract,
  AnySaga,
  BatchConsumerOptions,
  BatchItem,
  Call,
  CallOptions,
  ChildResult,
  Command,
  CommandAnswers,
  CommandContext,
  CommandHandlerOptions,
  CommandInput,
  CommandOptions,
  CommandResult,
  Compatibility,
  Compensated,
  ConsumedMessage,
  Consumer,
  ConsumerContext,
  ConsumerIdempotency,
  ConsumerOptions,
  ConsumerPolicy,
  Contract,
  ContractOptions,
  Correlated,
  Database,
  DeclinedOf,
  Draft,
  EffectContext,
  EffectMode,
  Emitted,
  EmittedMessage,
  Envelope,
  EventsEndpoint,
  EventsEndpointOptions,
  ErrorClass,
  Expectation,
  ExpectationOptions,
  Expected,
  Flow,
  FlowOptions,
  ErrorsOf,
  FirstOf,
  Gathered,
  GatheredOf,
  Guarantee,
  InferSchema,
  InputOf,
  Integration,
  IntegrationOptions,
  JsonSchema,
  KeySource,
  Mismatch,
  OutboxDatabase,
  OutboxSource,
  OutboxSourceOptions,
  OutputOf,
  Part,
  PayloadOf,
  PayloadsOf,
  Push,
  PushConsumerOptions,
  PushOptions,
  ReplayRule,
  ExpiredGroup,
  Route,
  RouteExpiry,
  RoutePattern,
  Schedule,
  ScheduledTime,
  ScheduleOptions,
  RunSaga,
  Saga,
  SagaCallOptions,
  SagaContext,
  SagaEvent,
  SagaInputOf,
  SagaOptions,
  SagaOutputOf,
  SagaRunOptions,
  SagaStep,
  SchemaInput,
  SourceLocation,
  SqlMigration,
  SqlOptions,
  SqlValue,
  StandardJsonSchema,
  StepOutcome,
  System,
  SystemOptions,
  Team,
  TeamOptions,
  TopicEngine,
  TopicFormat,
  TopicJsonFormat,
  TopicPlace,
  TopicSource,
  TopicSourceOptions,
  Verified,
  VersionedCommandOptions,
  TransformContext,
  Transforms,
  TypedJsonSchema,
  Webhook,
  WebhookIdempotency,
  WebhookOptions,
} from './contract/index.ts'

// How a partner proves itself, and where secrets are found.
export {
  bearer,
  github,
  hmac,
  signatureScheme,
  standardWebhooks,
  stripe,
  unsigned,
} from './contract/index.ts'
export type {
  BearerScheme,
  EnvSecretOptions,
  EnvSecretReference,
  ExpectedAnswer,
  FileSecretReference,
  HmacOptions,
  SchemeDefinition,
  SchemeOptions,
  SecretInput,
  SecretReference,
  SignatureScheme,
  SignedScheme,
  UnsignedScheme,
} from './contract/index.ts'

// Publishing from the user's own database, and processing once there.
export { inbox, outbox, outboxSql } from './outbox/index.ts'
export type {
  DrizzleHandle,
  InboxHandle,
  InboxHandleOptions,
  KyselyHandle,
  NewestPayload,
  Outbox,
  OutboxEmitOptions,
  OutboxOptions,
  OutboxSqlOptions,
  PgHandle,
  PostgresJsHandle,
  PrismaHandle,
  Processed,
  ProcessOptions,
  SqliteHandle,
  TransactionHandle,
} from './outbox/index.ts'

// Passing messages on: patterns as consumers.
export {
  aggregate,
  claimCheck,
  contentRoute,
  enrich,
  BehindSequence,
  NoRoute,
  recipientList,
  redeemClaim,
  resequence,
  split,
  wireTap,
} from './flow/index.ts'
export type {
  AggregateOptions,
  ClaimCheckOptions,
  ContentRouteOptions,
  Emits,
  EnrichOptions,
  Group,
  RecipientListOptions,
  ResequenceOptions,
  RouteOptions,
  RoutePolicy,
  SplitOptions,
  WireTapOptions,
} from './flow/index.ts'

// Policies: times and retries.
export type { Duration } from './kernel/index.ts'
export { retryPresets } from './policy/index.ts'
export type {
  OutagePolicy,
  RateLimit,
  ResolvedOutagePolicy,
  ResolvedRetryPolicy,
  RetryPolicy,
} from './policy/index.ts'

// The Model, and what keeps an integration from starting.
export { checkIntegration, formatFinding, MODEL_VERSION } from './contract/index.ts'
export type { Json, Model, StartFinding } from './contract/index.ts'

// Running it inside a process of your own; `junctura start` does the same.
export { createRuntime } from './runtime/index.ts'
export { serveRuntime } from './manage/index.ts'
export type { ServedRuntime, ServeRuntimeOptions } from './manage/index.ts'
export { createSystemKernel } from './kernel/index.ts'
export type {
  Clock,
  Kernel,
  LogFields,
  Logger,
  SystemKernelOptions,
  Timer,
} from './kernel/index.ts'
export { createJsonLogger, createPrettyLogger } from './observe/index.ts'
export type { LoggerOptions, LogLevel, PrettyLoggerOptions } from './observe/index.ts'
export type { HttpCall, HttpDial, HttpReply } from './egress/index.ts'
export { bodyOfBytes } from './ingress/index.ts'
export type { BodySource, Ingress, IngressRequest, IngressResponse } from './ingress/index.ts'
export type {
  ArchivePartition,
  BridgeChoice,
  BrokerChoice,
  OperationCommand,
  OperationResult,
  Operator,
  ReplayFilter,
  ReplayPlan,
  Runtime,
  RuntimeEvent,
  RuntimeOptions,
  Role,
  StoreChoice,
  TransportChoice,
} from './runtime/index.ts'
export type {
  AlertView,
  ConsumerStatus,
  DeadLetterGroup,
  DeadLetterQuery,
  DeadLetterView,
  DrainOptions,
  ExpectationKeyQuery,
  ExpectationKeyView,
  ExpectationView,
  FlowView,
  InvalidGroup,
  InvalidQuery,
  InvalidView,
  MessageConsumerView,
  MessagePage,
  MessageQuery,
  MessageStatus,
  MessageSummary,
  MessageView,
  OperationView,
  OutboxView,
  Overview,
  Page,
  PageQuery,
  ReplayView,
  ScheduleView,
  TopicView,
  WebhookStatus,
} from './runtime/index.ts'
export type { DeadLetterRow, ExpectationTotals } from './store/index.ts'

// What goes wrong, and what this package is.
export { isJuncturaError, JuncturaError } from './kernel/index.ts'
export type { ErrorCode, ErrorDetails } from './kernel/index.ts'
export { VERSION } from './runtime/index.ts'

// A transport of one's own: `testBroker` of `junctura/testing` holds it to the port.
export type {
  Attributes,
  Broker,
  BrokerChannel,
  BrokerChannelState,
  BrokerMessage,
  BrokerProblem,
  BrokerState,
  FollowListener,
  ReadOptions,
  Reading,
  ReceivedMessage,
} from './transport/index.ts'
export type { BrokerFeatures } from './contract/index.ts'
export type { OpenBroker } from './runtime/index.ts'

// A store of one's own: `testStore` of `junctura/testing` holds it to the port.
export { COLLECTIONS, indexesOf } from './store/index.ts'
export type {
  Append,
  BackwardsQuery,
  Claim,
  ClaimedKey,
  CollectionName,
  Guard,
  KeyedRow,
  LogPage,
  LogPartition,
  LogQuery,
  Row,
  RowWrite,
  ScanQuery,
  Store,
  StoredRecord,
  Unit,
  UnitOutcome,
} from './store/index.ts'
export type { Features } from './contract/index.ts'
