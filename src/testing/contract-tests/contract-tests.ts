import {
  checkIntegration,
  type Consumer,
  formatFinding,
  type Integration,
  takenPush,
  type Webhook,
} from '../../contract/index.ts'
import { JuncturaError } from '../../kernel/index.ts'
import { CONSUMER_CASES, type ConsumerCase } from './consumer-cases.ts'
import { type ConsumerSubject, createConsumerSubject } from './consumer-subject.ts'
import { type ContractCase, type ContractCaseReport, notTried } from './contract-case.ts'
import type { BenchSeams } from './test-bench.ts'
import { WEBHOOK_CASES } from './webhook-cases.ts'
import { createWebhookSubject } from './webhook-subject.ts'

/** The handler of a consumer, or of a batch consumer with its items as `data`. */
interface StandIn {
  // A method, so that a handler of any payload fits.
  handle(data: unknown, ctx: Parameters<Consumer['handle']>[1]): Promise<void>
}

export interface ContractTestOptions {
  /** Names of webhooks and consumers. @default all of them */
  readonly only?: readonly string[]
  /** The same seed gives the same examples and the same delays. @default 1 */
  readonly seed?: number
  /**
   * Good data where an example of the schema is none: by name of a webhook, a consumer or a
   * contract; `name@2` for one version.
   */
  readonly examples?: Readonly<Record<string, unknown>>
  /** Stand-ins for handlers that need the outside, by name of the consumer. */
  readonly handlers?: Readonly<Record<string, StandIn['handle']>>
}

/**
 * The promises of a declaration as tests: for each webhook and consumer everything that its
 * partners, its handlers and its machine will do to it one day. Nothing has to be written for them:
 * requests are made and signed from the schemas, on virtual time, over the store in memory. The
 * user's own transforms and handlers run.
 *
 * @returns the cases, webhooks first, in the order of the declaration; none has run yet.
 * @throws JUNCTURA_REFUSED_START when the integration would not start.
 * @throws JUNCTURA_USAGE when an option names a part that is not declared.
 * @example for (const one of contractTests(orders)) it(one.title, one.run)
 */
export const contractTests = (
  integration: Integration,
  options: ContractTestOptions = {},
): readonly ContractCase[] => deriveCases(integration, options, {})

/** The same, with what only a test of the cases may put in between. */
export const deriveCases = (
  integration: Integration,
  options: ContractTestOptions,
  seams: BenchSeams,
): readonly ContractCase[] => {
  refuseFindings(integration)
  refuseUnknown(integration, options)
  const { only, seed = 1 } = options
  const isWanted = ({ name }: { readonly name: string }): boolean => only?.includes(name) ?? true
  return [
    ...integration.webhooks.filter(isWanted).flatMap((webhook) => {
      const given = (version: number): unknown => exampleOf(options, webhook, version)
      const parts = { integration, webhook, seed, given, seams }
      const good = createWebhookSubject({ ...parts, stream: 'good' }).goodBody
      return WEBHOOK_CASES.map(({ case: name, label, run }): ContractCase => ({
        part: 'webhook',
        name: webhook.name,
        case: name,
        title: `webhook ${webhook.name}: ${label}`,
        run: () => run(createWebhookSubject({ ...parts, stream: name, good })),
      }))
    }),
    ...integration.consumers.filter(isWanted).flatMap((declared) => {
      const consumer = withStandIn(declared, options)
      const { on } = consumer
      const given = exampleNamed(options, [consumer.name, `${on.name}@${on.latest}`, on.name])
      const parts = { integration, consumer, seed, given, seams }
      const { good } = createConsumerSubject({ ...parts, stream: 'good' })
      return CONSUMER_CASES.map((one): ContractCase => ({
        part: 'consumer',
        name: consumer.name,
        case: one.case,
        title: `consumer ${consumer.name}: ${one.label}`,
        run: () =>
          runConsumerCase(createConsumerSubject({ ...parts, stream: one.case, good }), one),
      }))
    }),
  ]
}

async function runConsumerCase(
  subject: ConsumerSubject,
  { needsHandler, run }: ConsumerCase,
): Promise<ContractCaseReport> {
  if (!needsHandler) return run(subject, undefined)
  const good = await subject.good()
  if (!good.ok) return notTried('Not tried: its handler takes no example. See "takes a message".')
  return run(subject, good.data)
}

const exampleNamed = (
  { examples = {} }: ContractTestOptions,
  names: readonly string[],
): unknown => {
  const name = names.find((one) => Object.hasOwn(examples, one))
  return name === undefined ? undefined : examples[name]
}

/** An example without a version is one of the latest. */
const exampleOf = (options: ContractTestOptions, webhook: Webhook, version: number): unknown => {
  const { name, accepts } = webhook
  const plain = version === accepts.latest ? [name, accepts.name] : []
  return exampleNamed(options, [`${name}@${version}`, `${accepts.name}@${version}`, ...plain])
}

function withStandIn(consumer: Consumer, { handlers = {} }: ContractTestOptions): Consumer {
  const handle = Object.hasOwn(handlers, consumer.name) ? handlers[consumer.name] : undefined
  if (!handle) return consumer
  if (!consumer.handleBatch) return { ...takenPush(consumer), handle }
  return { ...consumer, handleBatch: (items, ctx) => handle(items, batchContext(ctx)) }
}

type BatchContext = Parameters<NonNullable<Consumer['handleBatch']>>[1]

/** A batch has no message of its own; who asks for one is told. */
const batchContext = (context: BatchContext): Parameters<Consumer['handle']>[1] => ({
  ...context,
  get message(): never {
    throw usage('A batch has no ctx.message.', 'Take it from the items.')
  },
  once: () => Promise.reject(usage('A batch has no ctx.once.', 'Use ctx.tx.')),
})

function refuseFindings(integration: Integration): void {
  const list = checkIntegration(integration)
  if (list.length === 0) return
  throw new JuncturaError('JUNCTURA_REFUSED_START', {
    details: { count: list.length, findings: list.map(formatFinding).join('\n'), list },
  })
}

function refuseUnknown(integration: Integration, options: ContractTestOptions): void {
  const consumers = integration.consumers.map(({ name }) => name)
  const parts = [...integration.webhooks.map(({ name }) => name), ...consumers]
  const check = (what: string, given: readonly string[], known: readonly string[]): void => {
    const unknown = given.find((name) => !known.includes(name))
    if (unknown === undefined) return
    throw usage(
      `${what}: there is no ${JSON.stringify(unknown)}.`,
      known.length === 0 ? 'It has none.' : `It has: ${known.join(', ')}`,
    )
  }
  check('only', options.only ?? [], parts)
  check('handlers', Object.keys(options.handlers ?? {}), consumers)
  const names = Object.keys(options.examples ?? {}).map((name) => name.replace(/@\d+$/, ''))
  check('examples', names, [...parts, ...integration.contracts.keys()])
}

const usage = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem, fix } })
