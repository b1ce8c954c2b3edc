import { describe, expect, it } from 'vitest'
import { JuncturaError, LIMITS, silentLogger } from '../kernel/index.ts'
import { createVirtualClock } from '../testing/index.ts'
import { type Committer, createCommitter, type ProgressMark } from './committer.ts'
import { createMemoryStore } from './memory/index.ts'
import type { Append, RowWrite } from './store.ts'

const append = (text: string): Append => ({
  channel: 'c',
  slot: 0,
  atMs: 1,
  bytes: new TextEncoder().encode(text),
})

const meta = (key: string, value: unknown): RowWrite => ({
  collection: 'meta',
  key,
  row: { value },
})

interface OpenParts {
  readonly fault?: (point: string) => Promise<void>
  readonly commitsInParallel?: boolean
}

const open = (parts: OpenParts = {}) => {
  const clock = createVirtualClock()
  const commits: number[] = []
  const appended: number[] = []
  const volatile: string[] = []
  const applied: (readonly ProgressMark[])[] = []
  const failures: unknown[] = []
  const store = createMemoryStore({ clock, fault: async (point) => parts.fault?.(point) })
  const { commitsInParallel = false } = parts
  const committer: Committer = createCommitter({
    store: {
      commit: (units, finish) => store.commit(units, finish),
      features: { ...store.features, commitsInParallel },
    },
    clock,
    log: silentLogger,
    progress: {
      preview: (marks) => (marks.length > 0 ? [meta('marks', marks.length)] : []),
      apply: (marks) => void applied.push(marks),
    },
    onAppended: (records) => appended.push(...records.map(({ position }) => position)),
    onVolatile: (messages) => {
      volatile.push(...messages.map(({ bytes }) => new TextDecoder().decode(bytes)))
    },
    onCommit: (units) => commits.push(units),
    onFailed: (error) => failures.push(error),
  })
  return { store, clock, committer, commits, appended, volatile, applied, failures }
}

describe('group commit', () => {
  it('joins what comes on one turn of the loop into one transaction, in order', async () => {
    const { committer, commits, appended } = open()
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, n) => committer.submit({ appends: [append(`${n}`)] })),
    )
    expect(commits).toEqual([50])
    expect(outcomes.map((one) => one.status === 'committed' && one.positions[0])).toEqual(
      Array.from({ length: 50 }, (_, n) => n + 1),
    )
    expect(appended).toHaveLength(50)
  })

  it('puts no more records into one commit than it may hold, but one unit whatever it has', async () => {
    const { committer, commits, appended } = open()
    const many = (count: number) => ({
      appends: Array.from({ length: count }, (_, n) => append(`${n}`)),
    })
    const half = LIMITS.commitRecordsMax / 2
    await Promise.all([half, half, 1, 3 * half, 1].map((count) => committer.submit(many(count))))
    expect(commits).toEqual([2, 1, 1, 1])
    expect(appended).toHaveLength(5 * half + 2)
  })

  it('begins the next commit while answers are given out, where the store works beside it', async () => {
    const given = LIMITS.commitEarlyUnits + 100
    let answered = 0
    const answeredAtBegin: number[] = []
    const { committer, appended, store } = open({
      commitsInParallel: true,
      fault: async (point) => void (point === 'before-commit' && answeredAtBegin.push(answered)),
    })
    const sender = async (n: number): Promise<void> => {
      await committer.submit({ appends: [append(`first ${n}`)] })
      answered += 1
      await committer.submit({ appends: [append(`second ${n}`)] })
    }
    await Promise.all(Array.from({ length: given }, (_, n) => sender(n)))
    await committer.drain()

    const [first, second] = answeredAtBegin
    expect(first).toBe(0)
    expect(second).toBeGreaterThanOrEqual(LIMITS.commitEarlyUnits)
    expect(second).toBeLessThan(given)
    expect(await store.headPosition()).toBe(2 * given)
    expect(appended).toEqual(Array.from({ length: 2 * given }, (_, n) => n + 1))
  })

  it('has given every answer when it is closed, also of a commit told a few at a time', async () => {
    const { committer } = open({ commitsInParallel: true })
    let answered = 0
    for (let n = 0; n < 100; n++) {
      void committer.submit({ appends: [append(`${n}`)] }).then(() => (answered += 1))
    }
    await committer.close()
    expect(answered).toBe(100)
  })

  it('says when the commit under way is over, and nothing when there is none', async () => {
    let begun: () => void = () => undefined
    const isUnderWay = new Promise<void>((resolve) => (begun = resolve))
    const { committer, commits } = open({ fault: async () => begun() })
    expect(committer.whenFree()).toBeUndefined()
    const first = committer.submit({ rows: [meta('first', 1)] })
    await isUnderWay
    const second = committer.submit({ rows: [meta('second', 1)] })
    await committer.whenFree()
    expect(commits).toEqual([1])
    await Promise.all([first, second])
    await committer.drain()
    expect(commits).toEqual([1, 1])
    expect(committer.whenFree()).toBeUndefined()
  })

  it('tells a refused unit alone, and marks nothing for it', async () => {
    const { committer, applied, store } = open()
    await committer.submit({ rows: [meta('there', 1)] })
    const [good, bad] = await Promise.all([
      committer.submit({ marks: [{ consumer: 'a', position: 1 }] }),
      committer.submit({
        guards: [{ collection: 'meta', key: 'there', is: 'absent' }],
        marks: [{ consumer: 'a', position: 2 }],
      }),
    ])
    expect([good.status, bad.status]).toEqual(['committed', 'guarded'])
    expect(applied.flat()).toEqual([{ consumer: 'a', position: 1 }])
    expect((await store.row('meta', 'marks'))?.value).toBe(1)
  })

  it('tells nobody of a record that was left out because its key is taken (M5)', async () => {
    const { committer, appended } = open()
    const claim = { scope: 'fact', key: 'k', expiresAtMs: 9e12 }
    const once = { ...append('once'), claim }
    const outcomes = await Promise.all([
      committer.submit({ appends: [once, append('beside')] }),
      committer.submit({ appends: [append('before'), once, append('after')] }),
    ])
    expect(outcomes).toEqual([
      { status: 'committed', positions: [1, 2] },
      { status: 'committed', positions: [3, 1, 4], leftOut: [1] },
    ])
    expect(appended).toEqual([1, 2, 3, 4])
  })

  it('writes rows that name the position of a record in the commit of the record', async () => {
    const { committer, store, commits } = open()
    const at = (key: string) => (positions: readonly number[]) => [meta(key, positions)]
    await Promise.all([
      committer.submit({ appends: [append('a')] }),
      committer.submit({ appends: [append('b'), append('c')], rowsAt: at('there') }),
      committer.submit({
        guards: [{ collection: 'meta', key: 'none', is: 'present' }],
        appends: [append('refused')],
        rowsAt: at('refused'),
      }),
    ])
    expect(commits).toEqual([3])
    expect((await store.row('meta', 'there'))?.value).toEqual([2, 3])
    expect(await store.row('meta', 'refused')).toBeUndefined()
  })

  it('goes on after a failed commit of which nothing was written (F20)', async () => {
    let fails = true
    const { committer, failures, applied } = open({
      fault: (point) =>
        fails && point === 'before-commit' ? Promise.reject(new Error('no')) : Promise.resolve(),
    })
    const mark = { marks: [{ consumer: 'a', position: 1 }] }
    await expect(committer.submit(mark)).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
    expect(committer.lastError).toBeInstanceOf(JuncturaError)
    expect(applied).toEqual([])
    fails = false
    await committer.submit(mark)
    expect([committer.mode, committer.lastError, failures]).toEqual(['open', undefined, []])
  })

  it('refuses everything after a commit of unknown outcome, and says so once (F21)', async () => {
    const { committer, failures } = open({
      fault: (point) =>
        point === 'after-commit' ? Promise.reject(new Error('lost')) : Promise.resolve(),
    })
    const both = [
      committer.submit({ rows: [meta('a', 1)] }),
      committer.submit({ rows: [meta('b', 1)] }),
    ]
    for (const one of await Promise.allSettled(both)) expect(one.status).toBe('rejected')
    await expect(committer.submit({})).rejects.toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
    expect(committer.mode).toBe('failed')
    expect(failures).toHaveLength(1)
  })

  it('refuses a flood, but not the bookkeeping of what was accepted (M42)', async () => {
    const { committer } = open()
    const flood = Array.from({ length: LIMITS.acceptQueueMax + 5 }, () => committer.submit({}))
    const inside = committer.submit({ rows: [meta('a', 1)], isInternal: true })
    const results = await Promise.allSettled(flood)
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(5)
    expect((await inside).status).toBe('committed')
  })

  it('takes one unit that is larger than the queue may be', async () => {
    const { committer } = open()
    const big = { ...append(''), bytes: new Uint8Array(LIMITS.recordBytesMax) }
    const appends = Array.from({ length: 17 }, () => big)
    expect((await committer.submit({ appends })).status).toBe('committed')
  })

  it('hands at-most-once messages on when their unit is committed, and only then', async () => {
    const { committer, volatile, commits } = open()
    await committer.submit({ volatile: [append('free')] })
    expect([volatile, commits]).toEqual([['free'], []])
    await committer.submit({ rows: [meta('a', 1)], volatile: [append('with')] })
    await committer.submit({
      guards: [{ collection: 'meta', key: 'none', is: 'present' }],
      volatile: [append('refused')],
    })
    expect(volatile).toEqual(['free', 'with'])
  })

  it('writes a mark with the next commit, and never behind a unit that came later', async () => {
    const { committer, applied } = open()
    committer.mark({ consumer: 'a', position: 1 })
    await committer.submit({ marks: [{ consumer: 'a', position: 2 }] })
    expect(applied.flat().map(({ position }) => position)).toEqual([1, 2])
    committer.mark({ consumer: 'a', position: 3 })
    await committer.drain()
    expect(applied.flat().at(-1)?.position).toBe(3)
  })

  it('keeps the marks that a store refused for its next commit, or a moment later (F20)', async () => {
    let isFull = true
    const { committer, applied, clock } = open({
      fault: () =>
        isFull ? Promise.reject(new JuncturaError('JUNCTURA_STORE_FULL')) : Promise.resolve(),
    })
    committer.mark({ consumer: 'a', position: 1 })
    await committer.drain()
    expect(applied).toEqual([])
    isFull = false
    await clock.advance(1_000)
    expect(applied.flat()).toEqual([{ consumer: 'a', position: 1 }])
  })

  it('commits what it has before it closes, and nothing after', async () => {
    const { committer, store } = open()
    const last = committer.submit({ rows: [meta('last', 1)] })
    await committer.close()
    expect((await last).status).toBe('committed')
    await expect(committer.submit({})).rejects.toMatchObject({ code: 'JUNCTURA_CLOSED' })
    expect(await store.row('meta', 'last')).toBeDefined()
  })
})
