import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { REPOSITORY } from './packed-project.fixture.ts'

/** One fenced block of the quick start: something to run, or something to write into a file. */
export interface QuickStartStep {
  readonly kind: 'run' | 'dev' | 'file' | 'diff'
  /** Of `file` and `diff`. */
  readonly file: string
  readonly text: string
}

/** Where the quick start stands: in the README once that has it. */
const PAGES = ['README.md']

/**
 * The fenced blocks of the section "Quick start", in their order. Their info strings say what each
 * is for: `sh run`, `sh dev`, `ts file=NAME`, `diff file=NAME`.
 */
export const readQuickStart = (): readonly QuickStartStep[] => {
  const section = PAGES.map(readSection).find((text) => text.includes('```sh run'))
  const blocks = section?.matchAll(/^```(\w+) (run|dev|file=\S+)\n(.*?)^```$/gms) ?? []
  return [...blocks].map(([, language, what = '', text = '']) => {
    if (what === 'run' || what === 'dev') return { kind: what, file: '', text }
    const kind = language === 'diff' ? 'diff' : 'file'
    return { kind, file: what.slice('file='.length), text }
  })
}

function readSection(page: string): string {
  const path = join(REPOSITORY, page)
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  return /^#+ Quick start\n(.*?)(?=^#{1,2} |$(?![^]))/ms.exec(text)?.[1] ?? ''
}

/**
 * Changes a text as a diff without line numbers says: where its old lines stand, in one place only,
 * its new ones are put.
 */
export const applyDiff = (text: string, diff: string): string => {
  const lines = diff.split('\n').filter((line) => line !== '')
  const side = (sign: '+' | '-'): string =>
    lines
      .filter((line) => line.startsWith(' ') || line.startsWith(sign))
      .map((line) => `${line.slice(1)}\n`)
      .join('')
  const parts = text.split(side('-'))
  if (parts.length !== 2) throw new Error(`the diff fits ${parts.length - 1} times:\n${diff}`)
  return parts.join(side('+'))
}
