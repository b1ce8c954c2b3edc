import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../../tools/run-command.ts'
import { ENGINE_CLIENTS } from './clients.fixture.ts'
import { familyOf, readProcesses } from './process-table.ts'

const ROOT = dirname(dirname(import.meta.dirname))
const client = ENGINE_CLIENTS.postgres18
let state = ''

beforeAll(() => {
  state = mkdtempSync(join(tmpdir(), 'junctura-engines-test-'))
})
afterAll(async () => {
  await engines('down', 'all')
  rmSync(state, { recursive: true, force: true })
})

/** The command as it is typed, each time in a process of its own. */
const engines = (...args: readonly string[]) =>
  runCommand('node', ['test/engines/run.ts', ...args], {
    cwd: ROOT,
    env: { JUNCTURA_ENGINES_STATE: state },
  })
const isThere = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })

describe('npm run engines', () => {
  it('brings a server up once, and says where in one line of JSON', async () => {
    const first = await engines('up', 'postgres18')
    const second = await engines('up', 'postgres18')

    expect(first.output).toMatch(/^\{"postgres18":"postgres:\/\/[^"]+"\}\n$/)
    expect(second).toEqual({ status: 0, output: first.output })
  })

  it('kills, restarts, pauses, resumes and wipes it from other processes', async () => {
    const url: string = JSON.parse((await engines('up', 'postgres18')).output).postgres18
    await client.put(url, 'kept')

    expect(await engines('kill', 'postgres18')).toEqual({ status: 0, output: '' })
    expect(await isThere(Number(new URL(url).port))).toBe(false)
    expect(await engines('restart', 'postgres18')).toEqual({ status: 0, output: '' })
    expect(await client.list(url)).toEqual(['kept'])
    expect(await engines('pause', 'postgres18')).toEqual({ status: 0, output: '' })
    await expect(client.list(url)).rejects.toThrow()
    expect(await engines('resume', 'postgres18')).toEqual({ status: 0, output: '' })
    expect(await client.list(url)).toEqual(['kept'])
    expect(await engines('wipe', 'postgres18')).toEqual({ status: 0, output: '' })
    expect(await client.list(url)).toEqual([])
  })

  it('leaves neither a process nor data when it takes it down, also one that is paused', async () => {
    await engines('up', 'postgres18')
    const { directory, leader } = JSON.parse(readFileSync(join(state, 'postgres18.json'), 'utf8'))
    const family = new Set(familyOf(leader.pid).map(({ pid }) => pid))
    expect(family.size).toBeGreaterThan(3)
    await engines('pause', 'postgres18')

    expect(await engines('down', 'postgres18')).toEqual({ status: 0, output: '' })

    expect(existsSync(directory)).toBe(false)
    expect(readProcesses().filter(({ pid }) => family.has(pid))).toEqual([])
    expect(await engines('down', 'postgres18')).toEqual({ status: 0, output: '' })
  })

  it('never touches a process that was given the pid of a server of before', async () => {
    const bystander = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' })
    await engines('up', 'postgres18')
    const file = join(state, 'postgres18.json')
    const known = JSON.parse(readFileSync(file, 'utf8'))
    await engines('kill', 'postgres18')
    const leader = { ...known.leader, pid: bystander.pid }
    writeFileSync(file, JSON.stringify({ ...known, leader }))

    await engines('down', 'postgres18')

    expect(readProcesses().some(({ pid }) => pid === bystander.pid)).toBe(true)
    bystander.kill('SIGKILL')
  })

  it('refuses a name or a verb that it does not know, and says which there are', async () => {
    for (const args of [['up', 'oracle'], ['up', 'nats', 'oracle'], ['burn', 'nats'], ['up']]) {
      const { status, output } = await engines(...args)
      expect(status, args.join(' ')).toBe(2)
      expect(output).toContain('postgres15, postgres18, nats, kafka, rabbitmq')
    }
  })

  it('says how to begin when a server is not up', async () => {
    const { status, output } = await engines('kill', 'nats')

    expect(status).toBe(1)
    expect(output).toBe('nats is not up: npm run engines -- up nats\n')
  })
})

describe('a test that is killed half way', () => {
  it('leaves no server behind, not even a frozen one', async () => {
    const test = spawn('node', [join(import.meta.dirname, 'leaver.fixture.ts')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line]: unknown[] = await once(test.stdout, 'data')
    const port = Number(new URL(String(line)).port)
    expect(await isThere(port)).toBe(true)

    test.kill('SIGKILL')

    await expect.poll(() => isThere(port), { timeout: 30_000 }).toBe(false)
  })
})
