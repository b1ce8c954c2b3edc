import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../../tools/run-command.ts'
import {
  createUserFolder,
  installNode,
  packInto,
  REPOSITORY,
  type UserFolder,
} from './packed-project.fixture.ts'
import { applyDiff, type QuickStartStep, readQuickStart } from './quick-start.fixture.ts'

/** Five minutes are promised to a person; without one, the same takes a fraction of that. */
const MS_MAX = 150_000

/**
 * The quick start as it is printed, from the packed tarball in an empty folder, with real
 * processes.
 * Only what a person fills in is filled in: the tarball for the package's name, free ports, and the
 * words CAUSE and ID from what the command before has printed.
 */
let packed: UserFolder
let tarball: string

beforeAll(async () => {
  packed = createUserFolder('packed')
  tarball = await packInto(packed)
})

afterAll(() => packed?.remove())

describe.each([22, 24, 26])('the quick start on Node %i, from the tarball', (major) => {
  const steps = [...readQuickStart()]
  let user: UserFolder
  let nodeFolder: UserFolder
  let ports: readonly [number, number]
  let devProcessId = 0
  let startedMs = 0
  let groups = ''

  beforeAll(async () => {
    nodeFolder = createUserFolder(`node-${major}`)
    user = createUserFolder('quick-start', dirname(await nodeOf(nodeFolder, major)))
    rmSync(join(user.path, 'package.json'))
    ports = [await freePort(), await freePort()]
    startedMs = performance.now()
  })

  afterAll(async () => {
    // The whole group: the command, what npx put around it, and the runtime below it.
    if (devProcessId > 0) process.kill(-devProcessId, 'SIGTERM')
    while (isAlive(devProcessId)) await delay(100)
    user?.remove()
    nodeFolder?.remove()
  })

  it('installs, and says its version and nothing else, no warning either', async () => {
    const own = await user.run('node', '--version')
    const output = await runNext()
    const version = await user.run('node', BIN, '--version')

    expect(own.output).toMatch(new RegExp(`^v${major}\\.`))
    expect(output).toContain('added')
    expect(version.output).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(version.status).toBe(0)
  })

  it('declares what has types, and is refused with its line when a promise is missing', async () => {
    writeNext()
    const text = readFileSync(join(user.path, 'integration.ts'), 'utf8')
    user.write('refused.ts', text.replace(/^ *retry: .*\n/m, ''))
    user.write('tsconfig.json', JSON.stringify(USER_TSCONFIG))

    const compiler = join(REPOSITORY, 'node_modules', '.bin', 'tsc')
    // The compiler is the same whatever Node runs the result.
    const types =
      major === 24
        ? await runCommand(compiler, ['-p', user.path], { cwd: user.path })
        : { status: 0, output: '' }
    const refused = await user.run('npx', 'junctura', 'start', 'refused.ts')

    expect(types).toEqual({ status: 0, output: '' })
    expect(refused.status).toBe(1)
    expect(refused.output).toMatch(/refused\.ts:\d+ {2}consumer "ledger": it has no retry policy/)
  })

  it('starts', async () => {
    const step = next('dev')
    const [port, managementPort] = ports
    const command = `${step.text.trim()} --port ${port} --management-port ${managementPort}`
    devProcessId = Number((await user.run('node', '-e', LAUNCH, command)).output)

    await ready(1)

    expect(devProcessId).toBeGreaterThan(1)
  })

  it('has one effect of five equal requests', async () => {
    const sent = await runNext()
    writeNext()

    expect(sent).toMatch(/1 accepted, 4 duplicates/)
    expect(await runUntil(hasRows(1))).toSatisfy(hasRows(1))
  })

  it('shows the dead letter of a broken handler', async () => {
    writeNext()
    await ready(2)
    const sent = await runNext()

    groups = await runUntil((output) => output.includes('the ledger is closed'))

    expect(sent).toContain('1 accepted')
    expect(groups).toMatch(/^cause_\w+ +1 +1 +ledger .*the ledger is closed$/m)
  })

  it('has the effect once the handler is mended and the dead letter retried', async () => {
    writeNext()
    await ready(3)
    const retried = await runNext()

    expect(retried).toContain('1 started')
    expect(await runUntil(hasRows(2))).toSatisfy(hasRows(2))
  })

  it('replays everything without a second effect', async () => {
    const output = await runNext()

    expect(output).toMatch(/done before +2 /)
    expect(hasRows(2)(output)).toBe(true)
  })

  it('keeps every promise that it declares', async () => {
    const output = await runNext()

    expect(output).toMatch(/^\d+ hold, 1 noted \(seed 1\)$/m)
  })

  it('is done to its end, in a fraction of the five minutes', () => {
    expect(steps).toEqual([])
    expect(performance.now() - startedMs).toBeLessThan(MS_MAX)
  })

  function next(kind: QuickStartStep['kind']): QuickStartStep {
    const step = steps.shift()
    if (step?.kind !== kind) throw new Error(`the next step is not ${kind}: ${step?.text}`)
    return step
  }

  /** Runs the next block, line by line, and gives all that it printed. */
  async function runNext(): Promise<string> {
    let printed = ''
    for (const line of next('run').text.trim().split('\n')) printed += await run(line, printed)
    return printed
  }

  /** Runs the next block until it prints what it should; what happens meanwhile takes its time. */
  async function runUntil(isThere: (output: string) => boolean): Promise<string> {
    const line = next('run').text.trim()
    for (let attempt = 1; ; attempt++) {
      const output = await run(line, '')
      if (isThere(output) || attempt === TRIES_MAX) return output
      await delay(500)
    }
  }

  async function run(line: string, before: string): Promise<string> {
    const command = fillIn(line, before)
    const { status, output } = await user.run('sh', '-c', command)
    if (status !== 0) throw new Error(`${command} ended with ${status}:\n${output}`)
    return output
  }

  function fillIn(line: string, before: string): string {
    const [port, managementPort] = ports
    const url = `JUNCTURA_MANAGEMENT_URL=http://127.0.0.1:${managementPort}`
    const words: Readonly<Record<string, string | undefined>> = {
      CAUSE: /^cause_\w+/m.exec(groups)?.[0],
      ID: /replay_\w+/.exec(before)?.[0],
    }
    return line
      .replace(/\b(CAUSE|ID)\b/, (word) => words[word] ?? word)
      .replace(/^npm install junctura/, `npm install --no-audit --no-fund ${tarball}`)
      .replace(/^npx junctura send .*/, (send) => `${send} --port ${port}`)
      .replace(/^npx junctura/, `${url} npx junctura`)
  }

  function writeNext(): void {
    const { kind, file, text } = next(steps[0]?.kind === 'diff' ? 'diff' : 'file')
    const path = join(user.path, file)
    writeFileSync(path, kind === 'diff' ? applyDiff(readFileSync(path, 'utf8'), text) : text)
  }

  /** Waits until `dev` has said for the `times`-th time that it takes messages. */
  async function ready(times: number): Promise<void> {
    for (let attempt = 1; attempt <= TRIES_MAX * 2; attempt++) {
      const log = readFileSync(join(user.path, 'dev.log'), 'utf8')
      if (log.split('quick-start runs on').length > times) return
      await delay(250)
    }
    throw new Error(`not ready:\n${readFileSync(join(user.path, 'dev.log'), 'utf8')}`)
  }
})

const BIN = join('node_modules', 'junctura', 'bin', 'junctura.js')

/** This repository brings one of them. */
const nodeOf = (folder: UserFolder, major: number): Promise<string> => {
  const own = join(REPOSITORY, 'node_modules', 'node', 'bin', 'node')
  return major === 24 ? Promise.resolve(own) : installNode(folder, major)
}

/** Starts a command that stays, in a process group of its own, so that all of it can be stopped. */
const LAUNCH = `
  const log = require('node:fs').openSync('dev.log', 'w')
  const options = { detached: true, stdio: ['ignore', log, log] }
  const child = require('node:child_process').spawn('sh', ['-c', process.argv[1]], options)
  console.log(child.pid)
  child.unref()`

const TRIES_MAX = 40

/** Whether a table of `console.table` has so many rows. */
const hasRows =
  (count: number) =>
  (output: string): boolean =>
    output.split('\n').filter((line) => /^│ \d+ /.test(line)).length === count

/** Whether anything of a process group still runs. */
function isAlive(group: number): boolean {
  try {
    return group > 0 && process.kill(-group, 0)
  } catch {
    // ESRCH: nobody is left to be asked.
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  await new Promise((done) => server.close(done))
  return typeof address === 'object' && address !== null ? address.port : 0
}

const USER_TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(REPOSITORY, 'node_modules', '@types')],
  },
  files: ['integration.ts'],
}
