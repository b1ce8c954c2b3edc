import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A TypeScript example of a page, as a module that a compiler can check. */
export interface ExampleBlock {
  readonly page: string
  /** Line of its fence in the page. */
  readonly line: number
  readonly code: string
}

/**
 * The blocks of a page that are fenced as `ts`. What an example leaves out, so that a reader sees
 * only what matters, stands in a comment of the page: `<!-- ts … -->` is put before each block that
 * follows it. A block fenced as `ts whole` stands alone.
 */
export const readExamples = (page: string, text: string): readonly ExampleBlock[] => {
  const examples: ExampleBlock[] = []
  let context = ''
  const pattern = /<!-- ts\n([^]*?)-->|^( *)```ts([^\n]*)\n([^]*?)^ *```$/gm
  for (const match of text.matchAll(pattern)) {
    const [, newContext, indent = '', kind = '', code = ''] = match
    if (newContext !== undefined) {
      context = newContext
      continue
    }
    const line = text.slice(0, match.index).split('\n').length
    const body = code.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
    const before = /\bwhole\b|\bfile=/.test(kind) ? '' : context
    examples.push({ page, line, code: `${before}${body}\nexport {}\n` })
  }
  return examples
}

/** Writes the examples as one project of the compiler; gives the path of its configuration. */
export const writeExampleProject = (
  root: string,
  examples: readonly ExampleBlock[],
): { readonly config: string; nameOf(example: ExampleBlock): string } => {
  const folder = join(root, '.tmp', 'doc-examples')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const nameOf = ({ page, line }: ExampleBlock): string =>
    `${page.replace(/\.md$/, '').replaceAll('/', '-')}-${line}.ts`
  for (const example of examples) writeFileSync(join(folder, nameOf(example)), example.code)
  const config = join(folder, 'tsconfig.json')
  writeFileSync(config, JSON.stringify(PROJECT))
  return { config, nameOf }
}

/** As strict as the project itself; only what an example does not need is off. */
const PROJECT = {
  extends: '../../tsconfig.json',
  compilerOptions: {
    isolatedDeclarations: false,
    declaration: false,
    paths: {
      junctura: ['../../src/index.ts'],
      'junctura/testing': ['../../src/testing/index.ts'],
    },
  },
  include: ['*.ts'],
}

/** A page as a reader has it. */
export const readPage = (root: string, path: string): string =>
  readFileSync(join(root, path), 'utf8')
