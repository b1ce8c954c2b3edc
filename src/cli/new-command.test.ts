import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runCli } from '../../test/cli/fake-io.ts'

let cwd = ''
beforeEach(() => void (cwd = mkdtempSync(join(tmpdir(), 'junctura-new-'))))
afterEach(() => rmSync(cwd, { recursive: true, force: true }))

const manifest = (folder: string) =>
  JSON.parse(readFileSync(join(cwd, folder, 'package.json'), 'utf8'))

describe('new', () => {
  it('writes nothing into a folder that holds something', async () => {
    writeFileSync(join(cwd, 'mine.txt'), 'mine')
    const { code, io } = await runCli(['new', '.'], { cwd })

    expect(code).toBe(64)
    expect(io.err()).toContain('not empty')
    expect(readdirSync(cwd)).toEqual(['mine.txt'])
  })

  it('writes nothing on a dry run', async () => {
    const { code, io } = await runCli(['new', 'shop', '--dry-run', '--json'], { cwd })

    expect(code).toBe(0)
    expect(io.json()).toMatchObject({ written: false, folder: join(cwd, 'shop') })
    expect(readdirSync(cwd)).toEqual([])
  })

  it('writes a project of modules that depends on this version, and says what is next', async () => {
    const { code, io } = await runCli(['new', 'My Shop 2'], { cwd })

    expect(code).toBe(0)
    expect(manifest('My Shop 2')).toMatchObject({
      name: 'my-shop-2',
      type: 'module',
      scripts: { dev: 'junctura dev integration.ts', start: 'junctura start integration.ts' },
      dependencies: { junctura: expect.stringMatching(/^\^\d+\.\d+\.\d+$/) },
    })
    expect(readFileSync(join(cwd, 'My Shop 2', 'integration.ts'), 'utf8')).toContain(
      "export default integration('my-shop-2', {",
    )
    expect(io.out()).toContain('npm install && npm run dev')
  })

  it('brings a Node into the project only where the one of the shell is too old', async () => {
    for (const [shellNode, node] of [
      ['20.20.2', '^24'],
      ['22.17.0', '^24'],
      ['22.18.0', undefined],
      ['26.0.0', undefined],
    ] as const) {
      await runCli(['new', `on-${shellNode}`], { cwd, shellNode })
      expect([shellNode, manifest(`on-${shellNode}`).dependencies.node]).toEqual([shellNode, node])
    }
  })
})
