// One PostgreSQL store shared by several processes, each of which publishes and works. Prints one
// line of JSON.
//   node bench/processes-load.ts URL all|pair|parts PROCESSES
//     [--seconds S] [--in-flight F] [--warm W]
//   node bench/processes-load.ts child URL SCHEMA ROLES    (its own further processes)
// `all` runs them all at once, with F messages in flight altogether, after each has sent W to warm
// up. `pair` is one that only publishes and one that only handles, at the same time: no message
// stays within a process. `parts` measures what a model needs besides: a process that only
// publishes, and then one that only handles what is there.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { consumer, createRuntime, event, integration, jsonSchema, type Role, team } from 'junctura'
import { openServerCpu } from './server-cpu.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '3' },
    'in-flight': { type: 'string', default: '512' },
    warm: { type: 'string', default: '10000' },
  },
})
const seconds = Number(values.seconds)
const inFlight = Number(values['in-flight'])
const warm = Number(values.warm)
const padding = 'x'.repeat(940)
const KEYS = 1_000
const TELL_MS = 50
/** So that several processes can share the work. */
const PARTITIONS = 8
/** By then each has its part of it. */
const SHARED_OUT_MS = 3_000

const owner = team('bench')
const Sample = event('bench.measured', {
  owner,
  key: 'key',
  versions: {
    1: jsonSchema<{ readonly key: string; readonly padding: string }>({
      type: 'object',
      required: ['key', 'padding'],
      properties: { key: { type: 'string' }, padding: { type: 'string' } },
    }),
  },
})

/** What a child says, in turn: that it is ready, how far it is, and what it took. */
type Said =
  | { readonly kind: 'ready' }
  | { readonly kind: 'handled'; readonly count: number }
  | { readonly kind: 'sent'; readonly count: number }
  | { readonly kind: 'used'; readonly cpuUs: number; readonly handled: number }

/** What a child is told. */
type Told =
  | { readonly kind: 'warm'; readonly messages: number; readonly inFlight: number }
  | { readonly kind: 'load'; readonly seconds: number; readonly inFlight: number }
  | { readonly kind: 'begin' }
  | { readonly kind: 'end' }

async function child(url: string, schema: string, roles: readonly Role[]): Promise<void> {
  let handled = 0
  const say = (said: Said): void => void (process.connected && process.send?.(said))
  const reader = consumer('reader', {
    owner,
    on: Sample,
    from: 'earliest',
    idempotency: 'natural',
    retry: { attempts: 1, first: '1s', max: '10s' },
    deadLetter: { alert: owner.oncall },
    afterDeadLetter: 'park',
    replay: 'safe',
    concurrency: 256,
    partitions: PARTITIONS,
    handle: () => {
      handled += 1
      return Promise.resolve()
    },
  })
  const runtime = await createRuntime(integration('bench', { parts: [reader] }), {
    store: { engine: 'postgres', url, schema },
    roles,
  })
  let cpu = process.cpuUsage()
  let before = handled
  const telling = setInterval(() => say({ kind: 'handled', count: handled }), TELL_MS)
  process.on('message', (told: Told) => {
    if (told.kind === 'end') void end()
    else if (told.kind === 'begin') begin()
    else void load(told).then((count) => say({ kind: 'sent', count }))
  })
  /** What it took to start, to share out the work and to warm up is not of a message. */
  const begin = (): void => {
    cpu = process.cpuUsage()
    before = handled
  }
  const load = async (told: Extract<Told, { kind: 'load' | 'warm' }>): Promise<number> => {
    begin()
    let sent = 0
    const startedMs = performance.now()
    const goesOn = (): boolean =>
      told.kind === 'warm'
        ? sent < told.messages
        : performance.now() < startedMs + told.seconds * 1_000
    const sender = async (): Promise<void> => {
      while (goesOn()) {
        sent += 1
        await runtime.publish(Sample.of({ key: `k${process.pid}-${sent % KEYS}`, padding }))
      }
    }
    await Promise.all(Array.from({ length: told.inFlight }, sender))
    return sent
  }
  const end = async (): Promise<void> => {
    const { user, system } = process.cpuUsage(cpu)
    clearInterval(telling)
    say({ kind: 'used', cpuUs: user + system, handled: handled - before })
    await runtime.close()
    process.disconnect()
  }
  say({ kind: 'ready' })
}

/** The other end of a child. */
interface Process {
  readonly handled: number
  load(count: number): Promise<number>
  /** Sends a few that are not counted: before code is compiled it takes several times as long. */
  warm(count: number): Promise<number>
  /** What it uses is counted from here. */
  begin(): void
  end(): Promise<Extract<Said, { kind: 'used' }>>
}

async function start(url: string, schema: string, roles: readonly Role[]): Promise<Process> {
  const process = fork(import.meta.filename, ['child', url, schema, roles.join(',')])
  let handled = 0
  process.on('message', (said: Said) => {
    if (said.kind === 'handled') handled = said.count
  })
  await hear(process, 'ready')
  const tell = (told: Told): void => void process.send(told)
  const sent = async (told: Told): Promise<number> => {
    const answer = hear(process, 'sent')
    tell(told)
    return (await answer).count
  }
  return {
    get handled() {
      return handled
    },
    load: (count) => sent({ kind: 'load', seconds, inFlight: count }),
    begin: () => tell({ kind: 'begin' }),
    warm: (count) => sent({ kind: 'warm', messages: warm, inFlight: count }),
    async end() {
      tell({ kind: 'end' })
      const used = await hear(process, 'used')
      await once(process, 'exit')
      return used
    },
  }
}

const hear = <K extends Said['kind']>(
  process: ChildProcess,
  kind: K,
): Promise<Extract<Said, { kind: K }>> =>
  new Promise((resolve, reject) => {
    process.on('message', (said: Said) => {
      if (isKind(said, kind)) resolve(said)
    })
    process.once('exit', () => reject(new Error(`a process ended before it was ${kind}`)))
  })

const isKind = <K extends Said['kind']>(said: Said, kind: K): said is Extract<Said, { kind: K }> =>
  said.kind === kind

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0)

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}

async function all(url: string, count: number): Promise<object> {
  const schema = `processes_${process.pid}`
  const processes: Process[] = []
  // One after the other: the first makes the tables.
  while (processes.length < count) processes.push(await start(url, schema, ['gateway', 'worker']))
  if (count > 1) await new Promise((resolve) => setTimeout(resolve, SHARED_OUT_MS))
  const share = Math.max(1, Math.floor(inFlight / count))
  const handled = (): number => sumOf(processes.map((one) => one.handled))
  const warmed = sumOf(await Promise.all(processes.map((one) => one.warm(share))))
  await until(() => handled() >= warmed)
  const serverCpu = await openServerCpu(url)
  const serverMs = serverCpu() ?? 0
  const startedMs = performance.now()
  const total = sumOf(await Promise.all(processes.map((one) => one.load(share))))
  await until(() => handled() >= warmed + total)
  const elapsed = (performance.now() - startedMs) / 1_000
  const serverUs = ((serverCpu() ?? serverMs) - serverMs) * 1_000
  // The one that works ends last: the others would take its work over.
  const byWork = processes.toSorted((a, b) => a.handled - b.handled)
  const used: Awaited<ReturnType<Process['end']>>[] = []
  for (const one of byWork) used.push(await one.end())
  return {
    perSecond: total / elapsed,
    cpuUs: used.reduce((sum, { cpuUs }) => sum + cpuUs, 0) / total,
    serverCpuUs: serverUs / total,
    /** Of what the busiest handled. */
    share: Math.max(...used.map(({ handled }) => handled)) / total,
  }
}

async function pair(url: string): Promise<object> {
  const schema = `processes_${process.pid}`
  const gateway = await start(url, schema, ['gateway'])
  const worker = await start(url, schema, ['worker'])
  const warmed = await gateway.warm(inFlight)
  await until(() => worker.handled >= warmed)
  worker.begin()
  const serverCpu = await openServerCpu(url)
  const serverMs = serverCpu() ?? 0
  const startedMs = performance.now()
  const sent = await gateway.load(inFlight)
  await until(() => worker.handled >= warmed + sent)
  const perSecond = (sent / (performance.now() - startedMs)) * 1_000
  const serverUs = ((serverCpu() ?? serverMs) - serverMs) * 1_000
  const used = [await gateway.end(), await worker.end()]
  const cpuUs = sumOf(used.map((one) => one.cpuUs))
  return { perSecond, cpuUs: cpuUs / sent, serverCpuUs: serverUs / sent }
}

async function parts(url: string): Promise<object> {
  const schema = `processes_${process.pid}`
  const serverCpu = await openServerCpu(url)
  let sent = 0
  const measure = async (roles: readonly Role[], work: (one: Process) => Promise<number>) => {
    const one = await start(url, schema, roles)
    if (roles.includes('gateway')) sent += await one.warm(inFlight)
    const serverMs = serverCpu() ?? 0
    const startedMs = performance.now()
    const count = await work(one)
    const perSecond = (count / (performance.now() - startedMs)) * 1_000
    const serverUs = ((serverCpu() ?? serverMs) - serverMs) * 1_000
    const { cpuUs, handled } = await one.end()
    const counted = roles.includes('worker') ? Math.max(1, handled) : count
    return { perSecond, cpuUs: cpuUs / counted, serverCpuUs: serverUs / counted }
  }
  const publish = (count: number) => async (one: Process) => {
    const more = await one.load(count)
    sent += more
    return more
  }
  const publishing = await measure(['gateway'], publish(inFlight))
  const single = await measure(['gateway'], publish(1))
  const handling = await measure(['worker'], async (one) => {
    await until(() => one.handled >= sent)
    return sent
  })
  return { publishing, single, handling }
}

const [first = '', second = '', third = '', fourth = ''] = positionals
if (first === 'child') await child(second, third, rolesIn(fourth))
else {
  const kinds = { parts: () => parts(first), pair: () => pair(first) }
  const result =
    second === 'parts' || second === 'pair'
      ? await kinds[second]()
      : await all(first, Number(third))
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
}

function rolesIn(text: string): readonly Role[] {
  const known: readonly Role[] = ['gateway', 'worker']
  return known.filter((role) => text.split(',').includes(role))
}
