import { existsSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import type { Finding } from './finding.ts'
import type { SourceTree } from './source-tree.ts'

const CHANGELOG = 'CHANGELOG.md'
const CHANGELOG_PARTS = ['For operators', 'Safety and speed', 'Features', 'Internals']

export const checkPages = (tree: SourceTree): readonly Finding[] => [
  ...pagePaths(tree).flatMap((path) => checkLinks(tree, path)),
  ...checkChangelog(tree),
]

export const pagePaths = (tree: SourceTree): readonly string[] =>
  tree.files.filter((path) => path.endsWith('.md') && !path.startsWith('api/'))

function checkLinks(tree: SourceTree, path: string): readonly Finding[] {
  return proseLines(tree.root, path).flatMap((text, index) =>
    [...text.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)].flatMap((match) => {
      const problem = linkProblem(tree.root, path, match[1] ?? '')
      if (problem === undefined) return []
      return [{ path, line: index + 1, rule: 'markdown-link' as const, message: problem }]
    }),
  )
}

function linkProblem(root: string, page: string, link: string): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(link)) return undefined
  const [file = '', anchor] = link.split('#')
  const decoded = decodeURIComponent(file)
  const target = decoded === '' ? page : posix.normalize(posix.join(posix.dirname(page), decoded))
  if (target.startsWith('..')) return `${link} leads out of the repository`
  if (!existsSync(join(root, target))) return `${link} leads nowhere`
  if (anchor === undefined || !target.endsWith('.md')) return undefined
  if (statSync(join(root, target)).isDirectory()) return undefined
  return anchorsOf(root, target).has(anchor) ? undefined : `${link}: no such heading in ${target}`
}

/** The anchors that a Markdown page gets on the usual hosts: lower case, dashes, no signs. */
function anchorsOf(root: string, page: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  const seen = new Map<string, number>()
  for (const line of proseLines(root, page)) {
    for (const match of line.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(match[1] ?? '')
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1]
    if (heading === undefined) continue
    const slug = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-')
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    anchors.add(count === 0 ? slug : `${slug}-${count}`)
  }
  return anchors
}

/** The lines of a page with code blanked out, so that line numbers stay true. */
function proseLines(root: string, path: string): readonly string[] {
  let fence: string | undefined
  return readFileSync(join(root, path), 'utf8')
    .split('\n')
    .map((line) => {
      const mark = /^\s*(```+|~~~+)/.exec(line)?.[1]
      if (fence === undefined && mark !== undefined) fence = mark
      else if (fence !== undefined && mark?.startsWith(fence)) fence = undefined
      else if (fence === undefined)
        return line.startsWith('#') ? line : line.replace(/`[^`]*`/g, '')
      return ''
    })
}

/** `# Changelog`, then `## Unreleased`, then releases, newest first, in parts of fixed names. */
function checkChangelog(tree: SourceTree): readonly Finding[] {
  const report = (line: number, message: string): Finding => ({
    path: CHANGELOG,
    line,
    rule: 'changelog-shape',
    message,
  })
  if (!tree.files.includes(CHANGELOG)) return [report(0, 'is missing')]
  const lines = proseLines(tree.root, CHANGELOG)
  const findings: Finding[] = []
  if (lines[0] !== '# Changelog') findings.push(report(1, 'starts with "# Changelog"'))
  const releases = lines.flatMap((text, index) =>
    text.startsWith('## ') ? [{ text: text.slice(3), line: index + 1 }] : [],
  )
  if (releases[0]?.text !== 'Unreleased') {
    findings.push(report(releases[0]?.line ?? 0, 'the first release is "## Unreleased"'))
  }
  for (const { text, line } of releases.slice(1)) {
    if (/^\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\)$/.test(text)) continue
    findings.push(report(line, 'a release is "## 1.2.3 (2026-01-31)"'))
  }
  const dates = releases.map(({ text }) => /\((.*)\)/.exec(text)?.[1] ?? '9999')
  if (dates.some((date, index) => index > 0 && date > (dates[index - 1] ?? ''))) {
    findings.push(report(0, 'releases stand newest first'))
  }
  lines.forEach((text, index) => {
    if (!text.startsWith('### ') || CHANGELOG_PARTS.includes(text.slice(4))) return
    findings.push(report(index + 1, `a part is one of: ${CHANGELOG_PARTS.join(', ')}`))
  })
  return findings
}
