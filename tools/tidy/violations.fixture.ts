import type { RuleName } from './finding.ts'

/** Path to content. */
export type Files = Readonly<Record<string, string>>

export const lines = (count: number, line: string): string => `${line}\n`.repeat(count)

export interface Violation {
  readonly what: string
  readonly files: Files
  readonly path: string
  readonly line?: number
}

/** Every rule with at least one violation that it must find, at the right place. */
export const VIOLATIONS: Readonly<Record<RuleName, readonly Violation[]>> = {
  'any-as-bang-budget': [
    {
      what: 'an `any` beyond the budget',
      files: { 'src/kernel/a.ts': 'export type Loose = any\n' },
      path: 'tools/tidy-budget.json',
    },
    {
      what: 'an `as` beyond the budget',
      files: { 'src/kernel/a.ts': "export const a = JSON.parse('1') as number\n" },
      path: 'tools/tidy-budget.json',
    },
    {
      what: 'a `!` beyond the budget',
      files: { 'src/kernel/a.ts': 'export const a = [1][0]!\n' },
      path: 'tools/tidy-budget.json',
    },
  ],
  'bare-error': [
    {
      what: 'an error without a code',
      files: { 'src/kernel/a.ts': "\nexport const a = () => {\n  throw new Error('no')\n}\n" },
      path: 'src/kernel/a.ts',
      line: 3,
    },
    {
      what: 'a thrown string',
      files: { 'src/kernel/a.ts': "export const a = () => {\n  throw 'no'\n}\n" },
      path: 'src/kernel/a.ts',
      line: 2,
    },
  ],
  'changelog-shape': [
    {
      what: 'no block for what is unreleased',
      files: { 'CHANGELOG.md': '# Changelog\n\n## 0.1.0 (2026-01-31)\n' },
      path: 'CHANGELOG.md',
      line: 3,
    },
    {
      what: 'a part that nobody looks for',
      files: { 'CHANGELOG.md': '# Changelog\n\n## Unreleased\n\n### Various\n' },
      path: 'CHANGELOG.md',
      line: 5,
    },
    {
      what: 'a release without a date',
      files: { 'CHANGELOG.md': '# Changelog\n\n## Unreleased\n\n## 0.1.0\n' },
      path: 'CHANGELOG.md',
      line: 5,
    },
    {
      what: 'releases in the wrong order',
      files: {
        'CHANGELOG.md':
          '# Changelog\n\n## Unreleased\n\n## 0.1.0 (2026-01-31)\n\n## 0.2.0 (2026-03-31)\n',
      },
      path: 'CHANGELOG.md',
    },
  ],
  console: [
    {
      what: 'a library that prints',
      files: { 'src/kernel/a.ts': "export const a = () => console.log('hello')\n" },
      path: 'src/kernel/a.ts',
      line: 1,
    },
    {
      what: 'a library that exits',
      files: { 'src/kernel/a.ts': 'export const a = () => process.exit(1)\n' },
      path: 'src/kernel/a.ts',
      line: 1,
    },
  ],
  'default-export': [
    {
      what: 'a default export',
      files: { 'src/kernel/a.ts': 'const a = 1\nexport default a\n' },
      path: 'src/kernel/a.ts',
      line: 2,
    },
  ],
  door: [
    {
      what: 'another room entered through its window',
      files: { 'src/policy/a.ts': "export { origin } from '../kernel/clock.ts'\n" },
      path: 'src/policy/a.ts',
      line: 1,
    },
    {
      what: 'a test that enters through the window',
      files: { 'test/simulation/a.test.ts': "import '../../src/kernel/clock.ts'\n" },
      path: 'test/simulation/a.test.ts',
      line: 1,
    },
    {
      what: 'a window used by a dynamic import',
      files: { 'src/policy/a.ts': "export const a = () => import('../kernel/clock.ts')\n" },
      path: 'src/policy/a.ts',
      line: 1,
    },
  ],
  'door-shape': [
    {
      what: 'logic in a door',
      files: { 'src/policy/index.ts': 'export const policy = 1\n' },
      path: 'src/policy/index.ts',
      line: 1,
    },
  ],
  'file-length': [
    {
      what: 'a file that became two things',
      files: { 'src/kernel/a.ts': lines(501, 'void 0') },
      path: 'src/kernel/a.ts',
    },
  ],
  'file-name': [
    {
      what: 'a file name in camel case',
      files: { 'src/kernel/retryPolicy.ts': 'export const a = 1\n' },
      path: 'src/kernel/retryPolicy.ts',
    },
  ],
  'forbidden-words': [
    {
      what: 'a path of one machine',
      files: { 'docs/start.md': 'Open `/home/someone/project/a.ts`.\n' },
      path: 'docs/start.md',
      line: 1,
    },
    {
      what: 'a temporary folder in a page',
      files: { 'docs/start.md': '\ncd /tmp/demo\n' },
      path: 'docs/start.md',
      line: 2,
    },
    {
      what: "a registry's host",
      files: { '.ci/run': `npm ci --registry https://registry.npmexample.org\n` },
      path: '.ci/run',
      line: 1,
    },
  ],
  'function-length': [
    {
      what: 'a function that does not fit on a screen',
      files: { 'src/kernel/a.ts': `export const a = () => {\n${lines(70, '  void 0')}}\n` },
      path: 'src/kernel/a.ts',
      line: 1,
    },
  ],
  'import-cycle': [
    {
      what: 'files that load each other',
      files: {
        'src/kernel/a.ts': "import { b } from './b.ts'\nexport const a = () => b\n",
        'src/kernel/b.ts': "import { a } from './a.ts'\nexport const b = () => a\n",
      },
      path: 'src/kernel/a.ts',
    },
  ],
  'line-length': [
    {
      what: 'a line that does not fit beside another',
      files: { 'src/kernel/a.ts': `export const a = ${'1 + '.repeat(30)}1\n` },
      path: 'src/kernel/a.ts',
      line: 1,
    },
    {
      what: 'a comment that does not fit',
      files: { 'src/kernel/a.ts': `// ${'word '.repeat(25)}\n` },
      path: 'src/kernel/a.ts',
      line: 1,
    },
  ],
  'markdown-link': [
    {
      what: 'a link to nothing',
      files: { 'docs/start.md': '# Start\n\nSee [the end](end.md).\n' },
      path: 'docs/start.md',
      line: 3,
    },
    {
      what: 'a link to a heading that is not there',
      files: { 'docs/start.md': '# Start\n\nSee [below](#the-end).\n' },
      path: 'docs/start.md',
      line: 3,
    },
    {
      what: 'a link out of the repository',
      files: { 'docs/start.md': 'See [it](../../other.md).\n' },
      path: 'docs/start.md',
      line: 1,
    },
  ],
  mock: [
    {
      what: 'a mock of our own code',
      files: { 'src/kernel/a.test.ts': "vi.mock('./clock.ts')\n" },
      path: 'src/kernel/a.test.ts',
      line: 1,
    },
  ],
  'name-word': [
    {
      what: 'a drawer for everything',
      files: { 'src/kernel/string-utils.ts': 'export const a = 1\n' },
      path: 'src/kernel/string-utils.ts',
    },
    {
      what: 'a name that says nothing',
      files: { 'src/kernel/a.ts': 'export class RetryManager {}\n' },
      path: 'src/kernel/a.ts',
    },
  ],
  nesting: [
    {
      what: 'blocks too deep to follow',
      files: {
        'src/kernel/a.ts': `export const a = () => {\n${'if (a) {'.repeat(5)}${'}'.repeat(5)}\n}\n`,
      },
      path: 'src/kernel/a.ts',
      line: 1,
    },
  ],
  'optional-peer': [
    {
      what: 'an optional peer that every user would have to install',
      files: { 'src/store/postgres/a.ts': "import pg from 'pg'\nvoid pg\n" },
      path: 'src/store/postgres/a.ts',
      line: 1,
    },
  ],
  parameters: [
    {
      what: 'a fifth parameter',
      files: { 'src/kernel/a.ts': 'export const a = (b, c, d, e, f) => [b, c, d, e, f]\n' },
      path: 'src/kernel/a.ts',
      line: 1,
    },
  ],
  parse: [
    {
      what: 'a file that is no TypeScript',
      files: { 'src/kernel/a.ts': 'export const = 1\n' },
      path: 'src/kernel/a.ts',
    },
  ],
  'real-world': [
    ...[
      'Date.now()',
      'new Date()',
      'Date()',
      'performance.now()',
      'process.hrtime.bigint()',
      'setTimeout(() => 0, 1)',
      'globalThis.setTimeout(() => 0, 1)',
      'setInterval(() => 0, 1)',
      'setImmediate(() => 0)',
      'AbortSignal.timeout(5)',
      'Math.random()',
      'crypto.randomUUID()',
      'crypto.getRandomValues(new Uint8Array(8))',
      "process.env['HOME']",
      "fetch('x')",
    ].map((use) => ({
      what: `\`${use}\` in a room`,
      files: { 'src/policy/a.ts': `\nexport const a = () => ${use}\n` },
      path: 'src/policy/a.ts',
      line: 2,
    })),
    {
      what: 'chance imported by name',
      files: { 'src/policy/a.ts': "export { randomUUID } from 'node:crypto'\n" },
      path: 'src/policy/a.ts',
      line: 1,
    },
    {
      what: 'a sleep in a unit test',
      files: { 'src/policy/a.test.ts': 'await new Promise((done) => setTimeout(done, 5))\n' },
      path: 'src/policy/a.test.ts',
      line: 1,
    },
  ],
  'room-table': [
    {
      what: 'a lower room that imports a higher one',
      files: {
        'src/kernel/a.ts': "export { policy } from '../policy/index.ts'\n",
        'src/policy/index.ts': "export * from './b.ts'\n",
        'src/policy/b.ts': 'export const policy = 1\n',
      },
      path: 'src/kernel/a.ts',
      line: 1,
    },
    {
      what: 'front and back that import each other',
      files: {
        'src/ingress/a.ts': "export { lane } from '../consumer/index.ts'\n",
        'src/consumer/index.ts': "export * from './lane.ts'\n",
        'src/consumer/lane.ts': 'export const lane = 1\n',
      },
      path: 'src/ingress/a.ts',
      line: 1,
    },
    {
      what: 'a room that is not in the table',
      files: { 'src/attic/a.ts': 'export const a = 1\n' },
      path: 'src/attic/a.ts',
    },
  ],
  'skipped-test': [
    {
      what: 'a skip without a reason',
      files: { 'src/kernel/a.test.ts': "it.skip('waits', () => {})\n" },
      path: 'src/kernel/a.test.ts',
      line: 1,
    },
    {
      what: 'a condition without a reason',
      files: { 'src/kernel/a.test.ts': "describe.skipIf(true)('waits', () => {})\n" },
      path: 'src/kernel/a.test.ts',
      line: 1,
    },
    {
      what: 'an only, whatever its reason',
      files: {
        'src/kernel/a.test.ts': "// Skipped: the rest is slow\nit.only('runs', () => {})\n",
      },
      path: 'src/kernel/a.test.ts',
      line: 2,
    },
  ],
  'todo-number': [
    {
      what: 'a mark without an issue',
      files: { 'src/kernel/a.ts': 'export const a = 1 // TODO make it two\n' },
      path: 'src/kernel/a.ts',
      line: 1,
    },
  ],
  'vendor-place': [
    {
      what: 'a vendor outside its place',
      files: { 'src/contract/a.ts': "import ajv from 'ajv'\nvoid ajv\n" },
      path: 'src/contract/a.ts',
      line: 1,
    },
    {
      what: 'a socket outside the adapters',
      files: { 'src/ingress/accept.ts': "import { createServer } from 'node:http'\n" },
      path: 'src/ingress/accept.ts',
      line: 1,
    },
    {
      what: 'a package that nobody declared',
      files: { 'src/kernel/a.ts': "import pad from 'left-pad'\nvoid pad\n" },
      path: 'src/kernel/a.ts',
      line: 1,
    },
    {
      what: 'a built-in module without its prefix',
      files: { 'src/kernel/a.ts': "import { join } from 'path'\nvoid join\n" },
      path: 'src/kernel/a.ts',
      line: 1,
    },
  ],
}
