import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding } from './finding.ts'
import type { SourceTree } from './source-tree.ts'

interface ForbiddenWords {
  readonly words: RegExp
  readonly where: RegExp
  readonly why: string
}

/** What betrays one machine, or points to one supplier where the client's setting should decide. */
const FORBIDDEN: readonly ForbiddenWords[] = [
  {
    words: /(^|[\s"'`(=:])\/(work|root|home\/\w+|Users\/\w+)\//,
    where: /./,
    why: 'a path of one machine',
  },
  {
    words: /(^|[\s"'`(=:])\/tmp\//,
    where: /\.md$/,
    why: 'a page should work on every machine: leave the folder to the reader',
  },
  {
    words:
      /\b(registry\.(npm|yarn)\w+\.\w+|files\.python\w+\.org|static\.crates\.\w+|\w+\.debian\.org)/,
    where: /./,
    why: "a registry's host belongs in the client's own settings",
  },
  {
    words: /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
    where: /^(?!.*\.test\.ts$)/,
    why: 'a private key',
  },
]

const OWN_PAGES = /^tools\/tidy\/(words|violations\.fixture)\.ts$|^package-lock\.json$|^LICENSE$/

export const checkWords = (tree: SourceTree): readonly Finding[] =>
  tree.files
    .filter((path) => !OWN_PAGES.test(path))
    .flatMap((path) => {
      const rules = FORBIDDEN.filter(({ where }) => where.test(path))
      return readFileSync(join(tree.root, path), 'utf8')
        .split('\n')
        .flatMap((text, index) =>
          rules
            .filter(({ words }) => words.test(text))
            .map(({ why }) => ({
              path,
              line: index + 1,
              rule: 'forbidden-words' as const,
              message: why,
            })),
        )
    })
