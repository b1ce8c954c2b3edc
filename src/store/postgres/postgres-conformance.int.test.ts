import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresForTests } from '../../../test/engines/postgres.ts'
import { must } from '../../kernel/index.ts'
import { type SuiteRunner, testStore } from '../../testing/index.ts'
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

/** The suite asserts with node:assert, which vitest does not count. */
const runner: SuiteRunner = {
  describe,
  it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined()),
}

type Create = Parameters<typeof testStore>[0]['create']

const createWith =
  (open: typeof createPostgresStore): Create =>
  async ({ clock, random, smallPartitions }) => {
    databases += 1
    const database = `conformance_${process.pid}_${databases}`
    await admin('', `create database ${database}`)
    const url = new URL(must(server, 'the server runs').url)
    url.pathname = `/${database}`
    const openIt = () =>
      open({
        url: url.href,
        clock,
        random,
        leaseMs: 500,
        ...(smallPartitions && { partitionBytesMax: 1 }),
      })
    let store = await openIt()
    const left = [store]
    return {
      store,
      reopen: async () => {
        await store.close()
        store = await openIt()
        left.push(store)
        return store
      },
      // The server sees a process die as connections that end; the lease is still held.
      crash: async () => {
        await admin(
          '',
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}'`,
        )
        store = await openIt()
        left.push(store)
        return store
      },
      dispose: async () => {
        for (const opened of left) await opened.close()
        await admin('', `drop database ${database} with (force)`)
      },
    }
  }

/** As the committer opens commits whose rows name no position: in one exchange where possible. */
const openExpecting: typeof createPostgresStore = async (options) => {
  const store = await createPostgresStore(options)
  const commit = store.commit.bind(store)
  return Object.assign(store, {
    commit: (...[units, finish]: Parameters<typeof commit>) =>
      commit(units, finish, { needsNoPositions: true }),
  })
}

const registered = testStore({
  features: POSTGRES_FEATURES,
  runner,
  create: createWith(createPostgresStore),
})

describe('without looking first', () => {
  testStore({ features: POSTGRES_FEATURES, runner, create: createWith(openExpecting) })
})

it('runs the whole conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(60)
})
