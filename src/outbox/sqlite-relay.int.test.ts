import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { beforeEach, describe, expect, test } from 'vitest'
import { decodeRecord, outboxSource, team } from '../contract/index.ts'
import { createContractBook } from '../inbox/index.ts'
import { createSystemKernel } from '../kernel/index.ts'
import { createCommitter, createMemoryStore } from '../store/index.ts'
import { outbox } from './emit.ts'
import { openReader } from './open-reader.ts'
import { outboxSql } from './outbox-sql.ts'
import { OrderPlaced, openRelayWorld } from './outbox-world.fixture.ts'
import { createRelay } from './relay.ts'
import { openSqliteReader } from './sqlite-reader.ts'

let directory: string
let file: string
let db: DatabaseSync

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'junctura-outbox-'))
  file = join(directory, 'shop.db')
  db = new DatabaseSync(file)
  db.exec('pragma journal_mode = wal')
  db.exec(outboxSql({ dialect: 'sqlite' }))
  return () => {
    db.close()
    rmSync(directory, { recursive: true, force: true })
  }
})

const emit = async (n: number): Promise<string> => {
  db.exec('begin immediate')
  const { id } = await outbox(db).emit(OrderPlaced, { orderId: 'a', n })
  db.exec('commit')
  return id
}

describe('an outbox in a SQLite file', () => {
  test('is moved once and in order, across a restart; a rollback is never seen (M1, M6)', async () => {
    const store = { engine: 'sqlite', directory: join(directory, 'store') } as const
    const first = await openRelayWorld({ database: { file }, store })
    const ids = [await emit(1), await emit(2)]
    db.exec('begin')
    await outbox(db).emit(OrderPlaced, { orderId: 'a', n: 3 })
    db.exec('rollback')
    await first.logged(2)
    await first.close()
    ids.push(await emit(4))
    const second = await openRelayWorld({ database: { file }, store })
    ids.push(await emit(5))

    await second.logged(4)
    await second.runtime.idle()

    expect((await second.logged(4)).map(({ id }) => id)).toEqual(ids)
    await second.close()
  })

  test('written by any language is checked, and moved rows are removed', async () => {
    const world = await openRelayWorld({ database: { file } })
    db.exec(
      `insert into junctura_outbox (type, payload) values ('orders.placed', '{"orderId":"b","n":1}')`,
    )
    db.exec(`insert into junctura_outbox (type, payload) values ('orders.placed', '{"n":1}')`)

    expect(await world.logged(1)).toMatchObject([{ key: 'b' }])
    await world.runtime.idle()
    expect((await world.runtime.invalid({ limit: 9 })).items).toMatchObject([{ reason: 'schema' }])
    await world.close()

    const reader = await openSqliteReader({ name: 'shop', file }, { head: 2, gaps: [] })
    await reader.clean({ head: 2, gaps: [] })
    await reader.close()
    expect(db.prepare('select count(*) as n from junctura_outbox').get()).toEqual({ n: 0 })
  })

  test('that is not there is refused, and no empty file is made', async () => {
    const missing = join(directory, 'no.db')

    const open = openSqliteReader({ name: 'shop', file: missing }, { head: 0, gaps: [] })

    await expect(open).rejects.toMatchObject({ code: 'JUNCTURA_OUTBOX_REFUSED' })
  })

  test('that was put back from a copy is refused', async () => {
    await emit(1)

    const open = openSqliteReader({ name: 'shop', file }, { head: 7, gaps: [] })

    await expect(open).rejects.toThrow(/gone back in time: its last number is 1, and 7 was moved/)
  })

  test('that a writer holds locked is looked at again, without an alarm', async () => {
    db.exec('pragma journal_mode = delete')
    const world = await openRelayWorld({ database: { file } })
    const before = await emit(1)
    await world.logged(1)
    db.exec('begin exclusive')
    await new Promise((resolve) => setTimeout(resolve, 300))
    db.exec('commit')
    const after = await emit(2)

    expect((await world.logged(2)).map(({ id }) => id)).toEqual([before, after])
    expect((await world.runtime.alerts({ limit: 9 })).items).toEqual([])
    await world.close()
  })
})

describe('two relays of one outbox', () => {
  test('move each row once, whatever each believes (M27, F84)', async () => {
    const kernel = createSystemKernel()
    const store = createMemoryStore(kernel)
    const committer = createCommitter({ store, clock: kernel.clock, log: kernel.log })
    const source = outboxSource('shop', {
      owner: team('orders'),
      database: { file },
      accepts: [OrderPlaced],
    })
    const moved: string[] = []
    const relays = [1, 2].map(() =>
      createRelay({
        source,
        kernel,
        store,
        committer,
        book: createContractBook([OrderPlaced]),
        open: (cursor) => openReader(source, kernel, cursor),
        raiseAlert: () => [],
        resolveAlert: () => [],
        offer: () => undefined,
        onMoved: ({ appends }) =>
          moved.push(...appends.map(({ record }) => record?.head.envelope.id ?? '')),
      }),
    )
    for (const relay of relays) relay.start()
    const ids: string[] = []
    for (let n = 0; n < 60; n++) {
      ids.push(await emit(n))
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    while (moved.length < ids.length) await new Promise((resolve) => setTimeout(resolve, 20))
    await Promise.all(relays.map((relay) => relay.close()))

    const page = await store.readLog({
      channel: 'orders',
      afterPosition: 0,
      limit: 999,
      bytesMax: 1e9,
    })
    const logged = page.records.map(({ bytes }) => decodeRecord(bytes, 0).head.envelope.id)
    expect(logged).toEqual(ids)
    await committer.close()
  })
})
