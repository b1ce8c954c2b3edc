import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  assert,
  createSystemClock,
  createSystemRandom,
  randomInteger,
  sleep,
} from '../../kernel/index.ts'
import { temporaryDirectory } from '../drivers.fixture.ts'
import type { Store } from '../store.ts'
import { createSqliteStore } from './index.ts'

const clock = createSystemClock()
const random = createSystemRandom()
const CHILD = new URL('crash-child.fixture.ts', import.meta.url).pathname
const SEALING_CHILD = new URL('seal-child.fixture.ts', import.meta.url).pathname

interface Child {
  readonly process: ChildProcess
  /** The newest position that the child was told is durable. */
  acked(): number
  /** The first line that begins with a word. */
  said(word: string): Promise<string>
  kill(): Promise<void>
}

const startChild = (directory: string, script = CHILD): Child => {
  const child = spawn(process.execPath, ['--no-warnings', script, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const lines: string[] = []
  let wake = (): void => undefined
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    wake()
  })
  let over = false
  const closed = once(child, 'close').then(() => {
    over = true
    wake()
  })
  return {
    process: child,
    acked: () => {
      const last = lines.findLast((line) => line.startsWith('acked'))
      return Number(last?.slice(6) ?? 0)
    },
    said: async (word) => {
      for (;;) {
        const line = lines.find((candidate) => candidate.startsWith(word))
        if (line !== undefined) return line
        assert(!over, `the child says ${word} before it ends`)
        await new Promise<void>((resolve) => (wake = resolve))
      }
    },
    kill: async () => {
      child.kill('SIGKILL')
      await closed
    },
  }
}

const open = (directory: string): Promise<Store> => createSqliteStore({ directory, clock, random })

/** Positions 1 to head, each with its key, its row and its effect: all or nothing of each. */
const expectWhole = async (store: Store, directory: string): Promise<number> => {
  const head = await store.headPosition()
  for (let position = 1; position <= head; position++) {
    const record = await store.recordAt(position)
    expect(record && Buffer.from(record.bytes).toString()).toMatch(new RegExp(`^${position}\\.`))
    expect(await store.claimedPosition('acme', `${position}`)).toBe(position)
  }
  expect(await store.count({ collection: 'meta' })).toBe(head)
  const reader = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
  const effects = reader.prepare('SELECT count(*) AS n, count(DISTINCT text) AS d FROM effects')
  expect({ ...effects.get() }).toEqual({ n: head, d: head })
  reader.close()
  return head
}

describe('a store whose process is killed', () => {
  it('has everything that was acknowledged, whole, after each of ten kill -9 (F1, F22)', async () => {
    const directory = temporaryDirectory()
    let head = 0
    for (let round = 0; round < 10; round++) {
      const child = startChild(directory)
      await child.said('acked')
      await sleep(clock, randomInteger(random, 0, 150))
      await child.kill()

      const store = await open(directory)
      head = await expectWhole(store, directory)
      expect(head).toBeGreaterThanOrEqual(child.acked())
      expect(await store.check()).toEqual([])
      await store.close()
    }
    expect(head).toBeGreaterThan(100)
  })

  it('has every key that was claimed, also while keys were being sealed and merged (F30)', async () => {
    const directory = temporaryDirectory()
    let head = 0
    for (let round = 0; round < 6; round++) {
      const child = startChild(directory, SEALING_CHILD)
      await child.said(`acked ${head + 12}`)
      await sleep(clock, randomInteger(random, 0, 300))
      await child.kill()

      const store = await open(directory)
      head = await store.headPosition()
      expect(head).toBeGreaterThanOrEqual(child.acked())
      for (let key = 0; key < head * 1_000; key += 17) {
        const position = Math.floor(key / 1_000) + 1
        expect(await store.claimedPosition('acme', `${position}/${key % 1_000}`)).toBe(position)
      }
      expect(await store.check()).toEqual([])
      await store.close()
    }
    const file = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
    const runs = file.prepare('SELECT max(run) AS n FROM junctura_claim_runs').get()
    expect(Number(runs?.['n'])).toBeGreaterThan(3)
    file.close()
  })

  it('is open to the next process at once, though its lock file is still there (F28)', async () => {
    const directory = temporaryDirectory()
    const first = startChild(directory)
    await first.said('ready')

    const pid = first.process.pid
    await expect(open(directory)).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_LOCKED',
      details: { directory, pid },
    })
    const second = startChild(directory)
    expect(await second.said('error')).toContain('JUNCTURA_STORE_LOCKED')
    await first.kill()

    expect(existsSync(join(directory, 'junctura.lock'))).toBe(true)
    expect(existsSync(join(directory, 'junctura.pid'))).toBe(true)
    const store = await open(directory)
    await store.close()
  })
})

describe('a store that is running', () => {
  it('lets another process read the tables of the user meanwhile', async () => {
    const directory = temporaryDirectory()
    const child = startChild(directory)
    await child.said('acked')

    const reader = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
    const count = reader.prepare('SELECT count(*) AS n, max(seq) AS last FROM effects')
    const seen: number[] = []
    for (let look = 0; look < 20; look++) {
      const row = count.get()
      expect(row?.['n']).toBe(row?.['last'])
      expect(Number(row?.['n']) % 5).toBe(0)
      seen.push(Number(row?.['n']))
      await sleep(clock, 10)
    }
    const before = child.acked()
    await sleep(clock, 100)

    expect(seen).toEqual(seen.toSorted((left, right) => left - right))
    expect(new Set(seen).size).toBeGreaterThan(3)
    expect(child.acked()).toBeGreaterThan(before)
    reader.close()
    await child.kill()
  })
})

it('keeps the write-ahead log short while commits go on, and loses none of them', async () => {
  const directory = temporaryDirectory()
  const store = await open(directory)
  const bytes = random.bytes(400_000)
  let longest = 0
  for (let commit = 1; commit <= 400; commit++) {
    await store.commit([{ appends: [{ channel: 'c', slot: 0, atMs: commit, bytes }] }])
    longest = Math.max(longest, statSync(join(directory, 'junctura.db-wal')).size)
  }
  const grown = statSync(join(directory, 'junctura.db')).size

  expect(await store.headPosition()).toBe(400)
  expect(await store.check()).toEqual([])
  await store.close()
  // Of 160 MB the file held most before it was closed, and the log was begun anew at 64 MiB.
  expect(grown).toBeGreaterThan(60_000_000)
  expect(longest).toBeLessThan(110_000_000)
})
