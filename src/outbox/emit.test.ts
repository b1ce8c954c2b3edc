import { DatabaseSync } from 'node:sqlite'
import { beforeEach, describe, expect, test } from 'vitest'
import { decodeRecord, event, jsonSchema, team } from '../contract/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { outbox } from './emit.ts'
import { recogniseHandle } from './handle.ts'
import { outboxSql } from './outbox-sql.ts'
import { OrderPlaced } from './outbox-world.fixture.ts'
import { inbox } from './process-once.ts'

let db: DatabaseSync

beforeEach(() => {
  db = new DatabaseSync(':memory:')
  db.exec(outboxSql({ dialect: 'sqlite' }))
  return () => db.close()
})

const rows = (): Record<string, unknown>[] =>
  db.prepare('select * from junctura_outbox order by seq').all()

const recordOf = (row: Record<string, unknown> | undefined) => {
  const bytes = row?.['record']
  if (!(bytes instanceof Uint8Array)) throw new Error('it has no record')
  return decodeRecord(bytes, 0)
}

describe('emitting in a transaction of node:sqlite', () => {
  test('writes one row whose record is what the log will hold, with a final id (M3)', async () => {
    const kernel = createVirtualKernel()
    db.exec('begin')
    const { id } = await outbox(db, { kernel }).emit(OrderPlaced, { orderId: 'a', n: 1 })
    db.exec('commit')

    const [row] = rows()
    const { head, data } = recordOf(row)
    expect(row).toMatchObject({ id, type: 'orders.placed', version: 1, key: 'a', payload: null })
    expect(head.envelope).toMatchObject({ id, type: 'orders.placed', partitionkey: 'a' })
    expect(head.envelope.correlationid).toBe(id)
    expect(Buffer.from(data).toString()).toBe('{"orderId":"a","n":1}')
  })

  test('writes before it returns: a commit that does not await it has the row', () => {
    db.exec('begin')
    void outbox(db).emit(OrderPlaced, { orderId: 'a', n: 1 })
    db.exec('commit')

    expect(rows()).toHaveLength(1)
  })

  test('what is rolled back leaves nothing (M1)', async () => {
    db.exec('begin')
    await outbox(db).emit(OrderPlaced, { orderId: 'a', n: 1 })
    db.exec('rollback')

    expect(rows()).toEqual([])
  })

  test('data at fault are refused before the database sees them, and the field is named', async () => {
    db.exec('begin')
    const wrong = outbox(db).emit(OrderPlaced, { orderId: 'a', n: 1.5 })

    await expect(wrong).rejects.toThrow(/orders\.placed.*n must be a whole number/s)
    await expect(wrong).rejects.toMatchObject({ code: 'JUNCTURA_EMIT_INVALID' })
    expect(rows()).toEqual([])
    expect(db.isTransaction).toBe(true)
  })

  test('many keep their order, and one at fault keeps all back', async () => {
    db.exec('begin')
    const drafts = Array.from({ length: 250 }, (_, n) => OrderPlaced.of({ orderId: 'a', n }))
    const sent = await outbox(db).emitMany(drafts)
    const wrong = { contract: OrderPlaced, data: { orderId: 'a' } }
    await expect(outbox(db).emitMany([...drafts, wrong])).rejects.toMatchObject({
      code: 'JUNCTURA_EMIT_INVALID',
    })
    db.exec('commit')

    expect(rows().map(({ id }) => id)).toEqual(sent.map(({ id }) => id))
  })

  test('inside a handler it carries on the correlation and the trace of its message (M2)', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    db.exec('begin')
    const first = { orderId: 'a', n: 1 }
    await outbox(db).emit(OrderPlaced, first, { traceparent, correlationId: 'c-1' })
    const cause = recordOf(rows()[0]).head
    await outbox(db).emit(OrderPlaced, { orderId: 'a', n: 2 }, { cause })
    db.exec('commit')

    const { envelope } = recordOf(rows()[1]).head
    expect(cause.envelope).toMatchObject({ traceparent, correlationid: 'c-1' })
    expect(envelope).toMatchObject({ traceparent, correlationid: 'c-1' })
    expect(envelope.causationid).toBe(cause.envelope.id)
  })

  test('an at-most-once contract is refused: it is in no log', async () => {
    const Ping = event('pings.sent', {
      owner: team('x'),
      guarantee: 'at-most-once',
      versions: { 1: jsonSchema<object>({ type: 'object' }) },
    })
    db.exec('begin')

    await expect(outbox(db).emit(Ping, {})).rejects.toThrow(/at-most-once/)
  })

  test('more than a record may hold is refused', async () => {
    const orderId = 'x'.repeat(5_000_000)
    const Big = event('big.one', {
      owner: team('x'),
      versions: { 1: jsonSchema<object>({ type: 'object' }) },
    })
    db.exec('begin')

    await expect(outbox(db).emit(Big, { orderId })).rejects.toMatchObject({
      code: 'JUNCTURA_RECORD_TOO_LARGE',
    })
  })
})

describe('processing in a transaction of node:sqlite', () => {
  test('runs once per consumer and message, and again after a rollback', async () => {
    const done: string[] = []
    const run = async (consumer: string, end: 'commit' | 'rollback'): Promise<string> => {
      db.exec('begin immediate')
      const work = (): number => done.push(consumer)
      const { status } = await inbox(db).process('msg_1', work, { consumer })
      db.exec(end)
      return status
    }

    expect(await run('a', 'rollback')).toBe('processed')
    expect(await run('a', 'commit')).toBe('processed')
    expect(await run('a', 'commit')).toBe('duplicate')
    expect(await run('b', 'commit')).toBe('processed')
    expect(done).toEqual(['a', 'a', 'b'])
  })

  test('gives what the work returned, and takes no empty id', async () => {
    db.exec('begin')

    expect(await inbox(db).process('m', () => 42, { consumer: 'a' })).toEqual({
      status: 'processed',
      result: 42,
    })
    await expect(inbox(db).process('', () => 42, { consumer: 'a' })).rejects.toMatchObject({
      code: 'JUNCTURA_USAGE',
    })
  })
})

describe('a handle', () => {
  test('outside a transaction is refused, with what to do', () => {
    expect(() => outbox(db)).toThrow(/not in a transaction.*begin immediate/s)
  })

  test('that is unknown is refused, with those that are known', () => {
    const unknown: object = { send: () => undefined }

    expect(() => recogniseHandle(unknown)).toThrow(
      /pg \(a client\), postgres\.js, Kysely, Drizzle, Prisma or node:sqlite/,
    )
  })
})
