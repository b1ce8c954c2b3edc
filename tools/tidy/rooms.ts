import { posix } from 'node:path'
import type { Finding } from './finding.ts'
import { isTestPath, type ModuleLink, type SourceModule } from './source-module.ts'
import type { SourceTree } from './source-tree.ts'

/**
 * The rooms of the house, by level. A room may import any room of a lower level; rooms of one
 * level do not see each other. ARCHITECTURE.md says what each room holds.
 */
const ROOM_LEVELS: Readonly<Record<string, number>> = {
  kernel: 0,
  policy: 1,
  contract: 2,
  schema: 3,
  security: 3,
  observe: 3,
  store: 4,
  transport: 4,
  inbox: 5,
  outbox: 5,
  source: 5,
  ingress: 5,
  cdc: 5,
  sync: 5,
  consumer: 5,
  egress: 5,
  flow: 5,
  streams: 5,
  lint: 5,
  design: 5,
  runtime: 6,
  manage: 7,
  cli: 7,
  testing: 7,
}

/** Neighbours on one level that may be entered all the same, each with its reason. */
const NEIGHBOURS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ingress: { inbox: 'What passed the border is handed over; its types join the two.' },
  outbox: { inbox: 'A message is prepared in one way, wherever it is written.' },
  source: { inbox: 'A message is prepared in one way, wherever it is written.' },
  cli: {
    manage: 'A command that starts the runtime opens its management listener too.',
    testing: 'One command runs the contract tests that the test kit derives.',
  },
  transport: { store: 'The embedded and the PostgreSQL transport read the log where it lives.' },
}

/** Imports between rooms: the table, the doors, and no circles. */
export const checkRooms = (tree: SourceTree): readonly Finding[] => [
  ...tree.modules.flatMap(checkLinks),
  ...tree.modules.flatMap(checkDoorShape),
  ...findCycles(tree.modules),
]

/** `src/store/sqlite/x.ts` is in room `store`; `src/index.ts` and everything outside is in none. */
const roomOf = (path: string): string | undefined => /^src\/([^/]+)\/./.exec(path)?.[1]

const targetOf = (from: string, link: ModuleLink): string | undefined =>
  link.specifier.startsWith('.')
    ? posix.normalize(posix.join(posix.dirname(from), link.specifier))
    : undefined

function checkLinks(module: SourceModule): readonly Finding[] {
  const from = roomOf(module.path)
  const findings: Finding[] = []
  if (from !== undefined && ROOM_LEVELS[from] === undefined) {
    const message = `${from} is not a room; the rooms are in tools/tidy/rooms.ts`
    return [{ path: module.path, line: 0, rule: 'room-table', message }]
  }
  for (const link of module.links) {
    const target = targetOf(module.path, link)
    const to = target === undefined ? undefined : roomOf(target)
    if (target === undefined || to === undefined || to === from) continue
    const at = { path: module.path, line: link.line }
    if (!isDoor(target)) {
      findings.push({ ...at, rule: 'door', message: `enter ${to} by its index.ts, not ${target}` })
    }
    // A test may stand on anything: it needs a store and a virtual clock to try its room.
    if (from !== undefined && !isTestPath(module.path) && !mayImport(from, to)) {
      findings.push({ ...at, rule: 'room-table', message: `${from} may not import ${to}` })
    }
  }
  return findings
}

const isDoor = (path: string): boolean => path.endsWith('/index.ts')

function mayImport(from: string, to: string): boolean {
  const toLevel = ROOM_LEVELS[to]
  const fromLevel = ROOM_LEVELS[from]
  if (toLevel === undefined || fromLevel === undefined) return false
  return toLevel < fromLevel || NEIGHBOURS[from]?.[to] !== undefined
}

function checkDoorShape(module: SourceModule): readonly Finding[] {
  if (roomOf(module.path) === undefined || !isDoor(module.path)) return []
  const body = module.program['body']
  const statements = Array.isArray(body) ? body : []
  return statements
    .filter((statement) => !isReExport(statement))
    .map((statement) => ({
      path: module.path,
      line: module.lineAt(statement.start),
      rule: 'door-shape' as const,
      message: 'a door only exports what its files hold: `export * from ...`',
    }))
}

const isReExport = (statement: { readonly type: string; readonly source?: unknown }): boolean =>
  /^Export(All|Named)Declaration$/.test(statement.type) && Boolean(statement.source)

/** Circles of imports that load each other; `import type` is erased and cannot make one. */
function findCycles(modules: readonly SourceModule[]): readonly Finding[] {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const done = new Set<string>()
  const findings: Finding[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start >= 0) {
      const circle = [...trail.slice(start), path].join(' -> ')
      findings.push({ path, line: 0, rule: 'import-cycle', message: `imports itself: ${circle}` })
      return
    }
    if (done.has(path)) return
    for (const link of byPath.get(path)?.links ?? []) {
      const target = targetOf(path, link)
      if (target === undefined || link.typeOnly || link.dynamic) continue
      if (byPath.has(target)) visit(target, [...trail, path])
    }
    done.add(path)
  }
  for (const module of modules) visit(module.path, [])
  return findings
}
