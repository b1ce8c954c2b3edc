import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  createPostgresBench,
  holds,
  type PostgresBench,
  statusesOf,
  unitOf,
} from '../../../test/engines/postgres-bench.ts'
import { type ReplicaPair, startReplicaPair } from '../../../test/engines/replica-pair.ts'
import { createSeededRandom, LIMITS, must } from '../../kernel/index.ts'
import { type FailOver, FAILED_OVER, type Store, type StoreNews } from '../index.ts'

let pair: ReplicaPair | undefined
let bench: PostgresBench | undefined
let databases = 0
let opened = 0

const thePair = (): ReplicaPair => must(pair, 'the servers run')
/** Each as another process would, at the address that moves. */
const open = (): Promise<Store> =>
  must(bench, 'a test has a database').open({ random: createSeededRandom(++opened) })

const noteIn = async (store: Store): Promise<FailOver | undefined> => {
  const value = (await store.row('meta', FAILED_OVER))?.value
  return value === undefined ? undefined : (value as FailOver)
}

const positionOf = async (store: Store, text: string): Promise<number> => {
  const [outcome] = await store.commit([unitOf(text)])
  return must(outcome?.status === 'committed' ? outcome.positions[0] : undefined, text)
}

describe.each([true, false])('a replica that is promoted, synchronous: %s', (isSynchronous) => {
  beforeAll(async () => {
    const engine =
      process.env['JUNCTURA_TEST_POSTGRES_VERSION'] === '15' ? 'postgres15' : 'postgres18'
    pair = await startReplicaPair({ isSynchronous, engine })
  })

  afterAll(async () => {
    await pair?.stop()
  })

  beforeEach(async () => {
    databases += 1
    bench = await createPostgresBench(thePair().url, `moved_${databases}`)
  })

  afterEach(async () => {
    await bench?.close()
  })

  it('is noticed by the next commit: nothing is written by whoever remembers the old server (F80)', async () => {
    const store = await open()
    await store.commit([unitOf('a'), unitOf('b')])
    if (!isSynchronous) await thePair().detach()
    const last = await positionOf(store, 'c')
    await thePair().failOver()

    const refused = await untilUnknown(store)
    await store.close()

    const next = await open()
    const note = must(await noteIn(next), 'the change is noted')
    const there = isSynchronous ? last : last - 1
    expect(refused).toContain('timeline')
    expect(note).toMatchObject({
      durability: isSynchronous ? 'replicated' : 'fsync',
      position: there,
      reached: last,
      missing: last - there,
      nextPosition: last + LIMITS.positionGap + 1,
    })
    expect(await holds(next, 'c')).toBe(isSynchronous)
    // What was lost may be sent again, and no position is given twice.
    const again = await next.commit([unitOf('c')])
    expect(again).toEqual([
      isSynchronous
        ? { status: 'duplicate', claim: 0, position: last }
        : { status: 'committed', positions: [note.nextPosition] },
    ])
    expect(await positionOf(next, 'd')).toBeGreaterThanOrEqual(note.nextPosition)
    expect((await next.partitions()).map((one) => one.open)).toEqual([false, true])
    expect((await next.check()).filter(({ resource }) => resource.startsWith('record'))).toEqual([])
    await thePair().rebuild()
  })

  it('is noticed by a process that only listens, and by each one once', async () => {
    const one = await open()
    const other = await open()
    const heard: StoreNews[] = []
    const watch = await other.watch?.((news) => heard.push(news))
    await one.commit([unitOf('a')])
    await thePair().failOver()

    await untilUnknown(one)
    await expect.poll(() => heard.at(-1)?.lost?.code, { timeout: 30_000 }).toBeDefined()

    expect(heard.at(-1)?.lost).toMatchObject({ code: 'JUNCTURA_STORE_UNKNOWN' })
    await expect(other.commit([unitOf('x')])).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_UNKNOWN',
    })
    await watch?.close()
    await one.close()
    await other.close()
    const next = await open()
    // The second to come finds the change made: one gap, not two.
    expect(await next.partitions()).toHaveLength(2)
    expect(await statusesOf(next, [unitOf('after')])).toEqual(['committed'])
    await thePair().rebuild()
  })

  it('is waited for while the address leads to a replica that takes no writes (F80)', async () => {
    const store = await open()
    await store.commit([unitOf('a')])
    await thePair().lead('replica')

    for (let tries = 0; tries < 3; tries++) {
      await expect(store.commit([unitOf('b')])).rejects.toMatchObject({
        code: 'JUNCTURA_STORE_FAILED',
      })
    }
    await expect(open()).rejects.toMatchObject({ code: 'JUNCTURA_STORE_FAILED' })
    await thePair().lead('primary')

    // The connection that was cut is noticed by the first.
    await store.commit([unitOf('b')]).catch(() => undefined)
    expect(await statusesOf(store, [unitOf('c')])).toEqual(['committed'])
    await store.close()
  })

  it('is measured by whoever remembers most, also after somebody else has gone on (F80)', async () => {
    if (isSynchronous) return expect(await noteIn(await open())).toBeUndefined()
    const writer = await open()
    const reader = await open()
    const first = await positionOf(writer, 'a')
    await reader.headPosition()
    await thePair().detach()
    const last = await positionOf(writer, 'b')
    await thePair().failOver()

    // A process that starts now knows of nothing; one that has seen little knows little.
    const next = await connected(open)
    expect(await noteIn(next)).toMatchObject({ position: first, reached: null, missing: null })
    const after = await positionOf(next, 'after')
    await untilUnknown(reader)
    await reader.close()
    expect(await noteIn(next)).toMatchObject({ reached: first, missing: 0 })
    await untilUnknown(writer)
    await writer.close()

    expect(await noteIn(next)).toMatchObject({ position: first, reached: last, missing: 1 })
    expect(after).toBeGreaterThan(last)
    expect(await holds(next, 'b')).toBe(false)
    expect(await holds(next, 'after')).toBe(true)
  })
})

/** Commits until the store says that it is not trusted any more; why. */
async function untilUnknown(store: Store): Promise<string> {
  for (let tries = 0; tries < 200; tries++) {
    const error = await store.commit([unitOf(`try ${tries}`)]).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (error instanceof Error && 'code' in error && error.code === 'JUNCTURA_STORE_UNKNOWN') {
      return error.message
    }
  }
  throw new Error('it was trusted on and on')
}

/** The address has just moved. */
async function connected(openStore: () => Promise<Store>): Promise<Store> {
  for (let tries = 0; ; tries++) {
    try {
      return await openStore()
    } catch (error) {
      if (tries > 20) throw error
    }
  }
}
