import { formatDuration } from '../kernel/index.ts'
import { retryHorizonMs } from '../policy/index.ts'
import type { Consumer } from './consumer.ts'
import type { AnyContract } from './contract.ts'
import type { Integration } from './integration.ts'
import { contractsOf } from './expectation.ts'
import { type Flow, unwatchedSteps } from './flow.ts'
import { unknownPersonalPaths } from './personal-paths.ts'
import { formatLocation, type SourceLocation } from './source-location.ts'
import type { Webhook } from './webhook.ts'

/** One reason not to start: where, what, the arithmetic, and what to write. */
export interface StartFinding {
  readonly rule: string
  readonly part: string
  readonly at: SourceLocation
  readonly problem: string
  readonly fix: string
}

/** Everything that keeps an integration from starting; empty when it may run. */
export const checkIntegration = (integration: Integration): readonly StartFinding[] => [
  ...[...integration.contracts.values()].flatMap(checkContract),
  ...checkRecords([...integration.contracts.values()]),
  ...integration.webhooks.flatMap(checkWebhook),
  ...integration.consumers.flatMap(checkConsumer),
  ...integration.consumers.flatMap(checkBeginning),
  ...integration.flows.flatMap(checkFlow),
  ...checkInStore(integration),
]

export const formatFinding = (finding: StartFinding): string =>
  `  ${formatLocation(finding.at)}  ${finding.part}: ${finding.problem}\n      fix: ${finding.fix}  [${finding.rule}]`

function checkContract(contract: AnyContract): StartFinding[] {
  const found = findings(`${contract.kind} "${contract.name}"`, contract.at)
  if (!contract.owner) {
    found.add('contract-owner', 'it has no owner', "write owner: team('…')")
  }
  if (contract.fact && contract.guarantee === 'at-most-once') {
    found.add(
      'fact-needs-log',
      'it is at-most-once, so it is in no log, and a repeated fact could not be recognised',
      "take idempotency out, or write guarantee: 'at-least-once'",
    )
  }
  if (contract.record === 'transport' && contract.guarantee === 'at-most-once') {
    found.add(
      'record-needs-log',
      "it is at-most-once, so it is in no log, and record: 'transport' asks for one in the broker",
      "take record out, or write guarantee: 'at-least-once'",
    )
  }
  if (contract.fact && contract.fact.retentionMs > contract.retentionMs) {
    found.add(
      'log-outlives-dedupe',
      `its log keeps messages for ${formatDuration(contract.retentionMs)}, but its keys are remembered for ` +
        `${formatDuration(contract.fact.retentionMs)}; a repeat could not be compared`,
      `write retention: '${formatDuration(contract.fact.retentionMs)}' or more`,
    )
  }
  for (const { path, close } of unknownPersonalPaths(contract)) {
    const versions = [...contract.versions.keys()].join(', ')
    found.add(
      'pii-path',
      `pii names ${JSON.stringify(path)}, which no version (${versions}) of its schema has, so nothing would be masked`,
      close.length > 0
        ? `write ${close.map((one) => `'${one}'`).join(' or ')}`
        : 'write a path that the schema has, such as customer.email or items.*.name, or add the ' +
            'member to the schema',
    )
  }
  return found.list
}

/** Order per key holds over all contracts of a channel, so one log has all of them. */
function checkRecords(contracts: readonly AnyContract[]): StartFinding[] {
  const recorded = contracts.filter(({ record }) => record === 'transport')
  return recorded.flatMap((contract) => {
    const other = contracts.find(
      ({ channel, record }) => channel === contract.channel && record !== 'transport',
    )
    if (!other) return []
    const found = findings(`${contract.kind} "${contract.name}"`, contract.at)
    found.add(
      'record-per-channel',
      `it says record: 'transport', and ${other.name} of the same channel ${contract.channel} does not: ` +
        'the order of a key would be in two logs',
      `write record: 'transport' on ${other.name} as well, or give one of them another channel`,
    )
    return found.list
  })
}

function checkWebhook(hook: Webhook): StartFinding[] {
  const found = findings(`webhook "${hook.name}"`, hook.at)
  const neededMs = hook.retriesForMs + hook.replayWindowMs
  const { retentionMs } = hook.idempotency
  if (retentionMs < neededMs) {
    found.add(
      'dedupe-outlives-retries',
      `keys are remembered for ${formatDuration(retentionMs)}, but a repeat may come after retriesFor ` +
        `${formatDuration(hook.retriesForMs)} + replayWindow ${formatDuration(hook.replayWindowMs)} = ` +
        formatDuration(neededMs),
      `write idempotency: { retention: '${formatDuration(neededMs)}' } or more`,
    )
  }
  if (hook.accepts.retentionMs < retentionMs) {
    found.add(
      'log-outlives-dedupe',
      `the log of ${hook.accepts.name} keeps messages for ${formatDuration(hook.accepts.retentionMs)}, but keys ` +
        `are remembered for ${formatDuration(retentionMs)}; a repeat could not be compared`,
      `write retention: '${formatDuration(retentionMs)}' or more on ${hook.accepts.name}`,
    )
  }
  if (hook.accepts.versions.size > 1 && !hook.version) {
    found.add(
      'version-source',
      `${hook.accepts.name} has versions ${[...hook.accepts.versions.keys()].join(', ')}, and nothing says which one a body is in`,
      "write version: body('version') or version: header('…')",
    )
  }
  const signedKeys = keysThatAreSigned(hook)
  if (signedKeys) {
    found.add(
      'key-is-signed',
      `${hook.verify.name} does not sign the body as it is, so one genuine request could come again with another ` +
        'body under a key that is not signed',
      `write idempotency: { key: ${signedKeys} }`,
    )
  }
  if (!hook.transforms.has('any')) {
    for (const version of hook.accepts.versions.keys()) {
      if (hook.transforms.has(version)) continue
      found.add(
        'transform-per-version',
        `no transform takes version ${version} of ${hook.accepts.name}`,
        `write emit: { ${version}: (data) => … }`,
      )
    }
  } else found.list.push(...missingLifts(hook.accepts, found.part, hook.at))
  return found.list
}

/** What the key may be made of; undefined where it is, or where the whole body is signed. */
function keysThatAreSigned({ verify, idempotency: { key } }: Webhook): string | undefined {
  if (verify.kind !== 'signed' || verify.covers !== 'fields') return undefined
  const paths = verify.signed.flatMap((part) =>
    part.part === 'field' ? [part.path] : part.part === 'lines' ? part.names : [],
  )
  const header = verify.messageId === 'signed' ? verify.headers[0]?.id : undefined
  if (key?.from === 'header' && key.name === header) return undefined
  if (key?.from === 'body' && key.paths.every((path) => paths.includes(path))) return undefined
  if (header !== undefined) return `header('${header}')`
  const id = verify.inBody?.id ?? paths[0] ?? ''
  return `body('${id}')${paths.length > 1 ? ', or other paths that are signed' : ''}`
}

/** Positions of the store mean nothing in another record. */
function checkBeginning({ name, at, on, from }: Consumer): StartFinding[] {
  const found = findings(`consumer "${name}"`, at)
  if (on.record === 'transport' && typeof from === 'object') {
    found.add(
      'record-from',
      `it begins at a position of the store, and the record of ${on.name} is the transport`,
      "write from: 'earliest' or from: 'now'",
    )
  }
  return found.list
}

function checkConsumer(consumer: Consumer): StartFinding[] {
  const found = findings(`consumer "${consumer.name}"`, consumer.at)
  if (!consumer.owner) found.add('consumer-owner', 'it has no owner', "write owner: team('…')")
  if (!consumer.retry) {
    found.add(
      'consumer-retry',
      'it has no retry policy',
      "write retry: { attempts: 6, first: '1s', factor: 2, max: '1m' }",
    )
  }
  if (!consumer.deadLetter?.alert) {
    found.add(
      'dead-letter-alert',
      'nobody is told about its dead letters',
      'write deadLetter: { alert: someTeam.oncall }',
    )
  }
  if (!consumer.deadLetter?.owner && !consumer.owner) {
    found.add(
      'dead-letter-owner',
      'its dead letters have no owner',
      'write deadLetter: { owner: someTeam, … }',
    )
  }
  if (!consumer.afterDeadLetter) {
    found.add(
      'after-dead-letter',
      'it does not say what a key does after a dead letter',
      "write afterDeadLetter: 'park' (successors wait) or 'skip' (they go on)",
    )
  }
  if (!consumer.replay) {
    found.add(
      'replay-rule',
      'it does not say whether its messages may be replayed',
      "write replay: 'safe', 'guarded' or 'never'",
    )
  }
  if (!consumer.idempotency) {
    found.add(
      'idempotency-mode',
      'it does not say what keeps one message from having two effects',
      "write idempotency: 'transaction', 'once' or 'natural'",
    )
  }
  if (consumer.batch && consumer.ordering === 'none') {
    found.add(
      'batch-order',
      'a batch consumer keeps order per key',
      "leave ordering out, or write 'key'",
    )
  }
  found.list.push(...missingLifts(consumer.on, found.part, consumer.at))
  const { ttlMs, name } = consumer.on
  const isLimited = ttlMs !== undefined && consumer.retry !== undefined
  const neededMs = isLimited ? retryHorizonMs(consumer.retry) : 0
  if (isLimited && ttlMs <= neededMs) {
    // Its last attempts could never run, and what fails would expire without dead letter or alert.
    found.add(
      'ttl-outlives-retries',
      `${name} is worth nothing after its ttl of ${formatDuration(ttlMs)}, but the delays of the retries add up to ` +
        `${formatDuration(neededMs)}; what fails would expire before it is a dead letter, and nobody would be told`,
      `write a ttl longer than ${formatDuration(neededMs)} on ${name}, or fewer or shorter retries here`,
    )
  }
  return found.list
}

/** What a part reads or emits in one commit with the store has to be recorded there. */
function checkInStore(integration: Integration): StartFinding[] {
  const { expectations, schedules, consumers } = integration
  const parts = [
    ...expectations.map((one) => ({ what: 'expectation', one, contracts: contractsOf(one) })),
    ...schedules.map((one) => ({ what: 'schedule', one, contracts: [one.emits] })),
    ...consumers.flatMap((one) =>
      one.route?.expire ? [{ what: 'consumer', one, contracts: one.route.emits }] : [],
    ),
  ]
  return parts.flatMap(({ what, one, contracts }) => {
    const found = findings(`${what} "${one.name}"`, one.at)
    for (const { name, record } of contracts) {
      if (record !== 'transport') continue
      found.add(
        'flow-needs-store',
        `the record of ${name} is the broker, and this needs it in the store`,
        `leave record: 'transport' out on ${name}`,
      )
    }
    return found.list
  })
}

function checkFlow(flow: Flow): StartFinding[] {
  const found = findings(`flow "${flow.name}"`, flow.at)
  for (const [from, to] of unwatchedSteps(flow)) {
    found.add(
      'flow-step-watched',
      `nobody would be told when ${to.name} does not follow ${from.name}`,
      `add an expectation with after: ${from.name} and expect: ${to.name} to its expectations`,
    )
  }
  return found.list
}

/** A version below the one asked for must be liftable to it, step by step. */
function missingLifts(contract: AnyContract, part: string, at: SourceLocation): StartFinding[] {
  const older = [...contract.versions.keys()].filter((version) => version < contract.asked)
  return older
    .filter((version) => !contract.upcast.has(version))
    .map((version) => ({
      rule: 'upcast-missing',
      part,
      at,
      problem: `it asks for version ${contract.asked} of ${contract.name}, and version ${version} cannot be lifted`,
      fix: `write upcast: { ${version}: (data) => … } on ${contract.name}`,
    }))
}

interface Findings {
  readonly part: string
  readonly list: StartFinding[]
  add(rule: string, problem: string, fix: string): void
}

function findings(part: string, at: SourceLocation): Findings {
  const list: StartFinding[] = []
  return { part, list, add: (rule, problem, fix) => list.push({ rule, part, at, problem, fix }) }
}
