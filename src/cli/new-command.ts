import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { JuncturaError } from '../kernel/index.ts'
import type { CliIo } from './cli-io.ts'
import { type CommandContext, type JsonOption, withJson } from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { renderProject } from './new-template.ts'
import { isNodeNewEnough } from './node-version.ts'
import { createOutput } from './output.ts'
import { readOwnVersion } from './own-version.ts'

interface NewOptions extends JsonOption {
  readonly template: 'webhook'
  readonly juncturaVersion?: string
  readonly dryRun?: boolean
}

/** Adds `new DIR`. */
export const addNewCommand = (program: Command, { io, finish }: CommandContext): void => {
  withJson(program.command('new <dir>'))
    .description('Writes a small project that runs: a signed webhook and one consumer.')
    .addOption(
      new Option('--template <name>', 'what to begin with').choices(['webhook']).default('webhook'),
    )
    .option('--junctura-version <spec>', 'of the dependency (default: this version)')
    .option('--dry-run', 'only say what would be written')
    .action((dir: string, options: NewOptions) => finish(createProject(io, dir, options)))
}

const createProject = (io: CliIo, dir: string, options: NewOptions): ExitCode => {
  const out = createOutput(io, options.json === true)
  const folder = resolve(io.cwd, dir)
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new JuncturaError('JUNCTURA_USAGE', {
      details: {
        problem: `${dir} exists and is not empty; nothing was written.`,
        fix: 'Name a folder that does not exist yet.',
      },
    })
  }
  const files = renderProject({
    name: projectName(basename(folder)),
    juncturaVersion: options.juncturaVersion ?? `^${readOwnVersion()}`,
    bringsNode: !isNodeNewEnough(io.shellNodeVersion() ?? '0'),
  })
  if (options.dryRun !== true) {
    mkdirSync(folder, { recursive: true })
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  }
  const names = Object.keys(files)
  out.result('new', { folder, files: names, written: options.dryRun !== true }, () =>
    [
      ...names.map((name) => `  ${out.paint('green', '+')} ${join(dir, name)}`),
      '',
      `cd ${relative(io.cwd, folder) || '.'} && npm install && npm run dev`,
    ].join('\n'),
  )
  return EXIT.ok
}

/** A name that npm and an integration both take. */
const projectName = (folder: string): string => {
  const name = folder
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .replace(/^(\d)/, 'project-$1')
  return name === '' ? 'orders' : name.slice(0, 60)
}
