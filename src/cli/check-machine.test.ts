import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createFakeIo } from '../../test/cli/fake-io.ts'
import { checkClock, checkDirectory, checkNode, checkPeer, checkPort } from './check-machine.ts'
import { foldersBelow } from './watch-folder.ts'

let folder = ''
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'junctura-doctor-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const NOW = Date.UTC(2026, 5, 1)

describe('doctor looks at this machine', () => {
  it('fails on a Node that is too old, with the way out', () => {
    expect(checkNode('20.20.2')).toMatchObject({
      state: 'fail',
      fix: expect.stringContaining('npm i junctura node@24'),
    })
    expect(checkNode('22.17.9').state).toBe('fail')
    expect(['22.18.0', '24.0.0', '100.0.0'].map((one) => checkNode(one).state)).toEqual([
      'ok',
      'ok',
      'ok',
    ])
  })

  it('fails on a clock that was never set, and warns of one that went back', () => {
    const file = join(folder, 'junctura.db')
    expect(checkClock(0, folder).state).toBe('fail')
    expect(checkClock(Date.UTC(2101, 0, 1), folder).state).toBe('fail')
    expect(checkClock(NOW, folder).state).toBe('ok')
    writeFileSync(file, '')
    utimesSync(file, NOW / 1_000, NOW / 1_000)
    expect(checkClock(NOW - 3_600_000, folder)).toMatchObject({
      state: 'warn',
      text: expect.stringContaining('1h in the future'),
    })
    expect(checkClock(NOW, folder).state).toBe('ok')
  })

  it('fails on a data directory that is a file, and takes one that can be made', () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')

    expect(checkDirectory(file)[0]).toMatchObject({ name: 'data', state: 'fail' })
    expect(checkDirectory(join(folder, 'a', 'b'))[0]).toMatchObject({
      state: 'ok',
      text: expect.stringContaining('can be made'),
    })
    expect(checkDirectory(folder).map(({ name }) => name)).toEqual(['data', 'disk'])
  })

  it('fails on a missing package only where it is needed', () => {
    const peer = { name: 'no-such-package-here', feature: 'a feature' }

    expect(checkPeer(folder, { ...peer, needed: true })).toMatchObject({
      state: 'fail',
      fix: 'npm i no-such-package-here',
    })
    expect(checkPeer(folder, { ...peer, needed: false }).state).toBe('ok')
  })

  it('fails on an address that is not of this machine', async () => {
    const port = { name: 'public port', option: '--port', number: 0, host: '192.0.2.1' }

    expect(await checkPort(createFakeIo(), port)).toMatchObject({ state: 'fail' })
    expect((await checkPort(createFakeIo(), { ...port, host: '127.0.0.1' })).state).toBe('ok')
  })
})

describe('what dev watches', () => {
  it('leaves out what is not source: node_modules, builds, folders with a dot', () => {
    for (const path of ['src/deep', 'node_modules/x', '.junctura', '.git/refs', 'dist/a']) {
      mkdirSync(join(folder, path), { recursive: true })
    }

    expect(foldersBelow(folder)).toEqual([folder, join(folder, 'src'), join(folder, 'src/deep')])
  })
})
