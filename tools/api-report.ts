import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Declaration, readPublicDeclarations } from './public-declarations.ts'

/** The doors of the package, each with the page that holds what it promises. */
const DOORS = [
  { name: 'junctura', entry: 'dist/index.d.ts', page: 'api/junctura.api.md' },
  { name: 'junctura/testing', entry: 'dist/testing/index.d.ts', page: 'api/testing.api.md' },
] as const

type Door = (typeof DOORS)[number]

/**
 * Everything a user can see through one door, as one page that can be compared: a change of the
 * public API shows up in review as a change of this page.
 */
export const renderDoor = (root: string, door: Door): string => {
  const declarations = readPublicDeclarations(join(root, door.entry))
  const exported = declarations.filter((item) => item.exportedAs !== undefined)
  const reached = declarations.filter((item) => item.exportedAs === undefined)
  const lines = [
    `# Public API of \`${door.name}\``,
    '',
    'Made by `node tools/api-report.ts` from the built types; `--check` fails when it differs.',
    `${exported.length} names are exported, ${reached.length} more types are reached through them.`,
    '',
    '## Exported',
    '',
    ...exported.flatMap(renderDeclaration),
  ]
  if (reached.length > 0) lines.push('## Reached', '', ...reached.flatMap(renderDeclaration))
  return `${lines.join('\n').trimEnd()}\n`
}

function renderDeclaration(item: Declaration): readonly string[] {
  const alias = item.exportedAs === undefined || item.exportedAs === item.name
  const heading = alias ? item.name : `${item.exportedAs} (declared as ${item.name})`
  return [`### ${heading}`, '', '```ts', item.text, '```', '']
}

function checkDoor(root: string, door: Door): string | undefined {
  if (!existsSync(join(root, door.entry))) return `${door.entry} is missing: npm run build`
  const path = join(root, door.page)
  const kept = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const now = renderDoor(root, door)
  if (kept === now) return undefined
  return `${door.page} differs from the built types, first at line ${firstDifference(kept, now)}.
If the change is meant: node tools/api-report.ts, and say it in CHANGELOG.md.`
}

function firstDifference(left: string, right: string): number {
  const before = left.split('\n')
  return 1 + right.split('\n').findIndex((line, index) => line !== before[index])
}

function writeDoor(root: string, door: Door): string | undefined {
  if (!existsSync(join(root, door.entry))) return `${door.entry} is missing: npm run build`
  mkdirSync(dirname(join(root, door.page)), { recursive: true })
  writeFileSync(join(root, door.page), renderDoor(root, door))
  return undefined
}

if (import.meta.main) {
  const root = dirname(import.meta.dirname)
  const handle = process.argv.includes('--check') ? checkDoor : writeDoor
  const problems = DOORS.flatMap((door) => handle(root, door) ?? [])
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  process.stdout.write(`api report: ${DOORS.length} doors, ${problems.length} problem(s)\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
}
