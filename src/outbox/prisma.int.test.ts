import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgresForTests, type PostgresEngine } from '../../test/engines/postgres.ts'
import { OUTBOX_URL, openRelayWorld, openSchema } from './outbox-world.fixture.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)

let server: Pick<PostgresEngine, 'url' | 'stop'>
let folder: string

beforeAll(async () => {
  server = await postgresForTests()
  folder = mkdtempSync(join(tmpdir(), 'junctura-prisma-'))
  cpSync(join(ROOT, 'test', 'prisma'), folder, { recursive: true })
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder })
  // The engine that migrates is not needed to generate; without a path it would be downloaded.
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', CHECKPOINT_DISABLE: '1' }
  const prisma = join('node_modules', 'prisma', 'build', 'index.js')
  const generate = [prisma, 'generate', '--schema', 'schema.prisma']
  await run(process.execPath, generate, { cwd: folder, env })
})

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await server.stop()
})

describe('with Prisma', () => {
  test('what commits is in the log once, in order; a message is processed once (M1)', async () => {
    const schema = 'outbox_prisma'
    const { client } = await openSchema(server.url, schema)
    await client.query('drop table if exists prisma_orders')
    await client.query('create table prisma_orders (id text primary key, n integer)')
    const world = await openRelayWorld({ database: OUTBOX_URL, url: server.url, schema })
    const source = pathToFileURL(join(ROOT, 'src', 'index.ts')).href

    const script = [join(folder, 'emit.js'), server.url, source, schema]
    const { stdout } = await run(process.execPath, script, { cwd: folder })
    const said: { ids: string[]; statuses: string[]; refused: string } = JSON.parse(stdout)

    await world.logged(2)
    await world.runtime.idle()
    expect((await world.logged(2)).map(({ id }) => id)).toEqual(said.ids)
    const { rows } = await client.query('select id from prisma_orders order by id')
    expect(rows).toEqual([{ id: 'p-1' }, { id: 'p-3' }])
    expect(said.statuses).toEqual(['processed', 'duplicate'])
    expect(said.refused).toContain('a client of Prisma, but not in a transaction')
    await world.close()
    await client.end()
  })
})
