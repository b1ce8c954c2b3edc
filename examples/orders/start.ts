// `npm start [-- --once] [--port N] [--management-port N] [--data DIR] [--store URL]
// [--transport URL]`
//
// Starts the example as a process of its own, lets a misbehaving partner at it over real HTTP, and
// holds what was sent against what stands in the database file, read from this other process.
// Stays up to look around; with --once it ends, with 0 if every line of the table held, else 1.
import { once } from 'node:events'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createLiveView } from './live-view.ts'
import { createPartner, DEVELOPMENT_SECRET, type PartnerAnswer, type Send } from './partner.ts'
import { type EvidenceReader, readEvidence } from './evidence.ts'
import { openOrderTables } from './order-tables.ts'
import { isWell, renderReport, type Report } from './report.ts'
import { startExample } from './running-example.ts'
import { type Scenario, SCENARIOS } from './scenarios.ts'
import { acceptedIds, type Evidence, judge, type Outcome } from './verdict.ts'

const SETTLE_MS_MAX = 45_000

const { values: options } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    port: { type: 'string', default: '0' },
    'management-port': { type: 'string', default: '0' },
    data: { type: 'string' },
    // `postgres://…`: a database that no run has used before.
    store: { type: 'string', default: 'sqlite' },
    // `nats://…`, `kafka://…` or `amqp://…`.
    transport: { type: 'string', default: 'embedded' },
  },
})

const print = (text: string): void => void process.stdout.write(text)

const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())

const givenSecret = process.env['ACME_WEBHOOK_SECRET']
const dataDir = prepareDataDir()
const example = await startExample({
  dataDir,
  port: Number(options.port),
  managementPort: Number(options['management-port']),
  store: options.store,
  transport: options.transport,
})
try {
  print(`Webhook     ${example.url}/webhooks/acme\n`)
  print(`Management  ${example.managementUrl}\n`)
  print(`Data        ${relative(process.cwd(), dataDir)}\n`)
  for (const difference of example.differences) print(`Engines     ${difference}\n`)
  print(`Secret      ${givenSecret ? 'ACME_WEBHOOK_SECRET' : DEVELOPMENT_SECRET}\n\n`)
  const report = await demonstrate()
  if (!stopping.signal.aborted) print(`\n${renderReport(report)}\n`)
  if (!isWell(report)) process.exitCode = 1
  if (!options.once && !stopping.signal.aborted) await stayUp()
} finally {
  await example.stop()
}

/** A new folder for each run, so that none sees what another left behind. */
function prepareDataDir(): string {
  if (options.data !== undefined) {
    mkdirSync(options.data, { recursive: true })
    return resolve(options.data)
  }
  const parent = resolve(import.meta.dirname, '../../.junctura')
  mkdirSync(parent, { recursive: true })
  return mkdtempSync(join(parent, 'orders-'))
}

async function demonstrate(): Promise<Report> {
  const view = createLiveView(print, process.stdout.isTTY ? process.stdout.columns : undefined)
  const following = new AbortController()
  // Only people read the view; what is judged comes from elsewhere.
  const followed = example
    .follow((event) => view.show(event), following.signal)
    .catch((error: unknown) => print(`\nThe live view broke off: ${String(error)}\n`))
  const tables = await openOrderTables(options.store, dataDir)
  const evidence = readEvidence(example, tables)
  try {
    const send = createPartner(`${example.url}/webhooks/acme`, givenSecret || DEVELOPMENT_SECRET)
    const outcomes = await drive(send)
    const found = await settle(evidence, outcomes)
    return {
      verdicts: outcomes.map((outcome) => judge(outcome, found)),
      deadLetters: await evidence.deadLetters(),
      updates: { emitted: countEmitted(found), counted: await evidence.countUpdates() },
    }
  } finally {
    await tables.close()
    following.abort()
    await followed
    view.close()
  }
}

/** Sends every scenario after the other; inside one, `atOnce` queues at a time. */
async function drive(send: Send): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  for (const scenario of SCENARIOS) outcomes.push(await play(scenario, send))
  return outcomes
}

async function play(scenario: Scenario, send: Send): Promise<Outcome> {
  const answers: PartnerAnswer[][] = scenario.queues.map(() => [])
  const left = scenario.queues.entries()
  const worker = async (): Promise<void> => {
    for (const [index, queue] of left) {
      if (stopping.signal.aborted) return
      for (const request of queue) answers[index]?.push(await send(request))
    }
  }
  await Promise.all(Array.from({ length: scenario.atOnce }, worker))
  return { scenario, answers }
}

/** Waits until every accepted message is done, or held with a reason, for every consumer. */
async function settle(evidence: EvidenceReader, outcomes: readonly Outcome[]): Promise<Evidence> {
  const accepted = outcomes.flatMap((outcome) => acceptedIds(outcome).flat())
  const deadlineMs = performance.now() + SETTLE_MS_MAX
  while (performance.now() < deadlineMs && !stopping.signal.aborted) {
    const found = await evidence.read(accepted)
    if (found && (await evidence.countUpdates()) >= countEmitted(found)) return found
    await delay(200)
  }
  // Too late: what is there is what is judged, and what is missing fails its line.
  return evidence.readAsIs()
}

/** With every row, `warehouse` has emitted one update. */
function countEmitted({ effects }: Evidence): number {
  return effects.filter(({ consumer }) => consumer === 'warehouse').length
}

async function stayUp(): Promise<void> {
  print(`
It stays up; Ctrl-C ends it. Look around at ${example.managementUrl}, or in a second terminal:

  export JUNCTURA_MANAGEMENT_URL=${example.managementUrl}
  node bin/junctura.js dlq groups
  node bin/junctura.js tail --last 20
  node bin/junctura.js send acme --dup 5 --url ${example.url} \\
    --integration examples/orders/integration.ts
`)
  await Promise.race([once(stopping.signal, 'abort'), example.ended])
}
