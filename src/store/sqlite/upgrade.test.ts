import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { decodeRecord, type SqlMigration } from '../../contract/index.ts'
import { createSeededRandom } from '../../kernel/index.ts'
import { createVirtualClock } from '../../testing/index.ts'
import { temporaryDirectory } from '../drivers.fixture.ts'
import { STORE_FORMAT } from './format.ts'
import { createSqliteStore } from './index.ts'

const DAY_MS = 86_400_000
const EFFECTS: SqlMigration = {
  part: 'sql',
  name: 'effects',
  sqlite: '',
  checksum: 'format-1',
  at: { file: 'make-format-1.ts', line: 1 },
}

const directoryOfFormat = (format: number): string => {
  const directory = temporaryDirectory()
  const fixture = new URL(`../../../test/upgrade/format-${format}/junctura.db.gz`, import.meta.url)
  writeFileSync(join(directory, 'junctura.db'), gunzipSync(readFileSync(fixture)))
  return directory
}

describe.each([1, 2])('a store of format %i', (format) => {
  it('is read by this release: log, keys, state and the user’s tables, and goes on', async () => {
    const directory = directoryOfFormat(format)
    const clock = createVirtualClock({ startMs: Date.UTC(2026, 0, 3) })

    await using store = await createSqliteStore({
      directory,
      clock,
      random: createSeededRandom(2),
      partitionMs: 10 * DAY_MS,
    })
    await store.migrate([EFFECTS])

    const query = { channel: 'orders', afterPosition: 0, limit: 10, bytesMax: 1e6 }
    const { records } = await store.readLog(query)
    const read = records.map(({ position, slot, bytes }) => {
      const { head, data } = decodeRecord(bytes, position)
      return [position, slot, head.envelope.id, JSON.parse(Buffer.from(data).toString())]
    })
    expect(read).toEqual(
      [1, 2, 3, 4, 5].map((number) => [
        number,
        number,
        `msg_${number}`,
        { orderId: `order-${number}`, status: 'placed' },
      ]),
    )
    expect(await store.claimedPosition('default/acme', 'msg_4')).toBe(4)
    expect(await store.partitions()).toMatchObject([
      { firstPosition: 1, lastPosition: 3 },
      { firstPosition: 4, lastPosition: 5, open: true },
    ])
    const timers = { collection: 'timers', index: 'byDue', limit: 10 } as const
    expect((await store.scan(timers)).map(({ row }) => row.reference)).toEqual([
      '1',
      '2',
      '3',
      '4',
      '5',
    ])
    expect(await store.check()).toEqual([])

    let effects: unknown
    const outcomes = await store.commit([
      {
        appends: [{ channel: 'orders', slot: 6, atMs: 0, bytes: new Uint8Array(3) }],
        tx: async (db) => {
          effects = await db.all('SELECT order_id FROM effects WHERE seq < $1 ORDER BY seq', 3)
          return {}
        },
      },
    ])
    expect(effects).toEqual([{ order_id: 'order-1' }, { order_id: 'order-2' }])
    expect(outcomes).toEqual([{ status: 'committed', positions: [6] }])
  })
})

describe('a store of format 1', () => {
  it('is of the newest format from then on, with all its keys', async () => {
    const directory = directoryOfFormat(1)
    const options = { directory, clock: createVirtualClock(), random: createSeededRandom(2) }

    await (await createSqliteStore(options)).close()

    const file = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
    expect(file.prepare('PRAGMA user_version').get()?.['user_version']).toBe(STORE_FORMAT)
    file.close()
    await using store = await createSqliteStore(options)
    for (const number of [1, 2, 3, 4, 5]) {
      expect(await store.claimedPosition('default/acme', `msg_${number}`)).toBe(number)
    }
  })
})

describe('a store of format 2', () => {
  it('has its sealed keys, and those whose run was being written', async () => {
    const clock = createVirtualClock({ startMs: Date.UTC(2026, 0, 3) })
    await using store = await createSqliteStore({
      directory: directoryOfFormat(2),
      clock,
      random: createSeededRandom(2),
    })

    for (let number = 0; number < 1_200; number++) {
      expect(await store.claimedPosition('default/acme', `many_${number}`)).toBe(5)
    }
    expect(await store.claimedPosition('default/acme', 'many_1200')).toBeUndefined()
    expect(await store.check()).toEqual([])
  })
})
