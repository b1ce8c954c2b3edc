import { builtinModules } from 'node:module'
import type { Finding } from './finding.ts'
import { isTestPath, type ModuleLink, type SourceModule } from './source-module.ts'
import type { SourceTree } from './source-tree.ts'

/**
 * Where a package may be imported. What talks to the real world sits in a few named files, so that
 * the simulator can replace it and a vendor can be exchanged.
 */
const PLACES: readonly (readonly [package_: RegExp, place: RegExp])[] = [
  [/^(ajv|ajv-formats|re2js)($|\/)/, /^src\/schema\//],
  [/^node:sqlite$/, /^src\/(store\/sqlite\/|outbox\/sqlite-)/],
  [/^pg$/, /^src\/(store\/postgres\/|outbox\/postgres-)/],
  [/^@platformatic\/kafka$/, /^src\/transport\/kafka\//],
  [/^amqplib$/, /^src\/transport\/rabbitmq\//],
  [/^@nats-io\//, /^src\/transport\/nats\//],
  [/^@opentelemetry\//, /^src\/observe\//],
  [/^commander$/, /^src\/cli\//],
  [/^node:(http|https|http2|net|tls|dgram)$/, /(^|[-/])(listener|dialer)[^/]*\.ts$/],
  [/^node:child_process$/, /^src\/(cli|testing)\//],
  [/^node:timers(\/promises)?$/, /^src\/kernel\/system-clock\.ts$/],
  // What it measures is the process itself, and only the metrics see it.
  [/^node:perf_hooks$/, /^src\/(kernel\/system-clock|manage\/process-gauges)\.ts$/],
  // The user's own module: the one import whose name is not known here.
  [/^pathToFileURL\(path\)\.href$/, /^src\/cli\/load-integration\.ts$/],
]

export const checkVendors = (tree: SourceTree): readonly Finding[] =>
  tree.modules
    .filter((module) => module.path.startsWith('src/') && !isTestPath(module.path))
    .flatMap((module) => module.links.flatMap((link) => checkLink(tree, module, link)))

function checkLink(tree: SourceTree, module: SourceModule, link: ModuleLink): readonly Finding[] {
  const { specifier } = link
  if (specifier.startsWith('.')) return []
  const at = { path: module.path, line: link.line }
  const place = PLACES.find(([package_]) => package_.test(specifier))
  if (place !== undefined && !place[1].test(module.path)) {
    const message = `${specifier} belongs in ${place[1].source}`
    return [{ ...at, rule: 'vendor-place', message }]
  }
  if (isBuiltin(specifier) || specifier.startsWith('pathToFileURL(')) return []
  const name = packageName(specifier)
  if (tree.optionalPeers.includes(name)) {
    if (link.dynamic || link.typeOnly) return []
    const message = `${name} is an optional peer: load it with await import('${name}') when needed`
    return [{ ...at, rule: 'optional-peer', message }]
  }
  if (place !== undefined && tree.dependencies.includes(name)) return []
  const message = `${specifier} is no dependency with a place in tools/tidy/vendors.ts`
  return [{ ...at, rule: 'vendor-place', message }]
}

/** Only the `node:` form counts: without it a package of the same name could step in. */
const isBuiltin = (specifier: string): boolean =>
  specifier.startsWith('node:') &&
  (builtinModules.includes(specifier.slice(5)) || builtinModules.includes(specifier))

const packageName = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
