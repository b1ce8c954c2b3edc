import type { Command } from 'commander'
import { checkIntegration, formatLocation, type StartFinding } from '../contract/index.ts'
import { escapeControl } from '../security/index.ts'
import type { CliIo } from './cli-io.ts'
import { type CommandContext, type JsonOption, withJson } from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { loadIntegration } from './load-integration.ts'
import { type ModelParts, readModel } from './model-parts.ts'
import { createOutput } from './output.ts'
import type { Paint } from './paint.ts'
import { renderTable } from './table.ts'

/** Adds `model FILE`: what an integration declares, without starting it. */
export const addModelCommand = (program: Command, { io, finish }: CommandContext): void => {
  withJson(program.command('model <file>'))
    .description('The Model of an integration, and what would keep it from starting.')
    .action(async (file: string, options: JsonOption) => {
      finish(await showModel(io, file, options))
    })
}

const showModel = async (io: CliIo, file: string, options: JsonOption): Promise<ExitCode> => {
  const out = createOutput(io, options.json === true)
  const integration = await loadIntegration(file, io.cwd)
  const findings = checkIntegration(integration).map((finding) => ({
    rule: finding.rule,
    part: finding.part,
    at: formatLocation(finding.at),
    problem: finding.problem,
    fix: finding.fix,
  }))
  out.result('model', { model: integration.model, findings }, () =>
    renderModel(readModel(integration.model), findings, out.paint),
  )
  return findings.length === 0 ? EXIT.ok : EXIT.findings
}

type Finding = Omit<StartFinding, 'at'> & { readonly at: string }

const renderModel = (model: ModelParts, findings: readonly Finding[], paint: Paint): string => {
  const webhooks = renderTable(
    [
      { title: 'WEBHOOK', cell: (one) => one.name },
      { title: 'PATH', cell: (one) => `POST ${one.path}` },
      { title: 'FROM', cell: (one) => one.from },
      { title: 'VERIFIED BY', cell: (one) => one.verify.name },
      { title: 'ACCEPTS', cell: (one) => one.accepts },
    ],
    model.webhooks,
    { paint },
  )
  const contracts = renderTable(
    [
      { title: 'CONTRACT', cell: (one) => one.name },
      { title: 'KIND', cell: (one) => one.kind },
      { title: 'VERSIONS', cell: (one) => one.versions.map(({ version }) => version).join(', ') },
      { title: 'KEY', cell: (one) => one.key.join(' ') || '(none)' },
      { title: 'OWNER', cell: (one) => one.owner },
    ],
    model.contracts,
    { paint },
  )
  const consumers = renderTable(
    [
      { title: 'CONSUMER', cell: (one) => one.name },
      { title: 'ON', cell: (one) => `${one.on.contract}@${one.on.version}` },
      { title: 'REPLAY', cell: (one) => one.replay },
      { title: 'OWNER', cell: (one) => one.owner },
    ],
    model.consumers,
    { paint },
  )
  const problems = findings.flatMap(({ at, part, problem, fix, rule }) => [
    `${paint('red', rule)}  ${at}  ${escapeControl(part)}: ${escapeControl(problem)}`,
    `    fix: ${fix}`,
  ])
  const title = `${paint('bold', model.name)}  ${paint('gray', model.hash.slice(0, 12))}`
  return [
    title,
    ...(model.webhooks.length > 0 ? ['', webhooks] : []),
    ...(model.contracts.length > 0 ? ['', contracts] : []),
    ...(model.consumers.length > 0 ? ['', consumers] : []),
    '',
    ...(problems.length > 0
      ? [`It would be refused at start, ${findings.length} finding(s):`, ...problems]
      : [paint('green', 'It may start.')]),
  ].join('\n')
}
