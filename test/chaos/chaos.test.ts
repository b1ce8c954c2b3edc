import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { build } from '../../tools/build.ts'
import { SOUND } from './chaos.fixture.ts'
import { runDrain } from './drain-under-load.ts'
import { runFullDisk } from './full-disk.ts'
import { describeRounds, runKillRounds } from './kill-rounds.ts'
import { runKillerMessage } from './killer-message.ts'
import { createPartner } from './partner.ts'
import { createRandom } from './random.ts'
import {
  REPOSITORY,
  runCommandLine,
  type RuntimeProcess,
  startArguments,
  startRuntime,
} from './runtime-process.ts'
import { smallDisk } from './small-disk.ts'
import type { Verdict } from './verdict.ts'

const folders: string[] = []
const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'junctura-chaos-'))
  folders.push(folder)
  return folder
}

const expectWhole = (verdict: Verdict): void => {
  expect(verdict).toMatchObject(SOUND)
  expect(verdict.acknowledged).toBeGreaterThan(50)
}

beforeAll(async () => {
  const built = await build(REPOSITORY)
  expect(built.ok, built.problem).toBe(true)
})

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

describe('real processes', () => {
  it('lose nothing acknowledged and double nothing through ten kill -9 under load (F3, F7, F8, F9)', async () => {
    const result = await runKillRounds({
      dataDir: newFolder(),
      seed: 20_261,
      rounds: 10,
      loadMsMax: 900,
      connections: 8,
    })
    console.log(describeRounds(result))
    expectWhole(result.verdict)
    expect(result.partner.complaints).toEqual([])
  })

  it('drain on SIGTERM under load: exit 0, nothing lost, no answer cut off, no 5xx (F14, M39)', async () => {
    const { verdict, partner, end, broken, unavailable } = await runDrain({
      dataDir: newFolder(),
      seed: 7,
      loadMs: 1_200,
      connections: 8,
    })
    console.log(`drained in ${Math.round(end.drainMs)} ms, ${broken} connections broken`)
    expect(end.code).toBe(0)
    expect(broken).toBe(0)
    expect(unavailable).toBe(0)
    expectWhole(verdict)
    expect(partner.complaints).toEqual([])
  })

  it('set aside a message that kills its process, and leave its neighbours unharmed (F13, M20)', async () => {
    const result = await runKillerMessage({ dataDir: newFolder(), seed: 11 })
    console.log(`lives ${result.lives}, dead letters ${result.deadLetters.length}`)
    expect(result.harmedNeighbours).toEqual([])
    expect(result.killersWithEffect).toBe(0)
    expect(result.deadLetters.length).toBeGreaterThan(0)
    for (const letter of result.deadLetters) expect(letter.crashes).toBeGreaterThan(1)
  })

  it('refuse a second one on the same data directory, naming the first (F28)', async () => {
    const dataDir = newFolder()
    const first = await startRuntime({ dataDir })
    const second = await runCommandLine(startArguments({ dataDir }))
    expect(second.code).not.toBe(0)
    expect(second.output).toContain('JUNCTURA_STORE_LOCKED')
    expect(second.output).toContain(String(first.pid))
    await first.kill()
    const third = await startRuntime({ dataDir })
    expect((await third.terminate()).code).toBe(0)
  })

  it('refuse a store that a backup has put back, until that is accepted, and then say so (F29)', async () => {
    const dataDir = newFolder()
    const backup = newFolder()
    const partner = createPartner({ random: createRandom(9), giveUpShare: 0 })
    const work = async (start: RuntimeProcess): Promise<void> => {
      const load = partner.startLoad(`${start.url}/webhooks/acme`, 4)
      await new Promise((resolve) => setTimeout(resolve, 300))
      await load.stop()
    }
    const first = await startRuntime({ dataDir })
    await work(first)
    await first.terminate()
    copyFileSync(join(dataDir, 'junctura.db'), join(backup, 'junctura.db'))
    const second = await startRuntime({ dataDir })
    await work(second)
    await second.kill()
    for (const suffix of ['-wal', '-shm']) rmSync(join(dataDir, `junctura.db${suffix}`))
    copyFileSync(join(backup, 'junctura.db'), join(dataDir, 'junctura.db'))

    const refused = await runCommandLine(startArguments({ dataDir }))
    expect(refused.code).toBe(1)
    expect(refused.output).toMatch(/JUNCTURA_STORE_ROLLED_BACK.*gone back in time.*position/s)
    expect(refused.output).toContain('--accept-rollback')
    const third = await startRuntime({ dataDir, more: ['--accept-rollback'] })
    const journal: { readonly items: readonly { readonly command: string }[] } =
      await third.get('/api/v1/operations')
    expect(journal.items[0]).toMatchObject({ command: 'store.accept-rollback', state: 'done' })
    expect((await third.terminate()).code).toBe(0)
    const fourth = await startRuntime({ dataDir })
    expect((await fourth.terminate()).code).toBe(0)
  })

  it('refuse a damaged file by its name, and say how to repair it (F24)', async () => {
    const dataDir = newFolder()
    const first = await startRuntime({ dataDir })
    const partner = createPartner({ random: createRandom(5), giveUpShare: 0 })
    const load = partner.startLoad(`${first.url}/webhooks/acme`, 4)
    await new Promise((resolve) => setTimeout(resolve, 500))
    await load.stop()
    expect((await first.terminate()).code).toBe(0)
    damage(join(dataDir, 'junctura.db'))
    const refused = await runCommandLine(startArguments({ dataDir }))
    expect(refused.code).not.toBe(0)
    expect(refused.output).toContain('JUNCTURA_STORE_DAMAGED')
    expect(refused.output).toContain('junctura.db')
    expect(refused.output).toContain('--repair')
    const repaired = await runCommandLine(['doctor', '--data', dataDir, '--repair', '--yes'])
    expect(repaired.output).toMatch(/repair|salvag/i)
    const again = await startRuntime({ dataDir })
    expect((await again.terminate()).code).toBe(0)
  })

  it('answer 503 while the disk is full, half accept nothing, and recover by themselves (F20)', async () => {
    const mountPoint = newFolder()
    const wrapper = smallDisk(mountPoint)
    const result = await runFullDisk({ dataDir: mountPoint, wrapper, seed: 3 })
    console.log(`recovered ${result.recoveryMs} ms after there was room`)
    expectWhole(result.verdict)
    expect(result.readyWhileFull).toBe(503)
    expect(result.partner.complaints).toEqual([])
  })
})

/** Flips bytes inside the last record of the log that names the contract. */
function damage(path: string): void {
  const bytes = readFileSync(path)
  const offset = bytes.lastIndexOf('orders.status-changed')
  expect(offset).toBeGreaterThan(0)
  for (let index = offset; index < offset + 8; index++) bytes[index] = (bytes[index] ?? 0) ^ 0xff
  writeFileSync(path, bytes)
}
