import { resolve } from 'node:path'
import type { Command } from 'commander'
import { JuncturaError } from '../kernel/index.ts'
import { escapeControl } from '../security/index.ts'
import type { CliIo } from './cli-io.ts'
import { collect, type CommandContext, parsePort, withJson } from './command-context.ts'
import type { DeclarationCheck } from './check-declaration.ts'
import { confirm } from './confirm.ts'
import type { Check } from './doctor-check.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { createOutput } from './output.ts'
import type { Colour, Paint } from './paint.ts'
import { readStoreChoice } from './store-choice.ts'
import {
  BRIDGE_FROM_HELP,
  BRIDGE_HELP,
  type BridgeOptions,
  readBridges,
  readTransportChoice,
  TRANSPORT_HELP,
} from './transport-choice.ts'

interface DoctorOptions extends BridgeOptions {
  readonly json?: boolean
  readonly data: string
  readonly store: string
  readonly transport: string
  readonly port: string
  readonly managementPort: string
  readonly deep?: boolean
  readonly repair?: boolean
  readonly yes?: boolean
}

/** Adds `doctor [FILE]`. */
export const addDoctorCommand = (program: Command, { io, finish }: CommandContext): void => {
  withJson(program.command('doctor [file]'))
    .description('Looks for what would keep an integration from running well; each with its fix.')
    .option('--data <dir>', 'where everything durable lives', '.junctura')
    .option('--store <store>', 'sqlite, memory, postgres or postgres://…', 'sqlite')
    .option('--transport <transport>', TRANSPORT_HELP, 'embedded')
    .option('--bridge <broker>', BRIDGE_HELP, collect)
    .option('--bridge-from <place>', BRIDGE_FROM_HELP, 'now')
    .option('--port <port>', 'of the public listener', parsePort, '7070')
    .option('--management-port <port>', 'of the management listener', parsePort, '7071')
    .option('--deep', 'read the whole store')
    .option('--repair', 'salvage a damaged SQLite store; nothing may use it meanwhile')
    .option('--yes', 'do not ask before a repair')
    .action(async (file: string | undefined, options: DoctorOptions) => {
      finish(await examine(io, file, options))
    })
}

const examine = async (
  io: CliIo,
  file: string | undefined,
  options: DoctorOptions,
): Promise<ExitCode> => {
  const out = createOutput(io, options.json === true)
  const machine = await import('./check-machine.ts')
  const directory = resolve(io.cwd, options.data)
  const choice = readStoreChoice(options.store, directory, io.kernel.env)
  const checks: Check[] = [machine.checkNode(process.versions.node)]
  if (choice.engine === 'sqlite') checks.push(...machine.checkDirectory(directory))
  checks.push(machine.checkClock(io.kernel.clock.now(), directory))
  if (options.repair === true) {
    const question = `Rewrite the store in ${directory}? The damaged file is kept.`
    if (!(await confirm(io, question, options))) return EXIT.findings
    checks.push(...(await repair(io, choice.engine, directory)))
  }
  const { checkStore } = await import('./check-store.ts')
  const deep = options.deep === true
  const declared = file === undefined ? undefined : await declaration(io, file)
  const integration = declared?.integration
  checks.push(...(await checkStore({ kernel: io.kernel, choice, deep, integration })))
  checks.push(...(declared?.checks ?? []))
  const transport = readTransportChoice(options.transport, choice)
  const transports = [transport, ...readBridges(options)]
  const { checkTransports } = await import('./check-transport.ts')
  checks.push(...(await checkTransports(io.kernel, transports, integration)))
  if (integration) {
    const { checkTopics } = await import('./check-topics.ts')
    checks.push(...(await checkTopics(io.kernel, integration)))
  }
  const read = integration?.topics ?? []
  const engines = [choice.engine, ...[...transports, ...read].map(({ engine }) => engine)]
  checks.push(...(await checkSurroundings(io, options, engines)))
  const failed = checks.some(({ state }) => state === 'fail')
  out.result('doctor', { ok: !failed, checks }, () => renderChecks(checks, out.paint))
  return failed ? EXIT.findings : EXIT.ok
}

async function declaration(io: CliIo, file: string): Promise<DeclarationCheck> {
  const { checkDeclaration } = await import('./check-declaration.ts')
  return checkDeclaration(io.kernel, file, io.cwd)
}

async function repair(io: CliIo, engine: string, directory: string): Promise<readonly Check[]> {
  if (engine !== 'sqlite') {
    throw new JuncturaError('JUNCTURA_USAGE', {
      details: {
        problem: `--repair mends SQLite files; this store is ${engine}.`,
        fix: "Use the engine's own tools.",
      },
    })
  }
  const { repairStore } = await import('./check-store.ts')
  return (await repairStore(io.kernel, directory)).checks
}

async function checkSurroundings(
  io: CliIo,
  options: DoctorOptions,
  engines: readonly string[],
): Promise<readonly Check[]> {
  const { checkPeer, checkPort } = await import('./check-machine.ts')
  const ports = [
    { name: 'public port', option: '--port', number: Number(options.port), host: '0.0.0.0' },
    {
      name: 'management port',
      option: '--management-port',
      number: Number(options.managementPort),
      host: '127.0.0.1',
    },
  ]
  const peers = [
    { name: 'pg', feature: 'PostgreSQL as store', needed: engines.includes('postgres') },
    ...['@nats-io/transport-node', '@nats-io/jetstream'].map((name) => ({
      name,
      feature: 'NATS as transport',
      needed: engines.includes('nats'),
    })),
    {
      name: '@platformatic/kafka',
      feature: 'Kafka as transport',
      needed: engines.includes('kafka'),
    },
    { name: 'amqplib', feature: 'RabbitMQ as transport', needed: engines.includes('rabbitmq') },
    { name: '@opentelemetry/api', feature: 'traces', needed: false },
  ]
  return [
    ...(await Promise.all(ports.map((port) => checkPort(io, port)))),
    ...peers.map((peer) => checkPeer(io.cwd, peer)),
  ]
}

const COLOURS: Readonly<Record<Check['state'], Colour>> = {
  ok: 'green',
  warn: 'yellow',
  fail: 'red',
}

const renderChecks = (checks: readonly Check[], paint: Paint): string => {
  const width = Math.max(...checks.map(({ name }) => name.length))
  return checks
    .flatMap(({ name, state, text, fix }) => [
      `${paint(COLOURS[state], state.padEnd(4))}  ${name.padEnd(width)}  ${escapeControl(text)}`,
      ...(fix === undefined || state === 'ok'
        ? []
        : [`${' '.repeat(width + 8)}fix: ${escapeControl(fix)}`]),
    ])
    .join('\n')
}
