import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { ensureBuilt, SOUND, temporaryFolder } from './chaos.fixture.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { startRuntime } from './runtime-process.ts'
import { judge } from './verdict.ts'

interface FailingSync {
  readonly wrapper: readonly string[]
  hasFailed(): boolean
}

/** Fails one sync of a file, and no other: the machine reports such an error only once. */
const failingSync = (dataDir: string, file: string, when: number): FailingSync => {
  if (spawnSync('strace', ['-V']).status !== 0) throw new Error('this test needs `strace`')
  const calls = 'fsync,fdatasync'
  const trace = join(dataDir, 'strace.txt')
  const watched = ['-o', trace, '-P', join(dataDir, file), '-e', `trace=${calls}`]
  const fault = ['-e', `inject=${calls}:error=EIO:when=${when}`]
  return {
    wrapper: ['strace', '-D', '-f', ...watched, ...fault],
    hasFailed: () => readFileSync(trace, 'utf8').includes('INJECTED'),
  }
}

const expectSoundAfterRestart = async (dataDir: string, partner: Partner): Promise<void> => {
  const again = await startRuntime({ dataDir })
  try {
    await partner.finish(`${again.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime: again, dataDir })
    expect(verdict).toMatchObject(SOUND)
    expect(verdict.acknowledged).toBeGreaterThan(50)
  } finally {
    await again.terminate()
  }
}

beforeAll(ensureBuilt)

describe('a disk that fails one sync', () => {
  it('of the log is not asked again: no more 2xx, the process says why and ends with 70 (F21)', async () => {
    const dataDir = temporaryFolder()
    const partner = createPartner({ random: createRandom(21), giveUpShare: 0 })
    const { wrapper } = failingSync(dataDir, 'junctura.db-wal', 150)
    const runtime = await startRuntime({ dataDir, wrapper })
    try {
      const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 8)
      const { code } = await Promise.race([runtime.ended, delay(60_000, { code: 'alive' })])
      const endedMs = performance.timeOrigin + performance.now()
      await load.stop()

      expect(code).toBe(70)
      expect(runtime.log()).toContain('the store cannot be trusted any more')
      expect(runtime.log()).toMatch(/disk I\/O error|EIO/)
      // It goes on answering for the lame duck time, with 503 and nothing else.
      expect(partner.counts.unavailable).toBeGreaterThan(0)
      expect(partner.complaints).toEqual([])
      const acked = partner.messages.map(({ ackedMs }) => ackedMs ?? 0)
      expect(Math.max(...acked)).toBeLessThan(endedMs - 400)
    } finally {
      await runtime.kill()
    }
    await expectSoundAfterRestart(dataDir, partner)
  })

  it('of the file, while the log is folded into it, loses nothing: the log still has it all (F21)', async () => {
    const dataDir = temporaryFolder()
    const partner = createPartner({ random: createRandom(22), giveUpShare: 0 })
    const { wrapper, hasFailed } = failingSync(dataDir, 'junctura.db', 3)
    const runtime = await startRuntime({ dataDir, wrapper })
    try {
      const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 8)
      const deadlineMs = performance.now() + 60_000
      while (!hasFailed() && performance.now() < deadlineMs) await delay(50)
      await delay(200)
      await load.stop()
    } finally {
      await runtime.kill()
    }
    expect(hasFailed()).toBe(true)
    await expectSoundAfterRestart(dataDir, partner)
  })
})
