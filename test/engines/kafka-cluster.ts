import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createEngine, type EngineInstance } from './engine-instance.ts'
import { portAt } from './recipe.ts'

/** Three Kafka brokers that are one cluster, each also a controller. */
export interface KafkaCluster {
  /** All three brokers. */
  readonly url: string
  /** By the number that the cluster knows it by: 1, 2 or 3. */
  kill(node: number): Promise<void>
  restart(node: number): Promise<void>
  stop(): Promise<void>
}

const NODES = [1, 2, 3]

/** A single node each, as `startEngine` lays it out; then the files are made to name each other. */
export const startKafkaCluster = async (): Promise<KafkaCluster> => {
  const engines: EngineInstance[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(engines.map((engine) => engine.remove()))
  }
  const engineOf = (node: number): EngineInstance => {
    const engine = engines[node - 1]
    if (!engine) throw new Error(`there is no node ${node}`)
    return engine
  }
  try {
    for (const _ of NODES) engines.push(await createEngine('kafka', {}))
    const voters = NODES.map((node) => `${node}@127.0.0.1:${portAt(engineOf(node).state, 1)}`)
    for (const node of NODES) joinCluster(engineOf(node), { node, voters: voters.join(',') })
    await Promise.all(engines.map((engine) => engine.start()))
  } catch (error) {
    await stop()
    throw error
  }
  const hosts = engines.map(({ url }) => url.replace('kafka://', ''))
  return {
    url: `kafka://${hosts.join(',')}`,
    kill: (node) => engineOf(node).kill(),
    restart: (node) => engineOf(node).restart(),
    stop,
  }
}

const CLUSTER = 'MkU3OEVBNTcwNTJENDM2Qk'

function joinCluster(
  { state }: EngineInstance,
  { node, voters }: { readonly node: number; readonly voters: string },
): void {
  change(join(state.directory, 'server.properties'), {
    'node.id': String(node),
    'controller.quorum.voters': voters,
    'offsets.topic.replication.factor': '3',
    'transaction.state.log.replication.factor': '3',
    'transaction.state.log.min.isr': '2',
  })
  change(join(state.directory, 'data', 'meta.properties'), {
    'node.id': String(node),
    'cluster.id': CLUSTER,
  })
}

function change(file: string, settings: Readonly<Record<string, string>>): void {
  const kept = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !Object.hasOwn(settings, line.split('=')[0] ?? ''))
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  writeFileSync(file, `${[...kept, ...lines].join('\n')}\n`)
}
