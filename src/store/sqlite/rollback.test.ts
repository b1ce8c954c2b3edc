import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createSeededRandom } from '../../kernel/index.ts'
import {
  append,
  claim,
  openSqlite,
  type SqliteBench,
  temporaryDirectory,
  textsOf,
  unitOf,
} from '../drivers.fixture.ts'
import { ACCEPTED_ROLLBACK, type Store } from '../store.ts'
import { repairSqliteStore } from './index.ts'

const otherRandom = createSeededRandom(2)

const STALE = { code: 'JUNCTURA_STORE_ROLLED_BACK' }

const commit = async (store: Store, from: number, to: number): Promise<void> => {
  for (let number = from; number <= to; number++) {
    await store.commit([unitOf(`text ${number}`, { claims: [claim(`key ${number}`)] })])
  }
}

const open = (directory: string, acceptRollback = false): Promise<SqliteBench> =>
  openSqlite({ directory, acceptRollback })

/** Ten records, of which a copy that was put back knows the first four. */
const restored = async (): Promise<string> => {
  const directory = temporaryDirectory()
  const file = join(directory, 'junctura.db')
  const first = await open(directory)
  await commit(first.store, 1, 4)
  await first.store.close()
  copyFileSync(file, `${file}.backup`)
  const second = await open(directory)
  await commit(second.store, 5, 10)
  await second.store.close()
  copyFileSync(`${file}.backup`, file)
  return directory
}

describe('a store that was put back from a copy (F29)', () => {
  it('is refused, saying where it ends and how far it had been, and is left as it is', async () => {
    const directory = await restored()
    const before = readFileSync(join(directory, 'junctura.db'))

    const refused = open(directory)

    await expect(refused).rejects.toMatchObject(STALE)
    await expect(refused).rejects.toThrow(/ends at position 4, and position 10 was reached by 20/)
    expect(readFileSync(join(directory, 'junctura.db')).equals(before)).toBe(true)
    await expect(open(directory)).rejects.toMatchObject(STALE)
  })

  it('is taken when that is accepted; no position is given twice, and the acceptance is noted', async () => {
    const directory = await restored()

    const { store } = await open(directory, true)

    expect(await textsOf(store)).toHaveLength(4)
    const [outcome] = await store.commit([unitOf('after', { claims: [claim('key 5')] })])
    const first = 10 + 1_000_000 + 1
    expect(outcome).toEqual({ status: 'committed', positions: [first] })
    expect(await textsOf(store)).toHaveLength(5)
    expect(await store.row('meta', ACCEPTED_ROLLBACK)).toMatchObject({
      value: { position: 4, reached: 10, nextPosition: first },
    })
    expect(await store.check()).toEqual([])
    await store.close()
    const again = await open(directory)
    expect(await again.store.headPosition()).toBe(first)
    expect(await textsOf(again.store)).toHaveLength(5)
  })

  it('is noticed when the process was killed soon after a commit', async () => {
    const directory = temporaryDirectory()
    const file = join(directory, 'junctura.db')
    const first = await open(directory)
    await commit(first.store, 1, 2)
    await first.store.close()
    copyFileSync(file, `${file}.backup`)
    const second = await open(directory)
    await commit(second.store, 3, 3)
    const killed = temporaryDirectory()
    copyFileSync(`${file}.backup`, join(killed, 'junctura.db'))
    copyFileSync(join(directory, 'junctura.mark'), join(killed, 'junctura.mark'))

    await expect(open(killed)).rejects.toThrow('ends at position 2, and position 3')

    // What follows within a second is noted when that second is over.
    await commit(second.store, 4, 9)
    await second.clock.advance(1_000)
    copyFileSync(join(directory, 'junctura.mark'), join(killed, 'junctura.mark'))
    await expect(open(killed)).rejects.toThrow('ends at position 2, and position 9')
  })

  it('is noticed when nothing was appended since, by the number of starts', async () => {
    const directory = temporaryDirectory()
    const file = join(directory, 'junctura.db')
    await (await open(directory)).store.close()
    copyFileSync(file, `${file}.backup`)
    await (await open(directory)).store.close()
    copyFileSync(`${file}.backup`, file)

    await expect(open(directory)).rejects.toThrow('it was opened 1 time(s), and 2 had been counted')
  })

  it.each([
    ['is gone', 'it is missing, and position 10'],
    ['is another one', 'it is another store than the one of which position 10'],
  ])('is noticed when the database %s', async (what, problem) => {
    const directory = await restored()
    const file = join(directory, 'junctura.db')
    rmSync(file)
    if (what === 'is another one') {
      const other = temporaryDirectory()
      await (await openSqlite({ directory: other, random: otherRandom })).store.close()
      copyFileSync(join(other, 'junctura.db'), file)
    }

    await expect(open(directory)).rejects.toThrow(problem)
    expect(existsSync(file)).toBe(what === 'is another one')

    const { store } = await open(directory, true)
    await store.commit([{ appends: [append('first')] }])
    expect(await store.headPosition()).toBe(1_000_011)
  })
})

describe('a store that is not behind its mark', () => {
  it('opens, whatever became of the mark: gone, empty, unreadable, of an older time', async () => {
    const directory = temporaryDirectory()
    const mark = join(directory, 'junctura.mark')
    const reopen = async (from: number): Promise<void> => {
      const { store } = await open(directory)
      await commit(store, from, from)
      await store.close()
    }
    await reopen(1)
    const older = readFileSync(mark)
    await reopen(2)
    rmSync(mark)
    await reopen(3)
    writeFileSync(mark, '')
    await reopen(4)
    writeFileSync(mark, readFileSync(mark, 'utf8').replace('"position":4', '"position":9'))
    await reopen(5)
    writeFileSync(mark, older)
    await reopen(6)

    expect(JSON.parse(readFileSync(mark, 'utf8').replace(/} .*/s, '}'))).toMatchObject({
      opens: 6,
      position: 6,
    })
  })

  it('opens after a repair, whose positions begin above the mark', async () => {
    const directory = await restored()
    const { clock } = await openSqlite()
    const report = await repairSqliteStore({ directory, clock, random: otherRandom })

    expect(report.lostPositions).toEqual([{ from: 5, to: 10 }])
    const { store } = await open(directory)
    await store.commit([{ appends: [append('next')] }])
    expect(await store.headPosition()).toBeGreaterThan(1_000_000)
  })
})
