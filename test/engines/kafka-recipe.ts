import { randomBytes } from 'node:crypto'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { askPort } from './ask-port.ts'
import { fetchOnce, runFetch } from './fetch-once.ts'
import { portAt, type Place, type Recipe, type ServerCommand } from './recipe.ts'

const KAFKA_VERSION = '4.4.0'

/** A single node in KRaft mode, broker and controller in one; what it promises is its default. */
export const kafkaRecipe: Recipe = {
  portCount: 3,
  stopSignal: 'SIGTERM',
  fetch: async () => void (await fetchJars()),
  async layOut(place) {
    const settings = { ...settingsOf(place), ...place.settings }
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
    writeFileSync(join(place.directory, 'server.properties'), `${lines.join('\n')}\n`)
    writeFileSync(join(place.directory, 'log4j2.properties'), LOG)
    const { file, args } = await run(place, 'kafka.tools.StorageTool', [
      'format',
      '-t',
      clusterId(),
      '-c',
      join(place.directory, 'server.properties'),
    ])
    await runFetch({
      file,
      args,
      cwd: place.directory,
      what: 'an empty folder for Kafka',
      fix: 'install a Java of version 17 or later (on Debian: apt-get install default-jre-headless)',
    })
  },
  command: (place) => run(place, 'kafka.Kafka', [join(place.directory, 'server.properties')]),
  answers: async (place) => {
    const answer = await askPort(portAt(place, 0), API_VERSIONS_REQUEST)
    return answer !== undefined && answer.length > 8 && answer.readInt32BE(4) === CORRELATION
  },
  url: (port) => `kafka://127.0.0.1:${port}`,
}

const settingsOf = (place: Place): Readonly<Record<string, string>> => {
  const broker = `127.0.0.1:${portAt(place, 0)}`
  const controller = `127.0.0.1:${portAt(place, 1)}`
  const internal = `127.0.0.1:${portAt(place, 2)}`
  const advertised = place.advertisedPort ?? portAt(place, 0)
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@${controller}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT',
    listeners: `PLAINTEXT://${broker},INTERNAL://${internal},CONTROLLER://${controller}`,
    // Clients go where the broker sends them: past a proxy, if it named its own port.
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${advertised},INTERNAL://${internal}`,
    'controller.listener.names': 'CONTROLLER',
    // The broker calls itself for transactions; a proxy for clients is not in that way.
    'inter.broker.listener.name': 'INTERNAL',
    'log.dirs': join(place.directory, 'data'),
    // What a single node needs, because the defaults want three.
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    // After a crash it waits until its own old session is over.
    'broker.session.timeout.ms': '4000',
    'broker.heartbeat.interval.ms': '500',
  }
}

/** To stdout, which the engine keeps in a file. */
const LOG = `status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
`

/** Never with `-` in front, which the command would take for an option. */
const clusterId = (): string => `k${randomBytes(16).toString('base64url').slice(1)}`

const CORRELATION = 7
/** ApiVersions, version 0: the length, the key 18, the version, a correlation, no client id. */
const API_VERSIONS_REQUEST = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, CORRELATION, 255, 255])

const run = async (
  place: Place,
  mainClass: string,
  args: readonly string[],
): Promise<ServerCommand> => {
  const jars = await fetchJars()
  const java = process.env['JAVA_HOME'] ? join(process.env['JAVA_HOME'], 'bin', 'java') : 'java'
  const log = `-Dlog4j2.configurationFile=${join(place.directory, 'log4j2.properties')}`
  return {
    file: java,
    args: ['-Xms256m', '-Xmx512m', log, '-cp', join(jars, '*'), mainClass, ...args],
  }
}

const fetchJars = (): Promise<string> =>
  fetchOnce(`kafka-${KAFKA_VERSION}`, async (folder) => {
    // Maven leaves nothing beside the pom, but it wants to be in its folder.
    cpSync(fileURLToPath(new URL('kafka-pom.xml', import.meta.url)), join(folder, 'pom.xml'))
    await runFetch({
      file: 'mvn',
      args: [
        '--quiet',
        '--batch-mode',
        `-Dkafka.version=${KAFKA_VERSION}`,
        'dependency:copy-dependencies',
        `-DoutputDirectory=${folder}`,
        '-DincludeScope=runtime',
      ],
      cwd: folder,
      what: `Kafka ${KAFKA_VERSION} by Maven`,
      fix: 'install Maven (on Debian: apt-get install maven) and check its settings.xml',
    })
  })
