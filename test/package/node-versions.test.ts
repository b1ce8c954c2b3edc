import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createUserFolder,
  installNode,
  installTarball,
  packInto,
  REPOSITORY,
  type UserFolder,
} from './packed-project.fixture.ts'

const BIN = join('node_modules', 'junctura', 'bin', 'junctura.js')

describe('the packed command', () => {
  let user: UserFolder

  beforeAll(async () => {
    user = createUserFolder('versions')
    await installTarball(user, await packInto(user))
  })

  afterAll(() => user?.remove())

  describe('on Node 20, which is too old', () => {
    let nodeFolder: UserFolder
    let node: string

    beforeAll(async () => {
      nodeFolder = createUserFolder('node-20')
      node = await installNode(nodeFolder, 20)
    })

    afterAll(() => nodeFolder?.remove())

    it('says so, prints what to install, and exits with the code for wrong usage', async () => {
      const { status, output } = await user.run(node, BIN, '--version')

      expect(output).toMatch(/this is Node 20\.\d+\.\d+; Junctura needs Node >= 22\.18/)
      expect(output).toContain('npm i junctura node@24')
      expect(status).toBe(64)
    })

    it('runs with the newer Node that the project brings, as the advice promises', async () => {
      bringNode(user)
      const { status, output } = await user.run(node, BIN, '--version')
      rmSync(join(user.path, 'node_modules', 'node'), { recursive: true })

      expect(output).toMatch(/^\d+\.\d+\.\d+\n$/)
      expect(status).toBe(0)
    })
  })
})

/** Puts this repository's own Node into the folder, as `npm i node@24` would. */
function bringNode(user: UserFolder): void {
  const source = join(REPOSITORY, 'node_modules', 'node')
  const target = join(user.path, 'node_modules', 'node')
  expect(existsSync(join(source, 'bin', 'node'))).toBe(true)
  mkdirSync(target, { recursive: true })
  cpSync(join(source, 'package.json'), join(target, 'package.json'))
  cpSync(join(source, 'bin'), join(target, 'bin'), { recursive: true })
}
