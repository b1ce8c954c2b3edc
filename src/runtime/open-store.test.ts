import { copyFileSync, mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import type { LogFields } from '../kernel/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { openStore } from './open-store.ts'

const folders: string[] = []
const folder = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'junctura-open-store-'))
  folders.push(path)
  return path
}
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true })
})

it('lets the SQLite store say in the log of the runtime that a crash tore its last write (F23)', async () => {
  const warnings: LogFields[] = []
  const quiet = createVirtualKernel()
  const warn = (fields: LogFields) => void warnings.push(fields)
  const kernel = { ...quiet, log: { ...quiet.log, warn } }
  const [before, after] = [folder(), folder()]
  const first = await openStore({ engine: 'sqlite', directory: before }, kernel)
  await first.commit([{ rows: [{ collection: 'meta', key: 'torn', row: { value: 1 } }] }])
  // After a loss of power the index is gone, and the last page may be half written.
  for (const name of ['junctura.db', 'junctura.db-wal']) {
    copyFileSync(join(before, name), join(after, name))
  }
  await first.close()
  const wal = join(after, 'junctura.db-wal')
  truncateSync(wal, statSync(wal).size - 100)

  const second = await openStore({ engine: 'sqlite', directory: after }, kernel)
  await second.close()

  expect(warnings).toMatchObject([{ file: join(after, 'junctura.db') }])
})
