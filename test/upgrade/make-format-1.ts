/**
 * Makes the fixture of store format 1: `node test/upgrade/make-format-1.ts`. Run it only before the
 * first release; from then on the fixture stays as it is, and later releases must read it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { encodeRecord } from '../../src/contract/index.ts'
import { createSeededRandom, utf8 } from '../../src/kernel/index.ts'
import { createSqliteStore, type Unit } from '../../src/store/index.ts'
import { createVirtualClock } from '../../src/testing/index.ts'

const DAY_MS = 86_400_000
const target = new URL('format-1/junctura.db.gz', import.meta.url)
const directory = mkdtempSync(join(tmpdir(), 'junctura-format-1-'))
const clock = createVirtualClock({ startMs: Date.UTC(2026, 0, 1) })
const store = await createSqliteStore({
  directory,
  clock,
  random: createSeededRandom(1),
  partitionMs: DAY_MS,
})

const orderUnit = (number: number): Unit => ({
  claims: [
    {
      scope: 'default/acme',
      key: `msg_${number}`,
      expiresAtMs: clock.now() + 3_650 * DAY_MS,
      append: 0,
    },
  ],
  appends: [
    {
      channel: 'orders',
      slot: number,
      atMs: clock.now(),
      bytes: encodeRecord({
        head: {
          envelope: {
            specversion: '1.0',
            id: `msg_${number}`,
            source: '/orders',
            type: 'orders.status-changed',
            time: new Date(clock.now()).toISOString(),
            datacontenttype: 'application/json',
            partitionkey: `order-${number}`,
            contractversion: 1,
            tenant: 'default',
            correlationid: `msg_${number}`,
          },
          codec: 'json',
        },
        data: utf8(JSON.stringify({ orderId: `order-${number}`, status: 'placed' })),
      }),
    },
  ],
  rows: [
    {
      collection: 'timers',
      key: `test\n${number}`,
      row: { owner: 'test', reference: `${number}`, dueAtMs: clock.now() + number },
    },
  ],
  tx: (db) =>
    db
      .run('INSERT INTO effects (order_id, message_id) VALUES ($1, $2)', `order-${number}`, number)
      .then(() => ({})),
})

await store.migrate([
  {
    part: 'sql',
    name: 'effects',
    sqlite: 'CREATE TABLE effects (seq INTEGER PRIMARY KEY, order_id TEXT, message_id TEXT)',
    checksum: 'format-1',
    at: { file: 'make-format-1.ts', line: 1 },
  },
])
await store.commit([1, 2, 3].map(orderUnit))
await clock.advance(DAY_MS)
await store.commit([4, 5].map(orderUnit))
await store.close()
writeFileSync(target, gzipSync(readFileSync(join(directory, 'junctura.db')), { level: 9 }))
rmSync(directory, { recursive: true })
