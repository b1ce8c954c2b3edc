import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { JuncturaError, type Kernel, messageOf } from '../kernel/index.ts'
import { createJsonLogger } from '../observe/index.ts'
import type { Role, StoreChoice } from '../runtime/index.ts'
import type { CliIo, StopSignal } from './cli-io.ts'
import { collect, type CommandContext, parsePort, parseRate } from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { parseLength } from './human-time.ts'
import { loadIntegration } from './load-integration.ts'
import { createOutput } from './output.ts'
import { readStoreChoice } from './store-choice.ts'
import {
  BRIDGE_FROM_HELP,
  BRIDGE_HELP,
  type BridgeOptions,
  readBridges,
  readTransportChoice,
  TRANSPORT_HELP,
} from './transport-choice.ts'

/** Of `start` and of `dev`. */
export interface StartOptions extends BridgeOptions {
  readonly port: string
  readonly managementPort: string
  readonly host: string
  readonly managementHost: string
  readonly data: string
  readonly store: string
  readonly transport: string
  readonly tokenEnv: string
  readonly drainTimeout: string
  /** A second. */
  readonly ratePerAddress?: number
  /** Addresses and CIDR ranges. */
  readonly trustedProxy?: readonly string[]
}

interface StartOnlyOptions extends StartOptions {
  readonly lameDuck: string
  readonly role?: readonly Role[]
  readonly acceptRollback?: boolean
  readonly leaveWithParent?: boolean
  readonly development?: boolean
}

/** Adds `start FILE`: the integration as a process of its own. */
export const addStartCommand = (program: Command, { io, finish }: CommandContext): void => {
  withServer(program.command('start <file>'))
    .description('Runs an integration: one line of JSON when ready, logs as JSON on stderr.')
    // Accepted for evenness: what it prints is JSON in any case.
    .option('--json', 'no effect: the output is JSON already')
    .option('--lame-duck <time>', LAME_DUCK_HELP, '500ms')
    .option('--role <roles>', ROLE_HELP, readRoles)
    .option('--accept-rollback', 'once, after a restore: go on with a store that is older')
    .addOption(new Option('--leave-with-parent').hideHelp())
    .addOption(new Option('--development').hideHelp())
    .action(async (file: string, options: StartOnlyOptions) => {
      finish(await start(io, file, options))
    })
}

/** The options of a process that serves. */
export const withServer = (command: Command): Command =>
  command
    .option('--port <port>', 'of the public listener; 0 takes a free one', parsePort, '7070')
    .option('--host <host>', 'address of the public listener', '0.0.0.0')
    .option('--management-port <port>', 'of the management listener', parsePort, '7071')
    .option('--management-host <host>', 'other than loopback needs a token', '127.0.0.1')
    .option('--data <dir>', 'where everything durable lives', '.junctura')
    .option('--store <store>', 'sqlite, memory, postgres or postgres://…', 'sqlite')
    .option('--transport <transport>', TRANSPORT_HELP, 'embedded')
    .option('--bridge <broker>', BRIDGE_HELP, collect)
    .option('--bridge-from <place>', BRIDGE_FROM_HELP, 'now')
    .option('--token-env <name>', 'variable with the management token', 'JUNCTURA_TOKEN')
    .option('--drain-timeout <time>', 'how long work may take to finish', '10s')
    .option(
      '--rate-per-address <rate>',
      'requests per connection address, such as 50/s or 30/m; 429 beyond it (default: no limit)',
      parseRate,
    )
    .option(
      '--trusted-proxy <range>',
      'proxy whose X-Forwarded-For is believed, such as 10.0.0.0/8; may be given again',
      collect,
    )

const ROLE_HELP = 'what this process does, such as gateway,worker,relay,console (default: all)'

/** Named here too, so that a command line is read without loading the runtime. */
const ROLES = ['gateway', 'worker', 'relay', 'console'] as const satisfies readonly Role[]

const readRoles = (text: string): readonly Role[] => {
  const named = text.split(',')
  const roles = ROLES.filter((role) => named.includes(role))
  if (roles.length === new Set(named).size) return roles
  throw new InvalidArgumentError(`Write some of ${ROLES.join(',')}, with commas in between.`)
}

const LAME_DUCK_HELP = 'requests still taken after SIGTERM, while /readyz says not ready'

const SIGNAL_NUMBERS: Readonly<Record<StopSignal, number>> = { SIGINT: 2, SIGTERM: 15 }

const start = async (io: CliIo, file: string, options: StartOnlyOptions): Promise<ExitCode> => {
  const log = createJsonLogger({
    clock: io.kernel.clock,
    write: (line) => io.stderr.write(`${line}\n`),
  })
  const kernel: Kernel = { ...io.kernel, log }
  const drainMs = parseLength(options.drainTimeout, '--drain-timeout')
  const lameDuckMs = parseLength(options.lameDuck, '--lame-duck')
  const stop = listenForStop(io, kernel)
  if (options.leaveWithParent === true) io.onParentGone(() => io.exitNow(EXIT.software))
  try {
    // Only here: a store and its engine cost time to load.
    const serve = await import('./serve-integration.ts')
    const token = readToken(io, options)
    const store = readStore(io, options)
    const serving = await serve.serveIntegration({
      integration: await loadIntegration(file, io.cwd),
      kernel,
      store,
      transport: readTransportChoice(options.transport, store),
      bridges: readBridges(options),
      roles: options.role ?? ROLES,
      port: Number(options.port),
      host: options.host,
      managementPort: Number(options.managementPort),
      managementHost: options.managementHost,
      token,
      ratePerAddress: options.ratePerAddress,
      trustedProxies: options.trustedProxy ?? [],
      isDevelopment: options.development === true,
      lameDuckMs,
      onFatal: (error) => stop.fail(error),
    })
    for (const { source, value } of serving.runtime.developmentSecrets) {
      // Whoever reads the source knows it; printed so that a partner can be played on this machine.
      log.warn({ source, value }, 'a development secret is in use; set the variable for real use')
    }
    createOutput(io, true).result('ready', serving.ready, () => '')
    stop.ready()
    const reason = await stop.asked
    log.info({ reason: reason.word }, 'draining')
    await serving.drain(drainMs)
    log.info({}, 'stopped')
    return reason.code
  } finally {
    stop.close()
  }
}

interface StopReason {
  readonly word: string
  readonly code: ExitCode
}

/**
 * Modes: `starting`, where a signal ends the process at once, since nothing was taken yet; `ready`,
 * where the first signal asks for a drain; `draining`, where a second one ends it at once.
 */
function listenForStop(io: CliIo, kernel: Kernel) {
  let mode: 'starting' | 'ready' | 'draining' = 'starting'
  let ask: (reason: StopReason) => void = () => undefined
  const asked = new Promise<StopReason>((resolvePromise) => (ask = resolvePromise))
  const stopSignals = io.onSignal((signal) => {
    if (mode !== 'ready') return io.exitNow(128 + SIGNAL_NUMBERS[signal])
    mode = 'draining'
    ask({ word: signal, code: EXIT.ok })
  })
  const stopUncaught = io.onUncaught((kind, error) => {
    const fields = { error }
    // A handler forgot to await: its own message is retried, and nobody else's work is at stake.
    if (kind === 'rejection') {
      return kernel.log.error(
        fields,
        'a rejected promise was caught by nobody; the process goes on',
      )
    }
    // After an exception out of nowhere no state can be trusted; what is on disk can.
    kernel.log.error(fields, 'an exception was caught by nobody; the process ends')
    io.exitNow(EXIT.software)
  })
  return {
    asked,
    ready(): void {
      mode = 'ready'
    },
    fail(error: unknown): void {
      kernel.log.error({ error, problem: messageOf(error) }, 'the store cannot be trusted any more')
      mode = 'draining'
      ask({ word: 'store', code: EXIT.software })
    },
    close(): void {
      stopSignals()
      stopUncaught()
    },
  }
}

function readStore(io: CliIo, options: StartOnlyOptions): StoreChoice {
  const choice = readStoreChoice(options.store, resolve(io.cwd, options.data), io.kernel.env)
  if (options.acceptRollback !== true) return choice
  if (choice.engine === 'sqlite') return { ...choice, acceptRollback: true }
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem: `--accept-rollback: ${choice.engine} cannot tell that it has gone back in time`,
      fix: 'leave the option out; see docs/how-to/run-in-production.md, "Restore"',
    },
  })
}

function readToken(io: CliIo, { tokenEnv }: StartOptions): string | undefined {
  const token = io.kernel.env(tokenEnv)
  if (token !== undefined && token !== '') return token
  // A name that was given and holds nothing is a mistake; the default may well be unset.
  if (tokenEnv === 'JUNCTURA_TOKEN') return undefined
  throw new JuncturaError('JUNCTURA_SECRET_MISSING', {
    details: { source: tokenEnv, problem: 'the environment variable is not set' },
  })
}
