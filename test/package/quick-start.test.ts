import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../../tools/run-command.ts'
import { createUserFolder, packInto, REPOSITORY, type UserFolder } from './packed-project.fixture.ts'
import { applyDiff, type QuickStartStep, readQuickStart } from './quick-start.fixture.ts'

/** Five minutes are promised to a person; without one, the same takes a fraction of that. */
const MS_MAX = 150_000

/**
 * The quick start as it is printed, from the packed tarball in an empty folder, with real
 * processes.
 * Only what a person fills in is filled in: the tarball for the package's name, free ports, and the
 * words CAUSE and ID from what the command before has printed.
 */
describe('the quick start, from the tarball in an empty folder', () => {
  const steps = [...readQuickStart()]
  let user: UserFolder
  let ports: readonly [number, number]
  let tarball: string
  let devProcessId = 0
  let startedMs = 0

  beforeAll(async () => {
    user = createUserFolder('quick-start')
    tarball = await packInto(user)
    rmSync(join(user.path, 'package.json'))
    ports = [await freePort(), await freePort()]
    startedMs = performance.now()
  })

  afterAll(() => {
    // Its own group: the command, what npx put around it, and the runtime below it.
    if (devProcessId > 0) process.kill(-devProcessId, 'SIGTERM')
    user?.remove()
  })

  it('installs', async () => {
    const output = await runNext()

    expect(output).toContain('added')
  })

  it('declares an integration whose types hold, and that is refused with its line when one promise is missing', async () => {
    writeNext()
    const text = readFileSync(join(user.path, 'integration.ts'), 'utf8')
    user.write('refused.ts', text.replace(/^ *retry: .*\n/m, ''))
    user.write('tsconfig.json', JSON.stringify(USER_TSCONFIG))

    const compiler = join(REPOSITORY, 'node_modules', '.bin', 'tsc')
    const types = await runCommand(compiler, ['-p', user.path], { cwd: user.path })
    const refused = await user.run('npx', 'junctura', 'start', 'refused.ts')

    expect(types).toEqual({ status: 0, output: '' })
    expect(refused.status).toBe(1)
    expect(refused.output).toMatch(/refused\.ts:\d+ {2}consumer "ledger": it has no retry policy/)
  })

  it('starts', async () => {
    const step = next('dev')
    const [port, managementPort] = ports
    const command = `${step.text.trim()} --port ${port} --management-port ${managementPort}`
    // A group of its own, so that all of it can be stopped by its id.
    const script = `${command} > dev.log 2>&1 & echo $!`
    devProcessId = Number((await user.run('sh', '-mc', script)).output)

    await ready(1)

    expect(devProcessId).toBeGreaterThan(1)
  })

  it('has one effect of five equal requests', async () => {
    const sent = await runNext()
    writeNext()

    expect(sent).toMatch(/1 accepted, 4 duplicates/)
    expect(await runUntil(hasRows(1))).toBe(true)
  })

  it('shows the dead letter of a broken handler', async () => {
    writeNext()
    await ready(2)
    const sent = await runNext()

    expect(sent).toContain('1 accepted')
    expect(await runUntil((output) => /ledger .*the ledger is closed/.test(output))).toBe(true)
  })

  it('has the effect once the handler is mended and the dead letter retried', async () => {
    const cause = await causeOfDeadLetter()
    writeNext()
    await ready(3)
    await runNext({ CAUSE: cause })

    expect(await runUntil(hasRows(2))).toBe(true)
  })

  it('replays everything without a second effect, and all that within minutes', async () => {
    const output = await runNext({ ID: 'ID' })

    expect(output).toContain('2')
    expect(steps).toEqual([])
    expect(performance.now() - startedMs).toBeLessThan(MS_MAX)
  })

  function next(kind: QuickStartStep['kind']): QuickStartStep {
    const step = steps.shift()
    if (step?.kind !== kind) throw new Error(`the next step is not ${kind}: ${step?.text}`)
    return step
  }
})
