import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { ensureBuilt, temporaryFolder } from './chaos.fixture.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { runCommandLine, startArguments, startRuntime } from './runtime-process.ts'

beforeAll(ensureBuilt)

/** A store that was used and left in order. */
const useStore = async (dataDir: string): Promise<Partner> => {
  const partner = createPartner({ random: createRandom(1), prefixOf: () => 'A' })
  const runtime = await startRuntime({ dataDir })
  const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 8)
  await delay(500)
  await load.stop()
  await runtime.terminate()
  return partner
}

const flipBytes = (bytes: Buffer, from: number, count: number): void => {
  for (let at = from; at < from + count; at++) bytes[at] = (bytes[at] ?? 0) ^ 0xff
}

const PAGE_BYTES = 8_192

const DAMAGES: readonly (readonly [string, (bytes: Buffer, partner: Partner) => void])[] = [
  ['at its head', (bytes) => flipBytes(bytes, 0, 64)],
  [
    'in the middle of a page',
    (bytes) => flipBytes(bytes, Math.floor(bytes.length / 2 / PAGE_BYTES) * PAGE_BYTES, 64),
  ],
  [
    'by one bit of one stored message',
    (bytes, { messages }) => {
      const at = bytes.indexOf(messages[Math.floor(messages.length / 2)]?.body ?? '')
      expect(at).toBeGreaterThan(0)
      bytes[at + 30] = (bytes[at + 30] ?? 0) ^ 1
    },
  ],
]

describe('a database file that is damaged', () => {
  it.each(DAMAGES)(
    '%s is refused at start by name, and doctor --repair salvages it (F24, F25)',
    async (_where, damage) => {
      const dataDir = temporaryFolder()
      const file = join(dataDir, 'junctura.db')
      const partner = await useStore(dataDir)
      const bytes = readFileSync(file)
      damage(bytes, partner)
      writeFileSync(file, bytes)

      const refused = await runCommandLine(startArguments({ dataDir }))
      const untouched = readFileSync(file)
      const anyPort = ['--port', '0', '--management-port', '0']
      const repair = ['doctor', '--data', dataDir, '--repair', '--yes', ...anyPort]
      const repaired = await runCommandLine(repair)
      const again = await startRuntime({ dataDir })
      await again.terminate()

      expect(refused.code).toBe(1)
      expect(refused.output).toContain('JUNCTURA_STORE_DAMAGED')
      expect(refused.output).toContain(file)
      expect(refused.output).toMatch(/junctura doctor --data \S+.*--repair/)
      expect(untouched.equals(bytes)).toBe(true)
      expect(repaired.output).toMatch(/\d+ messages and \d+ rows are kept/)
      expect(repaired.code).toBe(0)
      expect(existsSync(`${file}.damaged-1`)).toBe(true)
      // A page holds a few messages; all others are still there.
      expect(countEffects(file)).toBeGreaterThan(partner.counts.accepted * 3 * 0.8)
    },
  )
})

function countEffects(file: string): number {
  const db = new DatabaseSync(file, { readOnly: true })
  const row = db.prepare('select count(*) as effects from order_effects').get()
  db.close()
  return Number(row?.['effects'])
}
