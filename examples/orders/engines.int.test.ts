import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engineForTests } from '../../test/engines/engine.ts'
import { build } from '../../tools/build.ts'
import { type CommandResult, runCommand } from '../../tools/run-command.ts'

const ROOT = join(import.meta.dirname, '../..')
const START = join('examples', 'orders', 'start.ts')

const BROKERS = ['nats', 'kafka', 'rabbitmq'] as const
type Server = (typeof BROKERS)[number] | 'postgres15' | 'postgres18'

/** What the partner sent, and what became of it, line by line: the same wherever it ran. */
const tableOf = (output: string): readonly string[] =>
  output
    .split('\n')
    .filter((line) => / (ok|FAILED)$/.test(line) || line.startsWith('warehouse emitted'))

describe('the orders example, unchanged but for one line', () => {
  const servers = new Map<Server, { readonly url: string; stop(): Promise<void> }>()
  const folders: string[] = []
  let expected: readonly string[] = []

  const urlOf = (name: Server): string => servers.get(name)?.url ?? ''

  const run = (...choice: readonly string[]): Promise<CommandResult> => {
    const data = mkdtempSync(join(tmpdir(), 'junctura-engines-'))
    folders.push(data)
    return runCommand('node', [START, '--once', '--data', data, ...choice], { cwd: ROOT })
  }

  let databases = 0
  /** A database that no run has used before. */
  const createDatabase = async (server: Server): Promise<string> => {
    const name = `orders_${process.pid}_${(databases += 1)}`
    const client = new Client({ connectionString: urlOf(server) })
    await client.connect()
    await client.query(`create database ${name}`)
    await client.end()
    const url = new URL(urlOf(server))
    url.pathname = `/${name}`
    return url.href
  }

  beforeAll(async () => {
    expect((await build(ROOT)).problem).toBe('')
    for (const name of [...BROKERS, 'postgres15', 'postgres18'] as const) {
      servers.set(name, await engineForTests(name))
    }
    expected = tableOf((await run()).output)
  })

  afterAll(async () => {
    for (const server of servers.values()) await server.stop()
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })

  it.each(BROKERS)('ends with the same table on SQLite and %s', async (broker) => {
    const { status, output } = await run('--transport', urlOf(broker))

    expect(tableOf(output)).toEqual(expected)
    expect(output).toMatch(new RegExp(`^Engines +transport ${broker}: what it confirmed`, 'm'))
    expect(status).toBe(0)
  })

  it.each(BROKERS)('ends with the same table on PostgreSQL 18 and %s', async (broker) => {
    const store = await createDatabase('postgres18')
    const { status, output } = await run('--store', store, '--transport', urlOf(broker))

    expect(tableOf(output)).toEqual(expected)
    expect(status).toBe(0)
  })

  it.each([
    ['postgres15', 'embedded'],
    ['postgres18', 'embedded'],
    ['postgres18', 'postgres'],
  ] as const)(
    'ends with the same table on %s, whose log is the transport (%s)',
    async (server, transport) => {
      const store = await createDatabase(server)
      const { status, output } = await run('--store', store, '--transport', transport)

      expect(tableOf(output)).toEqual(expected)
      expect(status).toBe(0)
    },
  )

  it('is refused with a code on SQLite with PostgreSQL as transport, and says what to choose', async () => {
    const { status, output } = await run('--transport', 'postgres')

    expect(status).not.toBe(0)
    expect(output).toContain('JUNCTURA_TRANSPORT_REFUSED')
    expect(output).toContain('choose the store postgres as well')
  })

  it('gives the table that the embedded engines give', () => {
    expect(expected.length).toBeGreaterThan(12)
    expect(expected.join('\n')).not.toContain('FAILED')
  })
})
