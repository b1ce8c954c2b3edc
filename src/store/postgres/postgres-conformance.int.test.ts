import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresForTests } from '../../../test/engines/postgres.ts'
import { must } from '../../kernel/index.ts'
import { testStore } from '../../testing/index.ts'
import { createPostgresStore, POSTGRES_FEATURES } from '../index.ts'

let server: Awaited<ReturnType<typeof postgresForTests>> | undefined
let databases = 0

beforeAll(async () => {
  server = await postgresForTests()
})

afterAll(async () => {
  await server?.stop()
})

const admin = async (database: string, sql: string): Promise<void> => {
  const url = new URL(must(server, 'the server runs').url)
  if (database) url.pathname = `/${database}`
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  await client.query(sql)
  await client.end()
}

const registered = testStore({
  features: POSTGRES_FEATURES,
  runner: {
    describe,
    // The suite asserts with node:assert, which vitest does not count.
    it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined()),
  },
  async create({ clock, random, smallPartitions }) {
    databases += 1
    const database = `conformance_${process.pid}_${databases}`
    await admin('', `create database ${database}`)
    const url = new URL(must(server, 'the server runs').url)
    url.pathname = `/${database}`
    const open = () =>
      createPostgresStore({
        url: url.href,
        clock,
        random,
        leaseMs: 500,
        ...(smallPartitions && { partitionBytesMax: 1 }),
      })
    let store = await open()
    const left = [store]
    return {
      store,
      reopen: async () => {
        await store.close()
        store = await open()
        left.push(store)
        return store
      },
      // The server sees a process die as connections that end; the lease is still held.
      crash: async () => {
        await admin(
          '',
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}'`,
        )
        store = await open()
        left.push(store)
        return store
      },
      dispose: async () => {
        for (const opened of left) await opened.close()
        await admin('', `drop database ${database} with (force)`)
      },
    }
  },
})

it('runs the whole conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(60)
})
