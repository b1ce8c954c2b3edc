import { type Command, Option } from 'commander'
import { randomInteger } from '../kernel/index.ts'
import {
  type ClientOptions,
  collect,
  type CommandContext,
  openSession,
  parseCount,
  parsePort,
  parseRate,
  type Session,
  withClient,
} from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { readGivenBytes } from './json-input.ts'
import { checkUrl } from './management-client.ts'
import { fetchModel, findPart, type ModelParts } from './model-parts.ts'
import type { Wrong } from './partner-request.ts'
import { renderSend, reportSend } from './send-report.ts'
import { sendRequests } from './send-requests.ts'

export interface SendOptions extends ClientOptions {
  readonly data?: string
  readonly file?: string
  readonly set?: readonly string[]
  /** Of the contract. Not `version`, which is the program's own. */
  readonly contractVersion?: number
  readonly dup?: number
  readonly invalid?: Wrong
  readonly count?: number
  readonly rate?: number
  readonly id?: string
  readonly url?: string
  readonly port?: string
  readonly secret?: string
  readonly integration?: string
  readonly seed?: number
}

/** Adds `send WEBHOOK`: a partner's request through the real border. */
export const addSendCommand = (program: Command, { io, finish }: CommandContext): void => {
  withClient(program.command('send <webhook>'))
    .description('Sends a signed, valid request of a partner over HTTP; an example, or your data.')
    .option('--data <json>', 'the body')
    .option('--file <path>', 'the body, as the bytes of a file; - reads stdin')
    .option(
      '--set <path=value>',
      'puts a value into the body; {n} counts; may be given again',
      collect,
    )
    .option(
      '--contract-version <n>',
      'version of the example (default: latest)',
      parseCount(1, 1e9),
    )
    .option('--dup <n>', 'sends each message n times', parseCount(1, 100_000))
    .addOption(
      new Option('--invalid <what>', 'wrong on purpose').choices([
        'schema',
        'signature',
        'timestamp',
        'version',
      ]),
    )
    .option('--count <n>', 'different messages (default: 1)', parseCount(1, 10_000_000))
    .option('--rate <rate>', 'at most so many, for example 100/s', parseRate)
    .option('--id <id>', 'the message id; {n} counts (default: a fresh one)')
    .option('--seed <n>', 'makes the same examples again', parseCount(0, 2 ** 31 - 1))
    .option('--url <url>', 'address of the public listener (default: http://127.0.0.1:7070)')
    .option('--port <port>', 'its port on this machine', parsePort)
    .option('--secret <secret>', "the partner's secret (default: as the webhook declares it)")
    .option('--integration <file>', 'the module with its development secret (default: found)')
    .action(async (webhook: string, options: SendOptions) => {
      const session = openSession(io, options)
      finish(await send(session, await fetchModel(session.client), webhook, options))
    })
}

/** Sends to one webhook of a model; findings when the outcome is not what was asked for. */
export const send = async (
  session: Session,
  model: ModelParts,
  name: string,
  options: SendOptions,
): Promise<ExitCode> => {
  const { io, out } = session
  // Only here, because validators and signatures cost time to load.
  const { makePartnerRequest } = await import('./partner-request.ts')
  const { findPartnerKeys } = await import('./partner-keys.ts')
  const webhook = findPart(model.webhooks, name, 'webhook')
  const given = await readGivenBytes(io, options)
  const plan = {
    webhook,
    contract: findPart(model.contracts, webhook.accepts, 'contract'),
    keyPaths: model.contracts.flatMap(({ key }) => key),
    keys: await findPartnerKeys(io, webhook, options),
    settings: options.set ?? [],
    seed: options.seed ?? randomInteger(io.kernel.random, 0, 2 ** 30),
    ...(options.contractVersion !== undefined && { version: options.contractVersion }),
    ...(given && { given }),
    ...(options.invalid && { wrong: options.invalid }),
    ...(options.id !== undefined && { id: options.id }),
  }
  const base = publicUrl(options)
  const asked = {
    webhook: name,
    url: `${base}${webhook.path}`,
    count: options.count ?? 1,
    times: options.dup ?? 1,
    ...(options.invalid && { wrong: options.invalid }),
  }
  const abort = new AbortController()
  const stopListening = io.onSignal(() => abort.abort())
  try {
    const results = await sendRequests(io, {
      url: base,
      make: (n) => makePartnerRequest(plan, n, io.kernel),
      count: asked.count,
      times: asked.times,
      signal: abort.signal,
      ...(options.rate !== undefined && { perSecond: options.rate }),
    })
    const report = reportSend(results, asked)
    out.result('send', report, () => renderSend(report, out.paint))
    if (abort.signal.aborted) return EXIT.interrupted
    return report.asExpected ? EXIT.ok : EXIT.findings
  } finally {
    stopListening()
  }
}

const publicUrl = ({ url, port }: SendOptions): string =>
  url === undefined ? `http://127.0.0.1:${port ?? 7070}` : checkUrl(url)
