import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { describeReport, passes, tidy } from './tidy.ts'
import { countEscapes, settleBudget } from './tidy/budget.ts'
import { type Finding, RULES } from './tidy/finding.ts'
import { readSourceTree } from './tidy/source-tree.ts'
import { type Files, lines, VIOLATIONS } from './tidy/violations.fixture.ts'

const GOOD_CHANGELOG = '# Changelog\n\n## Unreleased\n\n### Features\n\n- It starts.\n'
const CLEAN: Files = {
  'CHANGELOG.md': GOOD_CHANGELOG,
  'package.json': JSON.stringify({
    dependencies: { ajv: '1', commander: '1' },
    peerDependenciesMeta: { pg: { optional: true } },
  }),
  'src/kernel/index.ts': "export * from './clock.ts'\n",
  'src/kernel/clock.ts': 'export const origin = 0\n',
}

const roots: string[] = []

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true })
})

/** Writes a clean little project with `files` on top. */
function plant(files: Files): string {
  const root = mkdtempSync(join(tmpdir(), 'junctura-tidy-'))
  roots.push(root)
  for (const [path, text] of Object.entries({ ...CLEAN, ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return root
}

const findingsOf = (files: Files): readonly Finding[] => tidy(plant(files)).findings

describe.each(RULES)('the rule %s', (rule) => {
  it.each(VIOLATIONS[rule])('finds $what', ({ files, path, line }) => {
    const findings = findingsOf(files)

    expect(findings).toContainEqual(
      expect.objectContaining({ rule, path, ...(line === undefined ? {} : { line }) }),
    )
  })

  it('has a violation that it is tried on', () => {
    expect(VIOLATIONS[rule].length).toBeGreaterThan(0)
  })
})

describe('a finding too many would be worked around, so tidy says nothing about', () => {
  it.each<[string, Files]>([
    ['a clean tree', {}],
    [
      'a virtual parameter of a banned name',
      { 'src/policy/a.ts': 'export const a = (fetch: () => number) => fetch()\n' },
    ],
    [
      'a label of a banned name',
      { 'src/policy/a.ts': 'export const a = { fetch: 1 }\nexport const b = a.fetch\n' },
    ],
    [
      'a date of a given time',
      { 'src/policy/a.ts': 'export const a = (ms: number) => new Date(ms)\n' },
    ],
    [
      'a listener that opens a socket',
      { 'src/ingress/http-listener.ts': "import 'node:http'\nsetTimeout(() => 0, 1)\n" },
    ],
    [
      'real time in a test with real servers',
      { 'src/policy/a.int.test.ts': 'setTimeout(() => 0, 1)\n' },
    ],
    [
      'a test that measures',
      { 'src/policy/a.test.ts': 'export const startedNs = process.hrtime.bigint()\n' },
    ],
    [
      'the optional peer where it is needed',
      {
        'src/store/postgres/a.ts':
          "import type { Pool } from 'pg'\nexport type P = Pool\nexport const a = () => import('pg')\n",
      },
    ],
    [
      'a type that points back',
      {
        'src/kernel/a.ts': "import type { B } from './b.ts'\nexport interface A { b: B }\n",
        'src/kernel/b.ts': "import type { A } from './a.ts'\nexport interface B { a: A }\n",
      },
    ],
    [
      'a test that stands on a higher room',
      {
        'src/kernel/a.test.ts': "import '../policy/index.ts'\n",
        'src/policy/index.ts': "export * from './b.ts'\n",
        'src/policy/b.ts': 'export const b = 1\n',
      },
    ],
    [
      'a list of tests longer than a function',
      {
        'src/kernel/a.test.ts': `describe('x', () => {\n  it('y', () => 0)\n${lines(80, '  void 0')}})\n`,
      },
    ],
    [
      'a factory whose functions are short',
      {
        'src/kernel/a.ts': `export const a = () => {\n${`  const b = () => {\n${lines(30, '    void 0')}  }\n`.repeat(3)}}\n`,
      },
    ],
    ['a long text', { 'src/kernel/a.ts': `export const a =\n  '${'x'.repeat(120)}'\n` }],
    ['`as const`', { 'src/kernel/a.ts': 'export const a = [1] as const\n' }],
    [
      'a long chain of else if',
      {
        'src/kernel/a.ts': `export const a = (b: number) => {\n  ${Array.from({ length: 9 }, (_, n) => `if (b === ${n}) void b`).join('\n  else ')}\n}\n`,
      },
    ],
    [
      'a skip with its reason',
      {
        'src/kernel/a.test.ts':
          "// Skipped: the machine has no disk to fill.\nit.skip('waits', () => {})\n",
      },
    ],
    [
      'a mark with its issue',
      { 'src/kernel/a.ts': '// TODO(#12): make it two.\nexport const a = 1\n' },
    ],
    [
      'links that lead somewhere',
      {
        'docs/a.md':
          '# The end, at last\n\n[up](../CHANGELOG.md#unreleased) [here](#the-end-at-last) [out](https://example.com)\n\n```md\n[not a link](nowhere.md)\n```\n',
      },
    ],
    [
      'the default export of an integration',
      { 'examples/orders/integration.ts': 'export default 1\n' },
    ],
  ])('%s', (_, files) => {
    expect(findingsOf(files)).toEqual([])
  })
})

describe('tidy', () => {
  it('fails when it read no module, because a check of nothing always passes', () => {
    const root = mkdtempSync(join(tmpdir(), 'junctura-tidy-'))
    roots.push(root)
    writeFileSync(join(root, 'CHANGELOG.md'), GOOD_CHANGELOG)

    const report = tidy(root)

    expect(report.findings).toEqual([])
    expect(passes(report)).toBe(false)
    expect(describeReport(report)).toContain('looked at nothing')
  })

  it('says how much it read', () => {
    const report = tidy(plant({}))

    expect(passes(report)).toBe(true)
    expect(describeReport(report)).toContain('read 2 modules of src and 1 pages')
  })

  it('lowers the budget to what is used and never raises it', () => {
    const root = plant({
      'tools/tidy-budget.json': '{ "any": 5, "as": 1, "nonNull": 0 }',
      'src/kernel/a.ts': 'export const a = [1 as number, 2 as number, [3][0]!] as const\n',
    })
    const tree = readSourceTree(root)

    expect(countEscapes(tree)).toEqual({ any: 0, as: 2, nonNull: 1 })
    expect(settleBudget(tree)).toEqual({ any: 0, as: 1, nonNull: 0 })
  })
})
