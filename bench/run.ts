import { execFile, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import type { Overview } from 'junctura'
import { build } from '../tools/build.ts'

/**
 * `npm run bench -- [--quick]`: the main path beside its raw twin, in turn, in one run, with the
 * load generator in a process of its own. Writes bench/results/main-path.{json,md}, whatever comes
 * out.
 */
const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const root = dirname(import.meta.dirname)
const pairs = values.quick ? 1 : 5
const seconds = values.quick ? '1' : '4'
const run = promisify(execFile)

interface Load {
  readonly requests: number
  readonly failed: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

const script = (name: string): string => join(root, 'bench', name)

async function measure<T>(name: string, ...args: readonly string[]): Promise<T> {
  const { stdout } = await run(process.execPath, [script(name), ...args], { timeout: 120_000 })
  const result: T = JSON.parse(stdout)
  return result
}

interface Server {
  readonly url: string
  readonly managementUrl?: string
  stop(): Promise<void>
}

/** Starts a server that prints one line of JSON with its URL. */
async function start(args: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const line = await new Promise<string>((resolve) => {
    createInterface({ input: child.stdout }).once('line', resolve)
  })
  const ready: Pick<Server, 'url' | 'managementUrl'> = JSON.parse(line)
  return {
    ...ready,
    stop: () =>
      new Promise((resolve) => {
        child.once('close', () => resolve())
        child.kill('SIGTERM')
      }),
  }
}

async function startOurs(): Promise<Server> {
  const directory = mkdtempSync(join(tmpdir(), 'junctura-bench-'))
  const command = join(root, 'bin', 'junctura.js')
  const example = join(root, 'examples', 'orders', 'integration.ts')
  const ports = ['--port', '0', '--management-port', '0']
  const server = await start([command, 'start', example, '--data', directory, ...ports])
  return {
    ...server,
    url: `${server.url}/webhooks/acme`,
    async stop() {
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** From now until every consumer is through, in seconds: what was only put off counts as well. */
async function waitForConsumers({ managementUrl = '' }: Server): Promise<number> {
  const fromMs = performance.now()
  for (;;) {
    const response = await fetch(`${managementUrl}/api/v1/overview`)
    const overview: Overview = JSON.parse(await response.text())
    if (overview.consumers.every(({ lag, inFlight }) => lag + inFlight === 0)) break
    await delay(10)
  }
  return (performance.now() - fromMs) / 1_000
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

const built = await build(root)
if (!built.ok) throw new Error(built.problem)

const webhook: { ours: Load; raw: Load; donePerSecond: number }[] = []
for (let pair = 0; pair < pairs; pair++) {
  const ours = await startOurs()
  const ourLoad = await measure<Load>('webhook-load.ts', ours.url, seconds, '64', '0')
  const behindSeconds = await waitForConsumers(ours)
  await ours.stop()
  const loadSeconds = ourLoad.requests / ourLoad.perSecond
  const donePerSecond = Math.round(ourLoad.requests / (loadSeconds + behindSeconds))
  const raw = await start([script('raw-webhook.ts')])
  const rawLoad = await measure<Load>('webhook-load.ts', `${raw.url}/`, seconds, '64', '0')
  await raw.stop()
  webhook.push({ ours: ourLoad, raw: rawLoad, donePerSecond })
  console.log(
    `webhook ${donePerSecond}/s (${ourLoad.perSecond}/s answered), raw twin ${rawLoad.perSecond}/s`,
  )
}
const saturation = median(webhook.map((one) => one.donePerSecond))
const open = await startOurs()
const rate = String(Math.floor(saturation * 0.7))
const steady = await measure<Load>('webhook-load.ts', open.url, seconds, '128', rate)
await open.stop()

const publish: { ours: number; bare: number }[] = []
for (let pair = 0; pair < pairs; pair++) {
  const ours = await measure<{ perSecond: number }>('publish-path.ts', 'ours', seconds)
  const bare = await measure<{ perSecond: number }>('publish-path.ts', 'bare', seconds)
  publish.push({ ours: ours.perSecond, bare: bare.perSecond })
  console.log(`publish ${ours.perSecond}/s, bare log ${bare.perSecond}/s`)
}

const webhookRatio = median(webhook.map((one) => one.donePerSecond / one.raw.perSecond))
const publishRatio = median(publish.map(({ ours, bare }) => ours / bare))
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root })
  .toString()
  .trim()
const machine = {
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.versions.node,
  loadBefore: loadavg()[0],
  commit,
}
const results = { machine, pairs, seconds, webhook, steady, publish, webhookRatio, publishRatio }
const rounded = (ratio: number): string => ratio.toFixed(2)
const table = `# The main path beside its raw twin

${machine.cpu ?? 'unknown processor'}, ${machine.cores} cores shared with the load generator, Node
${machine.node}, commit ${commit}; ${pairs} pairs in turn, ${seconds} s each, medians.

| What | ours | twin | ours / twin |
|---|---|---|---|
| Signed webhook in, durable 202, three \`ctx.tx\` consumers and a fourth, all of them through: requests/s at saturation, 64 connections | ${saturation} | ${median(webhook.map(({ raw }) => raw.perSecond))} | ${rounded(webhookRatio)} |
| publish, durable, handler, done, 1 KB, 512 in flight, against a bare SQLite log in batches of 100 | ${median(publish.map(({ ours }) => ours))} | ${median(publish.map(({ bare }) => bare))} | ${rounded(publishRatio)} |

Open loop at 70 % of saturation (${rate}/s): answer after ${steady.p50} ms p50, ${steady.p99} ms p99,
measured from the moment a request was due; ${steady.failed} of ${steady.requests} failed.

The twin of the first row does the same HTTP, HMAC, parse and validation with no storage and no
consumers. Regenerate with \`npm run bench\`.
`
if (!values.quick) {
  mkdirSync(script('results'), { recursive: true })
  writeFileSync(script('results/main-path.json'), `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(script('results/main-path.md'), table)
}
console.log(table)
