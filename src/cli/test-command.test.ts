import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createFakeIo, runCli } from '../../test/cli/fake-io.ts'
import { utf8 } from '../kernel/index.ts'
import { main } from './main.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const ORDERS = join(ROOT, 'examples/orders/integration.ts')
const PICKY = join(ROOT, 'src/testing/contract-tests/picky.fixture.ts')

let cwd = ''
beforeEach(() => void (cwd = mkdtempSync(join(tmpdir(), 'junctura-test-'))))
afterEach(() => rmSync(cwd, { recursive: true, force: true }))

const casesOf = (json: Readonly<Record<string, unknown>>) => {
  const { cases } = json
  return Array.isArray(cases) ? cases : []
}

const standIns = (): string => {
  writeFileSync(join(cwd, 'handlers.mjs'), 'export const store = async () => {}')
  return join(cwd, 'handlers.mjs')
}

describe('test', () => {
  it('tries the parts that are named, says in sentences what holds, and exits with 0', async () => {
    const { code, io } = await runCli(['test', ORDERS, '--only', 'acme', '--only', 'finance'])

    expect(code).toBe(0)
    expect(io.err()).toBe('')
    expect(io.out()).toMatch(/^webhook acme\n {2}ok {5}valid request {8}A genuine/)
    expect(io.out()).toContain('consumer finance\n')
    expect(io.out()).not.toContain('consumer warehouse')
    expect(io.out()).toContain('20 hold (seed 1)')
  })

  it('wraps a sentence on a narrow terminal, and shows how far it is on stderr', async () => {
    const options = { isTerminal: true, columns: 70, env: { NO_COLOR: '1' } }

    const { io } = await runCli(['test', ORDERS, '--only', 'finance'], options)

    expect(
      io
        .out()
        .split('\n')
        .filter((line) => line.length > 70),
    ).toEqual([])
    expect(io.err()).toContain('7/8')
  })

  it('prints one object with every case under --json, and exits with 1 for a finding', async () => {
    const { code, io } = await runCli(['test', PICKY, '--json', '--seed', '5'])

    expect(code).toBe(1)
    const json = io.json()
    expect(json).toMatchObject({ kind: 'contract-tests', name: 'picky', seed: 5, ok: false })
    expect(json).toMatchObject({ fails: 2, crashed: 0 })
    expect(casesOf(json).filter(({ outcome }) => outcome === 'fails')).toEqual([
      {
        part: 'webhook',
        name: 'maker',
        case: 'valid',
        label: 'valid request',
        outcome: 'fails',
        says: expect.stringContaining('TypeError: no such size here'),
        code: 'JUNCTURA_CONTRACT_TEST',
        fix: expect.stringContaining('--example FILE'),
      },
      expect.objectContaining({ part: 'consumer', name: 'store', case: 'takes' }),
    ])
  })

  it('takes good data and stand-ins from files', async () => {
    const files = { [join(cwd, 'good.json')]: utf8('{"things.made": {"id": "T-1", "size": 7777}}') }

    const good = await runCli(['test', PICKY, '--example', 'good.json'], { cwd, files })
    const line = ['test', PICKY, '--only', 'store', '--handlers', standIns()]
    const stoodIn = await runCli(line, { cwd })

    expect([good.code, good.io.err()]).toEqual([0, ''])
    expect([stoodIn.code, stoodIn.io.err()]).toEqual([0, ''])
  })

  it('exits with 64 when a name, an example or a module of handlers is not usable', async () => {
    writeFileSync(join(cwd, 'empty.js'), '')
    const files = {
      [join(cwd, 'list.json')]: utf8('[]'),
      [join(cwd, 'wrong.json')]: utf8('{"maker": {"id": 7}}'),
    }
    for (const options of [
      ['--only', 'nobody'],
      ['--example', 'list.json'],
      ['--example', 'wrong.json'],
      ['--handlers', 'empty.js'],
      ['--handlers', 'nowhere.js'],
    ]) {
      const { code, io } = await runCli(['test', PICKY, ...options], { cwd, files })
      expect([options, code, io.out()]).toEqual([options, 64, ''])
      expect(io.err()).toContain('fix:')
    }
  })

  it('exits with 1 and the findings when the integration would be refused at start', async () => {
    const source = `import { event, integration, jsonSchema } from ${JSON.stringify(join(ROOT, 'src/index.ts'))}
      export default integration('bare', { parts: [
        event('things.made', { versions: { 1: jsonSchema({ type: 'object' }) } })] })`
    writeFileSync(join(cwd, 'bare.ts'), source)

    const { code, io } = await runCli(['test', 'bare.ts'], { cwd })

    expect(code).toBe(1)
    expect(io.err()).toContain('it has no owner')
  })

  it('tells of code that throws where nobody awaits it, as a crash of the case it ran in', async () => {
    const io = createFakeIo()
    const code = await main(
      ['test', PICKY, '--only', 'store', '--handlers', standIns(), '--json'],
      {
        ...io,
        onUncaught(listener) {
          listener('rejection', new TypeError('a stray one'))
          return () => undefined
        },
      },
    )

    expect(code).toBe(70)
    expect(io.json()).toMatchObject({ ok: false, crashed: 1, fails: 0 })
    expect(casesOf(io.json())[0]).toMatchObject({ outcome: 'crashed', says: 'a stray one' })
  })

  it('exits with 1 when there is nothing to try, and with 70 when a case breaks', async () => {
    const library = JSON.stringify(join(ROOT, 'src/index.ts'))
    writeFileSync(
      join(cwd, 'nothing.ts'),
      `import { integration } from ${library}\nexport default integration('nothing', { parts: [] })`,
    )
    const nothing = await runCli(['test', 'nothing.ts'], { cwd })

    expect(nothing.code).toBe(1)
    expect(nothing.io.out()).toContain('nothing was tried')

    writeFileSync(
      join(cwd, 'broken.ts'),
      `import orders from ${JSON.stringify(ORDERS)}
      const { consumers } = orders
      const [first] = consumers
      const filter = { get filter() { throw new TypeError('a defect') } }
      const broken = Object.defineProperties({ ...first }, Object.getOwnPropertyDescriptors(filter))
      const copy = { ...orders, webhooks: [], consumers: [broken] }
      Object.defineProperty(copy, Symbol.for('junctura.integration'), { value: true })
      export default copy`,
    )
    const broken = await runCli(['test', 'broken.ts', '--json'], { cwd })

    expect(broken.code).toBe(70)
    expect(broken.io.json()).toMatchObject({ ok: false })
    expect(casesOf(broken.io.json())[0]).toMatchObject({ outcome: 'crashed', says: 'a defect' })
  })
})
