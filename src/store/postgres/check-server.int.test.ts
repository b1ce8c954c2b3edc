import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresEngine, startPostgres } from '../../../test/engines/postgres.ts'
import { createPostgresBench, type PostgresBench } from '../../../test/engines/postgres-bench.ts'
import { startReplicaPair } from '../../../test/engines/replica-pair.ts'
import { must } from '../../kernel/index.ts'
import type { StoreFinding, StoreNeeds } from '../index.ts'

const NEEDS: StoreNeeds = { durableContracts: ['orders.placed'], hasTables: true }
const chosen = process.env['JUNCTURA_TEST_POSTGRES_VERSION'] === '15' ? 'postgres15' : 'postgres18'

let engine: PostgresEngine | undefined
let bench: PostgresBench | undefined

beforeAll(async () => {
  engine = await startPostgres()
  bench = await createPostgresBench(engine.url, 'examined')
  // Made by an administrator, as for the roles below.
  const store = await bench.open()
  await store.close()
})

afterAll(async () => {
  await bench?.close()
  await engine?.stop()
})

const theBench = (): PostgresBench => must(bench, 'the server runs')

/** As one role sees the server, with settings of its own. */
const examineAs = async (
  name: string,
  statements: string,
  needs = NEEDS,
): Promise<readonly StoreFinding[]> => {
  await theBench().query(`create role ${name} login; ${statements}`)
  const url = new URL(theBench().url)
  url.username = name
  const store = await theBench().open({ url: url.href })
  try {
    return (await store.examine?.(needs)) ?? []
  } finally {
    await store.close()
    await theBench().query(`drop owned by ${name}; drop role ${name}`)
  }
}

const ALL_RIGHTS = (name: string): string => `
  grant create, usage on schema junctura, public to ${name};
  grant all on all tables in schema junctura to ${name};
  grant postgres, pg_read_all_stats to ${name}`

describe('the examination of a live server', () => {
  it('finds nothing on one that is sound', async () => {
    const store = await theBench().open()

    expect(await store.examine?.(NEEDS)).toEqual([])
    await store.close()
  })

  it('names a role that may not make, drop or see what it has to', async () => {
    const rights = `
      revoke create on schema public from public;
      grant usage on schema junctura to plain;
      grant all on all tables in schema junctura to plain`
    const found = await examineAs('plain', rights)

    expect(found.map(({ severity, problem }) => [severity, problem])).toEqual([
      ['error', expect.stringContaining('may not create tables in schema junctura')],
      ['error', expect.stringContaining('belong to another role')],
      ['warning', expect.stringContaining('schema public')],
      ['warning', expect.stringContaining('does not see the sessions of others')],
    ])
    for (const { resource } of found) expect(resource).toBe('rights of role plain')
    const noTables = await examineAs('plain', rights, { ...NEEDS, hasTables: false })
    expect(noTables.map(({ problem }) => problem).join()).not.toContain('schema public')
  })

  it('names timeouts of the role that end what the store does', async () => {
    const found = await examineAs(
      'hasty',
      `${ALL_RIGHTS('hasty')};
       alter role hasty set statement_timeout = '5s';
       alter role hasty set idle_session_timeout = '10min'`,
    )

    expect(found.map(({ severity, resource }) => [severity, resource])).toEqual([
      ['warning', 'PostgreSQL setting statement_timeout'],
      ['warning', 'PostgreSQL setting idle_session_timeout'],
    ])
  })

  it('counts the connections that are left for a process', async () => {
    const few = await examineAs('few', `${ALL_RIGHTS('few')}; alter role few connection limit 7`)
    const fewer = await examineAs(
      'fewer',
      `${ALL_RIGHTS('fewer')}; alter role fewer connection limit 3`,
    )

    expect(few).toMatchObject([
      { severity: 'warning', resource: 'PostgreSQL connection limit of the role' },
    ])
    expect(fewer).toMatchObject([
      { severity: 'error', problem: '3 in all: one process takes up to 7' },
    ])
  })

  it('names what is not durable, and for which contracts it was promised', async () => {
    const unsafe = await startPostgres({
      settings: {
        fsync: 'off',
        full_page_writes: 'off',
        wal_level: 'minimal',
        max_wal_senders: '0',
      },
    })
    try {
      const here = await createPostgresBench(unsafe.url, 'unsafe')
      const store = await here.open()
      const found = (await store.examine?.(NEEDS)) ?? []

      expect(found.map(({ severity, resource }) => [severity, resource])).toEqual([
        ['error', 'PostgreSQL setting fsync'],
        ['error', 'PostgreSQL setting full_page_writes'],
        ['warning', 'PostgreSQL setting wal_level'],
      ])
      expect(found[0]?.problem).toContain('promised for orders.placed')
      await here.close()
    } finally {
      await unsafe.stop()
    }
  })

  it.each([false, true])(
    'warns before a fail-over loses anything, synchronous: %s',
    async (isSynchronous) => {
      const pair = await startReplicaPair({ isSynchronous, engine: chosen })
      try {
        const here = await createPostgresBench(pair.url, 'replicated')
        const store = await here.open()
        const found = (await store.examine?.(NEEDS)) ?? []

        expect(store.features.durability).toBe(isSynchronous ? 'replicated' : 'fsync')
        expect(found).toMatchObject([
          {
            severity: 'warning',
            resource: 'PostgreSQL setting synchronous_standby_names',
            problem: expect.stringContaining(
              isSynchronous
                ? 'every commit waits until one is back'
                : 'acknowledged in the last moments before is lost; it is promised for orders.placed',
            ),
          },
        ])
        await here.close()
      } finally {
        await pair.stop()
      }
    },
  )
})
