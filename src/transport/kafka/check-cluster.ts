import type { BrokerChannel, BrokerProblem } from '../broker.ts'
import { describeTopics, replicationOf, type TopicPlan, topicOf } from './channel-topics.ts'
import type { Cluster, TopicView } from './cluster.ts'
import { fixOf, problemOf } from './kafka-error.ts'
import type { KafkaPackage } from './kafka-package.ts'

/** Looks at the live cluster and says what does not fit. Changes nothing. */
export const checkCluster = async (
  cluster: Cluster,
  plan: TopicPlan,
  channels: readonly BrokerChannel[],
): Promise<readonly BrokerProblem[]> => {
  const problems: BrokerProblem[] = [...(await checkVersion(cluster)), ...checkSize(cluster, plan)]
  const names = channels.map(({ channel }) => topicOf(plan.prefix, channel))
  const views = await cluster.topics(names, { asksRights: true })
  const there = names.filter((name) => views.has(name) && !views.get(name)?.problem)
  if (there.length < names.length) problems.push(...(await checkMayCreate(cluster)))
  const settings = await describeTopics(cluster, there).catch((error: unknown) => {
    problems.push(
      warning(
        'the settings of the topics',
        problemOf(error),
        'allow DescribeConfigs on the topics',
      ),
    )
    return new Map<string, ReadonlyMap<string, string>>()
  })
  for (const [at, { retentionMs }] of channels.entries()) {
    const topic = names[at] ?? ''
    const view = views.get(topic)
    if (view) problems.push(...checkTopic(topic, view, { plan, brokers: cluster.brokerCount }))
    else problems.push(warning(`topic ${topic}`, 'it is not there yet', 'a start creates it'))
    const found = settings.get(topic)
    if (found && view) problems.push(...checkSettings(topic, found, { plan, retentionMs, view }))
  }
  return problems
}

const error = (resource: string, problem: string, fix: string): BrokerProblem => ({
  severity: 'error',
  resource,
  problem,
  fix,
})

const warning = (resource: string, problem: string, fix: string): BrokerProblem => ({
  ...error(resource, problem, fix),
  severity: 'warning',
})

/** Requests of the driver, by key, each with the version that it sends. */
async function checkVersion(cluster: Cluster): Promise<readonly BrokerProblem[]> {
  const { kafka, requestTimeoutMs } = cluster.options
  const wire = await cluster.ready()
  const { apiKeys } = await wire.request<Versions>(requestTimeoutMs, (connection, done) =>
    kafka.apiVersionsV3.api(connection, 'junctura', '1', done),
  )
  const sent = [
    kafka.produceV9,
    kafka.fetchV13,
    kafka.listOffsetsV7,
    kafka.metadataV12,
    kafka.createTopicsV7,
    kafka.initProducerIdV4,
    kafka.describeConfigsV4,
    kafka.incrementalAlterConfigsV1,
  ].map(({ api }) => ({ key: api.key, version: api.version }))
  const unknown = sent.filter(({ key, version }) => {
    const known = apiKeys.find(({ apiKey }) => apiKey === key)
    return !known || version < known.minVersion || version > known.maxVersion
  })
  if (unknown.length === 0) return []
  const names = unknown.map(({ key, version }) => `${key} in version ${version}`).join(', ')
  const problem = `the broker does not know the requests ${names}`
  return [error('the version', problem, 'use Kafka 3.5 or later')]
}

type Versions = ReturnType<KafkaPackage['apiVersionsV3']['parseResponse']>

function checkSize(cluster: Cluster, plan: TopicPlan): readonly BrokerProblem[] {
  const brokers = cluster.brokerCount
  const copies = replicationOf(plan, brokers)
  if (copies > brokers) {
    const problem = `replicationFactor is ${copies} and there are ${brokers} brokers`
    return [error('the cluster', problem, `add brokers, or set replicationFactor to ${brokers}`)]
  }
  if (copies >= 3) return []
  const problem =
    `there are ${brokers} brokers and ${copies} copies of a message; ` +
    'a confirmed message is lost with the machine, or its power'
  return [warning('the cluster', problem, 'run three brokers or more')]
}

/** Bits of the operations that Kafka knows. */
const RIGHTS: readonly (readonly [bit: number, name: string, why: string])[] = [
  [3, 'Read', 'nothing can be read'],
  [4, 'Write', 'nothing can be published'],
  [10, 'DescribeConfigs', 'its settings cannot be looked at'],
  [11, 'AlterConfigs', 'its retention cannot be lengthened'],
]
const CREATE = 5
const NOT_ASKED = -2_147_483_648

function checkTopic(
  topic: string,
  view: TopicView,
  { plan, brokers }: { readonly plan: TopicPlan; readonly brokers: number },
): readonly BrokerProblem[] {
  const resource = `topic ${topic}`
  if (view.problem) {
    return [error(resource, view.problem.message, fixOf(view.problem))]
  }
  const problems: BrokerProblem[] = []
  if (view.allowed !== NOT_ASKED) {
    for (const [bit, name, why] of RIGHTS) {
      if ((view.allowed & (1 << bit)) !== 0) continue
      const say = bit <= 4 ? error : warning
      problems.push(say(resource, `${name} is not allowed: ${why}`, `allow ${name} on the topic`))
    }
  }
  const count = view.partitions.length
  if (count !== plan.partitions) {
    const problem = `it has ${count} partitions and ${plan.partitions} are wanted`
    problems.push(error(resource, problem, `set the option partitions to ${count}`))
  }
  const leaderless = view.partitions.filter(({ leader }) => leader < 0).length
  if (leaderless > 0) {
    const problem = `${leaderless} partitions have no leader and take nothing`
    problems.push(error(resource, problem, 'bring the brokers that hold them back'))
  }
  const copies = replicationOf(plan, brokers)
  const fewest = Math.min(...view.partitions.map(({ replicas }) => replicas))
  if (fewest < copies) {
    const problem = `it keeps ${fewest} copies of a message and ${copies} are wanted`
    problems.push(error(resource, problem, 'reassign its partitions to more brokers'))
  }
  const lagging = view.partitions.filter(({ inSync, replicas }) => inSync < replicas).length
  if (lagging > 0) {
    const problem = `${lagging} partitions have replicas that are not in sync`
    problems.push(warning(resource, problem, 'see why brokers are away or slow'))
  }
  return problems
}

function checkSettings(
  topic: string,
  found: ReadonlyMap<string, string>,
  {
    plan,
    retentionMs,
    view,
  }: { readonly plan: TopicPlan; readonly retentionMs: number; readonly view: TopicView },
): readonly BrokerProblem[] {
  const resource = `topic ${topic}`
  const problems: BrokerProblem[] = []
  const numberOf = (name: string, other: number): number => Number(found.get(name) ?? other)
  const policy = found.get('cleanup.policy') ?? 'delete'
  if (policy.includes('compact')) {
    const problem = `cleanup.policy is ${policy}, which removes messages of a key`
    problems.push(error(resource, problem, 'set cleanup.policy to delete'))
  }
  const retention = numberOf('retention.ms', -1)
  if (retention >= 0 && retention < retentionMs) {
    const problem = `retention.ms is ${retention} and ${retentionMs} is wanted`
    problems.push(error(resource, problem, 'start, which lengthens it, or set it'))
  }
  if (numberOf('retention.bytes', -1) >= 0) {
    const problem = 'retention.bytes is set, so messages may go before their time'
    problems.push(warning(resource, problem, 'set retention.bytes to -1'))
  }
  const bytesMax = numberOf('max.message.bytes', plan.messageBytesMax)
  if (bytesMax < plan.messageBytesMax) {
    const problem = `max.message.bytes is ${bytesMax} and ${plan.messageBytesMax} is wanted`
    problems.push(error(resource, problem, 'start, which raises it, or set it'))
  }
  if (
    view.partitions.some(({ replicas }) => replicas >= 3) &&
    numberOf('min.insync.replicas', 1) < 2
  ) {
    const problem = 'min.insync.replicas is 1: a message may be confirmed with a single copy'
    problems.push(error(resource, problem, 'set min.insync.replicas to 2'))
  }
  if (found.get('unclean.leader.election.enable') === 'true') {
    const problem = 'unclean.leader.election.enable is true: what was confirmed may be lost'
    problems.push(error(resource, problem, 'set it to false'))
  }
  return problems
}

async function checkMayCreate(cluster: Cluster): Promise<readonly BrokerProblem[]> {
  const { kafka, requestTimeoutMs } = cluster.options
  const wire = await cluster.ready()
  const { clusterAuthorizedOperations: allowed } = await wire.request<ClusterAnswer>(
    requestTimeoutMs,
    (connection, done) => kafka.describeClusterV0.api(connection, true, BROKERS, done),
  )
  if (allowed === NOT_ASKED) return []
  if ((allowed & (1 << CREATE)) !== 0) return []
  const problem = 'Create is not allowed on the cluster'
  return [warning('the rights', problem, 'allow Create on the prefix, or make the topics')]
}

type ClusterAnswer = ReturnType<KafkaPackage['describeClusterV0']['parseResponse']>

const BROKERS = 1
