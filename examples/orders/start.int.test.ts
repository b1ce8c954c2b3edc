import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { build } from '../../tools/build.ts'
import { type CommandResult, runCommand } from '../../tools/run-command.ts'

const ROOT = join(import.meta.dirname, '../..')
const START = join('examples', 'orders', 'start.ts')

describe('npm start', () => {
  let data: string

  beforeAll(async () => {
    expect((await build(ROOT)).problem).toBe('')
    data = mkdtempSync(join(tmpdir(), 'junctura-orders-'))
  })

  afterAll(() => data && rmSync(data, { recursive: true, force: true }))

  const runOnce = (): Promise<CommandResult> =>
    runCommand('node', [START, '--once', '--data', data], { cwd: ROOT })

  it('gives one effect per accepted message and consumer, whatever the partner does (M4, M5, M6, M8)', async () => {
    const { status, output } = await runOnce()

    expect(output).not.toContain('FAILED')
    expect(output).toMatch(/a burst: .* 500 .* ok$/m)
    expect(output).toMatch(/Dead letter \S+: finance gave up POISON-1/)
    expect(status).toBe(0)
    expect(countRows('select consumer, message_id from order_effects')).toBeGreaterThan(1_500)
    expect(
      countRows('select 1 from order_effects group by consumer, message_id having count(*) > 1'),
    ).toBe(0)
    expect(
      countRows(
        'select 1 from order_effects group by consumer, order_id, status having count(*) > 1',
      ),
    ).toBe(0)
  })

  it('ends with 1 when a line does not hold: over used data, every id was sent before', async () => {
    const { status, output } = await runOnce()

    expect(output).toMatch(/^two good ones.*FAILED$/m)
    expect(status).toBe(1)
  })

  it('stays up to look around, and takes its runtime with it when it is stopped', async () => {
    const process = spawn('node', [START], { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] })
    const output = await readUntil(process, 'It stays up')
    const managementUrl = /Management {2}(\S+)/.exec(output)?.[1] ?? ''

    const alive = await fetch(`${managementUrl}/healthz`)
    process.kill('SIGTERM')
    const code = await new Promise((done) => process.once('exit', done))

    expect(alive.status).toBe(200)
    expect(code).toBe(0)
    await expect(fetch(`${managementUrl}/healthz`)).rejects.toThrow('fetch failed')
    rmSync(join(ROOT, dataDirOf(output)), { recursive: true })
  })

  function countRows(query: string): number {
    using db = new DatabaseSync(join(data, 'junctura.db'))
    return db.prepare(query).all().length
  }
})

async function readUntil(process: ChildProcess, text: string): Promise<string> {
  let output = ''
  for await (const chunk of process.stdout ?? []) {
    output += String(chunk)
    if (output.includes(text)) break
  }
  return output
}

function dataDirOf(output: string): string {
  const folder = /Data {8}(\S+)/.exec(output)?.[1] ?? 'none'
  expect(existsSync(join(ROOT, folder, 'junctura.db'))).toBe(true)
  return folder
}
