/**
 * Makes the fixture of store format 2, a store of format 1 whose keys were sealed: run this file
 * with node, and only before the first release that writes format 2; from then on the fixture
 * stays as it is, and later releases must read it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { createSeededRandom } from '../../kernel/index.ts'
import { createSqliteStore } from './index.ts'
import { ClaimTables } from './claim-tables.ts'
import { openConnection } from './connection.ts'
import { storeSecret } from './format.ts'
import { createVirtualClock } from '../../testing/index.ts'

const UPGRADE = new URL('../../../test/upgrade/', import.meta.url)
const DAY_MS = 86_400_000
/** So little that some hundred keys are sealed. */
const CEILING_BYTES = 100_000
const KEYS = 1_200

const directory = mkdtempSync(join(tmpdir(), 'junctura-format-2-'))
const file = join(directory, 'junctura.db')
const earlier = new URL('format-1/junctura.db.gz', UPGRADE)
writeFileSync(file, gunzipSync(readFileSync(earlier)))
const clock = createVirtualClock({ startMs: Date.UTC(2026, 0, 2) })
const store = await createSqliteStore({ directory, clock, random: createSeededRandom(1) })
await store.close()

const writer = openConnection({ file })
const secret = storeSecret(writer)
const tables = new ClaimTables({ writer, secret, file, bytesMax: CEILING_BYTES })
await tables.load(clock)
for (let first = 0; first < KEYS; first += 100) {
  writer.run('BEGIN IMMEDIATE')
  for (let number = first; number < first + 100; number++) {
    const expiresAtMs = clock.now() + 3_650 * DAY_MS
    const claims = [{ scope: 'default/acme', key: `many_${number}`, expiresAtMs, append: 0 }]
    tables.conflict(claims, clock.now())
    tables.hold(claims, [5], clock.now())
  }
  tables.write()
  writer.run('COMMIT')
  tables.settle()
}
writer.close()
const target = new URL('format-2/junctura.db.gz', UPGRADE)
writeFileSync(target, gzipSync(readFileSync(file), { level: 9 }))
rmSync(directory, { recursive: true })
