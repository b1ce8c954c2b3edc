import { existsSync, globSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ERROR_CODES, LIMITS } from '../src/kernel/index.ts'
import { metricDefinitions } from '../src/observe/index.ts'
import { readExamples, readPage, writeExampleProject } from './docs/example-blocks.ts'
import { ERROR_NOTES } from './docs/error-notes.ts'
import { readReasons } from './docs/limit-page.ts'
import { METRIC_NOTES } from './docs/metric-notes.ts'
import { stalePages } from './docs.ts'
import { runCommand } from './run-command.ts'

const ROOT = dirname(import.meta.dirname)
const PAGES = globSync('docs/**/*.md', { cwd: ROOT }).map((path) => path.replaceAll('\\', '/'))
/** The tests, and the cases that every driver is held to. */
const TESTS = globSync('{src,test,examples}/**/{*.test,*-cases}.ts', { cwd: ROOT })
/** Held together with the code by others. */
const MADE_ELSEWHERE = /^docs\/(reference\/(cli|management-api)|explanation\/chaos-results)\.md$/

const headings = (page: string): readonly string[] =>
  [...readPage(ROOT, page).matchAll(/^## (\S+)$/gm)].map((match) => match[1] ?? '')

describe('the reference pages', () => {
  it('are what the code says now', () => {
    expect(stalePages(ROOT)).toEqual([])
  })

  it('have one section for each error code and none for another', () => {
    expect(headings('docs/reference/errors.md')).toEqual(Object.keys(ERROR_CODES).toSorted())
  })

  it('have a row with its reason for each limit', () => {
    const page = readPage(ROOT, 'docs/reference/limits.md')
    const rows = [...page.matchAll(/^\| `(\w+)` \| [^|]+ \| (.+) \|$/gm)]

    expect(rows.map((row) => row[1])).toEqual(Object.keys(LIMITS))
    expect(rows.filter((row) => (row[2] ?? '').length < 10)).toEqual([])
  })

  it('have one section for each metric', () => {
    expect(headings('docs/reference/metrics.md')).toEqual(
      metricDefinitions().map(({ name }) => name),
    )
  })

  it('add words to codes and metrics that exist, and to no others', () => {
    const names = metricDefinitions().map(({ name }) => name)

    expect(Object.keys(ERROR_NOTES).filter((code) => !Object.hasOwn(ERROR_CODES, code))).toEqual([])
    expect(Object.keys(METRIC_NOTES).filter((name) => !names.some((one) => one === name))).toEqual(
      [],
    )
  })

  it('read the reason of a limit from the comment above it, without its numbers', () => {
    const reasons = readReasons(
      '  /** One (F1).\n   * Two. */\n  a: 1,\n  b: 2,\n  /** Three. */\n  c: 3,',
    )

    expect([...reasons]).toEqual([
      ['a', 'One. Two.'],
      ['b', 'One. Two.'],
      ['c', 'Three.'],
    ])
  })
})

describe('the pages', () => {
  it('can all be reached from the map', () => {
    const reached = new Set<string>()
    const waiting = ['docs/README.md']
    for (let page = waiting.pop(); page !== undefined; page = waiting.pop()) {
      if (reached.has(page) || !existsSync(join(ROOT, page))) continue
      reached.add(page)
      waiting.push(...linksOf(page))
    }

    expect(PAGES.filter((page) => !reached.has(page))).toEqual([])
    expect(reached.size).toBeGreaterThan(20)
  })

  it('name only tests that exist, by title', () => {
    const text = readPage(ROOT, 'docs/explanation/guarantees.md')
    const cited = [...text.matchAll(/^- `([^`]+\.ts)`: \*(.+)\*$/gm)]

    const missing = cited.filter(([, path = '', title = '']) => {
      if (!existsSync(join(ROOT, path))) return true
      return !readPage(ROOT, path).includes(title)
    })

    expect(missing.map(([line]) => line)).toEqual([])
    expect(cited.length).toBeGreaterThan(40)
  })

  it('promise nothing by a number that no title of a test names (M44)', () => {
    const [promised = ''] = readPage(ROOT, 'docs/explanation/guarantees.md').split(
      '## Not promised',
    )
    const numbers = new Set(promised.match(/\bM\d+\b/g))
    const titles = TESTS.flatMap((path) =>
      [...readPage(ROOT, path).matchAll(/(?:title:|it\(|\]\)\()\s*(['"`])(.*)\1/g)].map(
        ([, , title = '']) => title,
      ),
    )
    const named = new Set(titles.flatMap((title) => title.match(/\bM\d+\b/g) ?? []))

    expect([...numbers].filter((number) => !named.has(number))).toEqual([])
    expect(numbers.size).toBeGreaterThan(25)
  })

  it('have examples that compile', { timeout: 60_000 }, async () => {
    const examples = PAGES.filter((page) => !MADE_ELSEWHERE.test(page)).flatMap((page) =>
      readExamples(page, readPage(ROOT, page)),
    )
    const { config } = writeExampleProject(ROOT, examples)

    const { status, output } = await runCommand('tsc', ['-p', config], { cwd: ROOT })

    expect(output).toBe('')
    expect(status).toBe(0)
    expect(examples.length).toBeGreaterThan(20)
  })

  it('would not compile if an example were wrong', () => {
    const text =
      '<!-- ts\nconst a = 1\n-->\n\n1. x\n\n   ```ts\n   a satisfies string\n   ```\n\n```ts whole\nb\n```\n'

    const [first, second] = readExamples('docs/x.md', text)

    expect(first).toEqual({
      page: 'docs/x.md',
      line: 7,
      code: 'const a = 1\na satisfies string\n\nexport {}\n',
    })
    expect(second?.code).toBe('b\n\nexport {}\n')
  })
})

function linksOf(page: string): readonly string[] {
  return [...readPage(ROOT, page).matchAll(/\]\(([^)\s#]+\.md)(?:#[^)]*)?\)/g)]
    .map((match) => posix.normalize(posix.join(posix.dirname(page), match[1] ?? '')))
    .filter((target) => target.startsWith('docs/') || target.startsWith('src/'))
}
