import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build } from '../../tools/build.ts'
import { type CommandResult, runCommand } from '../../tools/run-command.ts'

export const REPOSITORY: string = resolve(import.meta.dirname, '../..')

/** A folder outside the repository, as a user has one, with what the test puts there. */
export interface UserFolder {
  readonly path: string
  write(file: string, text: string): void
  run(program: string, ...args: readonly string[]): Promise<CommandResult>
  remove(): void
}

/** `node` is the folder of the program that its commands find as `node`; else this one's. */
export const createUserFolder = (name: string, node?: string): UserFolder => {
  const path = mkdtempSync(join(tmpdir(), `junctura-${name}-`))
  const folder: UserFolder = {
    path,
    write: (file, text) => writeFileSync(join(path, file), text),
    run: (program, ...args) => runCommand(program, args, { cwd: path, env: userEnvironment(node) }),
    remove: () => rmSync(path, { recursive: true, force: true }),
  }
  folder.write('package.json', '{ "name": "user", "private": true, "type": "module" }\n')
  return folder
}

/** Builds and packs the package; the answer is the path of the tarball in `folder`. */
export const packInto = async (folder: UserFolder): Promise<string> => {
  const built = await build(REPOSITORY)
  if (!built.ok) throw new Error(`the build failed:\n${built.problem}`)
  const args = ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder.path]
  const pack = await runCommand('npm', args, { cwd: REPOSITORY, env: userEnvironment() })
  const tarball = readdirSync(folder.path).find((name) => name.endsWith('.tgz'))
  if (pack.status !== 0 || tarball === undefined) throw new Error(`npm pack: ${pack.output}`)
  return join(folder.path, tarball)
}

/** Installs the tarball the way a careful user does: no package runs a script of its own. */
export const installTarball = async (folder: UserFolder, tarball: string): Promise<void> => {
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball]
  const { status, output } = await folder.run('npm', ...args)
  if (status !== 0) throw new Error(`npm install of the tarball: ${output}`)
}

/** A Node of the wanted major version, from npm's `node` package; the answer is its program. */
export const installNode = async (folder: UserFolder, major: number): Promise<string> => {
  const { status, output } = await folder.run('npm', 'install', '--no-audit', `node@${major}`)
  if (status !== 0) throw new Error(`npm install node@${major}: ${output}`)
  return join(folder.path, 'node_modules', 'node', 'bin', 'node')
}

/** Without what `npm test` sets for its own scripts: the user's npm starts from nothing. */
function userEnvironment(node?: string): NodeJS.ProcessEnv {
  const own = Object.keys(process.env).filter((name) =>
    /^(npm_(package|lifecycle|command|execpath|config_(local_prefix|prefix|allow_scripts))|INIT_CWD|NODE_OPTIONS|VITEST)/i.test(
      name,
    ),
  )
  const path = process.env['PATH'] ?? ''
  return {
    ...Object.fromEntries(own.map((name) => [name, undefined])),
    ...(node !== undefined && { PATH: `${node}:${path}` }),
  }
}
