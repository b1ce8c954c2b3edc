import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../../tools/run-command.ts'
import {
  createUserFolder,
  installTarball,
  packInto,
  REPOSITORY,
  type UserFolder,
} from './packed-project.fixture.ts'

interface Manifest {
  readonly version: string
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly gypfile?: boolean
}

const readManifest = (path: string): Manifest => JSON.parse(readFileSync(path, 'utf8'))

describe('the package in an empty folder', () => {
  let user: UserFolder
  let installed: string
  let manifest: Manifest

  beforeAll(async () => {
    user = createUserFolder('package')
    await installTarball(user, await packInto(user))
    installed = join(user.path, 'node_modules', 'junctura')
    manifest = readManifest(join(installed, 'package.json'))
  })

  afterAll(() => user?.remove())

  it('runs nothing while it is installed', () => {
    const scripts = Object.keys(manifest.scripts ?? {})

    expect(scripts.filter((name) => /^(pre|post)?install$/.test(name))).toEqual([])
  })

  it('needs at most ten packages, none of them native, and all of them together', () => {
    const manifests = globSync('node_modules/{*,@*/*}/package.json', { cwd: user.path })
      .map((path) => join(user.path, path))
      .filter((path) => !path.startsWith(join(installed, '/')))
    const scripted = manifests.filter((path) =>
      Object.keys(readManifest(path).scripts ?? {}).some((name) =>
        /^(pre|post)?install$/.test(name),
      ),
    )

    expect(Object.keys(manifest.dependencies ?? {}).length).toBeLessThanOrEqual(10)
    expect(manifests.length).toBeGreaterThan(0)
    expect(manifests.length).toBeLessThanOrEqual(10)
    expect(globSync('node_modules/**/{*.node,binding.gyp}', { cwd: user.path })).toEqual([])
    expect(scripted).toEqual([])
  })

  it('holds what runs and what is read, and no sources, tests or settings', () => {
    const files = globSync('**/*', { cwd: installed })

    expect(files).toEqual(
      expect.arrayContaining(['LICENSE', 'README.md', 'CHANGELOG.md', 'bin/junctura.js']),
    )
    expect(files.filter((path) => /\.test\.|\.fixture\.|^(src|test|tools)\//.test(path))).toEqual(
      [],
    )
    expect(files.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))).toEqual([])
  })

  it('has every file of src that is not TypeScript in its place', () => {
    const assets = globSync('**/*.{sql,html,css,json,svg}', { cwd: join(REPOSITORY, 'src') })

    expect(assets.filter((path) => !existsSync(join(installed, 'dist', path)))).toEqual([])
  })

  it('has a file behind every door', () => {
    const paths = Object.values(manifest.exports).flatMap((door) =>
      typeof door === 'string' ? [door] : Object.values(door),
    )

    expect(paths.length).toBeGreaterThan(2)
    expect(paths.filter((path) => !existsSync(join(installed, path)))).toEqual([])
  })

  it('is imported without any optional peer', async () => {
    user.write(
      'use.js',
      `import * as junctura from 'junctura'
       import * as testing from 'junctura/testing'
       console.log(Object.keys(junctura).length > 0 && Object.keys(testing).length > 0)`,
    )

    const { status, output } = await user.run('node', 'use.js')

    expect({ status, output: output.trim() }).toEqual({ status: 0, output: 'true' })
  })

  it('has types that hold in a strict project that checks libraries too', async () => {
    user.write(
      'use.ts',
      `import * as junctura from 'junctura'
       import * as testing from 'junctura/testing'
       export const doors: readonly object[] = [junctura, testing]
       // @ts-expect-error The package says what it has, so a wrong name is found.
       export const missing: unknown = junctura.noSuchName`,
    )
    user.write('tsconfig.json', JSON.stringify(USER_TSCONFIG))

    const compiler = join(REPOSITORY, 'node_modules', '.bin', 'tsc')
    const { status, output } = await runCommand(compiler, ['-p', user.path], { cwd: user.path })

    expect({ status, output }).toEqual({ status: 0, output: '' })
  })

  it('has a command', async () => {
    const { status, output } = await user.run('npx', 'junctura', '--version')

    // npm may warn about the settings of the machine first.
    expect(output.trim().split('\n').at(-1)).toBe(manifest.version)
    expect(status).toBe(0)
  })

  // The quick start of the README, from this tarball in an empty folder, belongs in
  // quick-start.test.ts beside this file.
})

const USER_TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(REPOSITORY, 'node_modules', '@types')],
  },
  files: ['use.ts'],
}
