import { describe, expect, it } from 'vitest'
import type { Database } from '../../contract/index.ts'
import { createSeededRandom, JuncturaError, sleep } from '../../kernel/index.ts'
import { createVirtualClock } from '../../testing/index.ts'
import { claim, ORDER_EFFECTS, textsOf, unitOf } from '../drivers.fixture.ts'
import type { Store, Unit } from '../store.ts'
import { compareValues } from './memory-collection.ts'
import {
  createMemoryDisk,
  createMemoryStore,
  type JournalFile,
  type MemoryDisk,
  type MemoryStoreOptions,
} from './index.ts'

const clock = createVirtualClock()

const open = (options: Partial<MemoryStoreOptions> = {}): Store =>
  createMemoryStore({ clock, random: createSeededRandom(1), ...options })

const insert =
  (text: string, more?: (db: Database) => Promise<unknown>): NonNullable<Unit['tx']> =>
  async (db) => {
    await db.run('INSERT INTO effects (text) VALUES ($1)', text)
    await more?.(db)
    return {}
  }

describe('a crash of the memory disk', () => {
  it('loses the commit that was open and keeps all before it (F1)', async () => {
    const disk = createMemoryDisk()
    const dying = open({
      disk,
      fault: async (point, { units }) => {
        if (point === 'before-commit' && units === 2) disk.crash()
      },
    })
    await dying.migrate([ORDER_EFFECTS])
    await dying.commit([unitOf('kept', { tx: insert('kept'), claims: [claim('kept')] })])

    const lost = dying.commit([unitOf('lost', { tx: insert('lost') }), unitOf('lost too')])
    await expect(lost).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FENCED' })
    await using next = open({ disk })

    expect(await textsOf(next)).toEqual(['kept'])
    expect(await disk.query('SELECT text FROM effects')).toEqual([{ text: 'kept' }])
    expect(await next.claimedPosition('acme', 'kept')).toBe(1)
  })

  it('keeps a process that was taken over while it slept away from its successor (F39)', async () => {
    const disk = createMemoryDisk()
    const dying = open({ disk })
    await dying.migrate([ORDER_EFFECTS])
    let next: Store | undefined
    let late: unknown

    const lost = dying.commit([
      {
        tx: insert('lost', async (db) => {
          disk.crash()
          next = open({ disk })
          late = await db.run('DELETE FROM effects').catch((error: unknown) => error)
        }),
      },
    ])

    await expect(lost).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FENCED' })
    expect(late).toMatchObject({ code: 'JUNCTURA_STORE_FENCED' })
    expect(await next?.commit([unitOf('first', { tx: insert('first') })])).toMatchObject([
      { status: 'committed' },
    ])
    await expect(dying.commit([unitOf('ghost')])).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FENCED',
    })
    await expect(dying.headPosition()).rejects.toMatchObject({ code: 'JUNCTURA_CLOSED' })
    await dying.close()
    expect(() => open({ disk })).toThrow('in use')
    await next?.close()
    expect(await disk.query('SELECT text FROM effects')).toEqual([{ text: 'first' }])
  })
})

/** A file whose failures the test decides; `synced` is what survives a loss of power. */
class TestFile implements JournalFile {
  bytes: Uint8Array = new Uint8Array()
  synced = 0
  failSync = false
  room = Number.POSITIVE_INFINITY

  append(bytes: Uint8Array): void {
    const taken = bytes.subarray(0, Math.max(0, this.room - this.bytes.length))
    this.bytes = Buffer.concat([this.bytes, taken])
    if (taken.length < bytes.length) throw new Error('ENOSPC: no space left on device')
  }

  sync(): Promise<void> {
    if (this.failSync) return Promise.reject(new Error('EIO: i/o error, fsync'))
    this.synced = this.bytes.length
    return Promise.resolve()
  }

  read(): Uint8Array {
    return this.bytes
  }

  truncate(length: number): void {
    this.bytes = this.bytes.slice(0, length)
  }
}

describe('a memory disk on a file', () => {
  const withFile = async (): Promise<{
    readonly file: TestFile
    readonly disk: MemoryDisk
    readonly store: Store
  }> => {
    const file = new TestFile()
    const disk = createMemoryDisk({ file })
    const store = open({ disk })
    await store.migrate([ORDER_EFFECTS])
    await store.commit([unitOf('first', { tx: insert('first') })])
    return { file, disk, store }
  }

  it.each([
    ['was lost with the power', (file: TestFile) => file.truncate(file.synced), ['first']],
    ['was torn', (file: TestFile) => file.truncate(file.bytes.length - 3), ['first']],
    ['was on the disk all the same', () => undefined, ['first', 'second']],
  ])(
    'takes a commit whose fsync failed as the file has it when it %s (F21, F22, F23)',
    async (_, happen, left) => {
      const { file, disk, store } = await withFile()
      file.failSync = true

      const second = store.commit([unitOf('second', { tx: insert('second') })])
      await expect(second).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
      await expect(store.commit([unitOf('more')])).rejects.toMatchObject({
        code: 'JUNCTURA_STORE_UNKNOWN',
      })
      happen(file)
      disk.crash()
      file.failSync = false
      await using next = open({ disk })

      expect(await textsOf(next)).toEqual(left)
      expect((await disk.query('SELECT text FROM effects')).map(({ text }) => text)).toEqual(left)
      await next.commit([unitOf('third')])
      expect(await textsOf(next)).toEqual([...left, 'third'])
    },
  )

  it('writes nothing of a commit for which there is no room, and goes on when there is (F20)', async () => {
    const { file, store } = await withFile()
    file.room = file.bytes.length + 10

    const full = store.commit([unitOf('second', { tx: insert('second') })])
    await expect(full).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FULL' })
    file.room = Number.POSITIVE_INFINITY
    await store.commit([unitOf('third')])

    expect(await textsOf(store)).toEqual(['first', 'third'])
    await store.close()
  })

  it('is not opened while a bit of what was durable is flipped (F24)', async () => {
    const { file, disk, store } = await withFile()
    await store.commit([unitOf('second')])
    await store.close()
    const flip = (): void => void (file.bytes[20] = (file.bytes[20] ?? 0) ^ 8)

    flip()
    expect(() => open({ disk })).toThrow('damaged')
    flip()
    await using next = open({ disk })

    expect(await textsOf(next)).toEqual(['first', 'second'])
  })

  it('says that the outcome is unknown to whom was taken over while it synced (F39)', async () => {
    const { file, disk, store } = await withFile()
    let goOn: () => void = () => undefined
    file.sync = () => new Promise((resolve) => (goOn = resolve))

    const asleep = store.commit([unitOf('second', { tx: insert('second') })])
    await clock.advance(1)
    disk.crash()
    file.sync = TestFile.prototype.sync
    await using next = open({ disk })
    goOn()

    await expect(asleep).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
    await expect(store.commit([unitOf('ghost')])).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FENCED',
    })
    await next.commit([unitOf('third')])
    expect(await textsOf(next)).toEqual(['first', 'second', 'third'])
  })
})

describe('the fault hook of the memory store', () => {
  it('fails a commit before it happened, and the next may succeed', async () => {
    let full = true
    await using store = open({
      fault: async (point) => {
        if (point !== 'before-commit' || !full) return
        throw new JuncturaError('JUNCTURA_STORE_FULL', { details: { problem: 'no room' } })
      },
    })
    await store.migrate([ORDER_EFFECTS])

    const refused = store.commit([unitOf('refused', { tx: insert('refused') })])
    await expect(refused).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FULL' })
    full = false
    const outcomes = await store.commit([unitOf('taken', { tx: insert('refused') })])

    expect(outcomes).toEqual([{ status: 'committed', positions: [1] }])
    expect(await textsOf(store)).toEqual(['taken'])
  })

  it('reports a commit as failed that happened, and then writes no more (F21)', async () => {
    const disk = createMemoryDisk()
    const store = open({
      disk,
      fault: async (point) => {
        if (point === 'after-commit') throw new TypeError('the connection was lost')
      },
    })

    const commit = store.commit([unitOf('there')])
    await expect(commit).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
    const more = store.commit([unitOf('more')])
    await expect(more).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
    await store.close()
    await using next = open({ disk })

    expect(await textsOf(next)).toEqual(['there'])
  })

  it('delays what it is asked to, on the clock it is given', async () => {
    await using store = open({ fault: (point) => sleep(clock, point === 'read' ? 50 : 0) })
    let head: number | undefined
    void store.headPosition().then((position) => (head = position))

    await clock.advance(49)
    expect(head).toBeUndefined()
    await clock.advance(1)

    expect(head).toBe(0)
  })
})

describe('the order of the memory store', () => {
  it('is that of UTF-8 bytes, with numbers before text', () => {
    const values = [
      '',
      'a',
      'aa',
      'b',
      'é',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '\u{10000}',
      '\u{10ffff}',
    ]
    const bytewise = values.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

    expect(values.toReversed().toSorted(compareValues)).toEqual(bytewise)
    expect([3, 'a', -1, '', 2].toSorted(compareValues)).toEqual([-1, 2, 3, '', 'a'])
  })
})
