import { describe, expect, it } from 'vitest'
import { createSteadyClock, silentLogger } from '../kernel/index.ts'
import { createVirtualClock, type VirtualClock } from '../testing/index.ts'
import type { TimerRow } from './catalogue.ts'
import { createMemoryDisk, createMemoryStore, type MemoryDisk } from './memory/index.ts'
import type { Store } from './store.ts'
import { clearTimerRow, createTimers, setTimerRow, type Timers } from './timers.ts'

const DAY_MS = 86_400_000

interface Bench {
  readonly clock: VirtualClock
  readonly store: Store
  readonly timers: Timers
  readonly woken: { readonly reference: string; readonly atMs: number }[]
  set(reference: string, delayMs: number): Promise<TimerRow>
}

const open = (
  parts: {
    readonly clock?: VirtualClock
    readonly disk?: MemoryDisk
    readonly fails?: () => boolean
  } = {},
): Bench => {
  const clock = parts.clock ?? createVirtualClock()
  const steady = createSteadyClock(clock)
  const store = createMemoryStore({
    clock,
    disk: parts.disk ?? createMemoryDisk(),
    fault: (point) =>
      point === 'read' && parts.fails?.() === true
        ? Promise.reject(new Error('no'))
        : Promise.resolve(),
  })
  const timers = createTimers({ store, clock, steady, log: silentLogger })
  const woken: { reference: string; atMs: number }[] = []
  timers.register('owner', (reference) => {
    woken.push({ reference, atMs: clock.monotonicMs() })
  })
  const set = async (reference: string, delayMs: number): Promise<TimerRow> => {
    const timer = { owner: 'owner', reference, dueAtMs: steady.now() + delayMs }
    await store.commit([{ rows: [setTimerRow(timer)] }])
    timers.scheduled(timer)
    return timer
  }
  return { clock, store, timers, woken, set }
}

const pass = async (clock: VirtualClock, ms: number): Promise<void> => {
  await clock.advance(ms)
  for (let turn = 0; turn < 10; turn++) await clock.yield()
}

describe('durable timers', () => {
  it('wake their owner when due, not before, and in the order of their times', async () => {
    const { clock, timers, woken, set } = open()
    await timers.start()
    await set('late', 5_000)
    await set('soon', 1_000)

    await pass(clock, 999)
    expect(woken).toEqual([])
    await pass(clock, 10_000)

    expect(woken.map(({ reference }) => reference)).toEqual(['soon', 'late'])
  })

  it('that lie longer than a timer of the machine can hold come at their day, once (F38)', async () => {
    const { clock, timers, woken, set } = open()
    await timers.start()
    await set('month', 30 * DAY_MS)
    await pass(clock, 30 * DAY_MS - 1_000)
    expect(woken).toEqual([])
    await pass(clock, 10 * DAY_MS)
    expect(woken).toHaveLength(1)
  })

  it.each([-3_600_000, DAY_MS])(
    'do not move when the wall clock jumps by %i ms (F35)',
    async (jump) => {
      const { clock, timers, woken, set } = open()
      await timers.start()
      await set('one', 10_000)
      clock.stepWall(jump)
      await pass(clock, 9_000)
      expect(woken).toEqual([])
      await pass(clock, 2_000)
      expect(woken).toHaveLength(1)
    },
  )

  it('survive a crash: what came due meanwhile wakes at the next start', async () => {
    const disk = createMemoryDisk()
    const first = open({ disk })
    await first.timers.start()
    await first.set('one', 10_000)
    disk.crash()
    await first.timers.close()
    await pass(first.clock, DAY_MS)
    expect(first.woken).toEqual([])

    const second = open({ disk, clock: first.clock })
    await second.timers.start()
    await pass(first.clock, 1)

    expect(second.woken).toHaveLength(1)
  })

  it('set anew for the very moment at which they fired wake again', async () => {
    const { clock, store, timers, woken, set } = open()
    await timers.start()
    await set('one', 0)
    await pass(clock, 0)
    await store.commit([{ rows: [clearTimerRow('owner', 'one')] }])
    await set('one', 0)
    await pass(clock, 1)
    expect(woken).toHaveLength(2)
  })

  it('wake nobody before the start, and everything due at it', async () => {
    const { clock, timers, woken, set } = open()
    await set('one', 10)
    await pass(clock, 1_000)
    expect(woken).toEqual([])
    await timers.start()
    expect(woken).toHaveLength(1)
  })

  it('come late, not never, when the table cannot be read for a while', async () => {
    let fails = false
    const { clock, timers, woken, set } = open({ fails: () => fails })
    await timers.start()
    await set('one', 1_000)
    fails = true
    await pass(clock, 5_000)
    expect(woken).toEqual([])
    fails = false
    await pass(clock, 5_000)
    expect(woken).toHaveLength(1)
  })

  it('of ten thousand that are due together all wake', async () => {
    const { clock, store, timers, woken } = open()
    const rows = Array.from({ length: 10_000 }, (_, n) =>
      setTimerRow({ owner: 'owner', reference: `t${n}`, dueAtMs: clock.now() + 10 }),
    )
    await store.commit([{ rows }])
    await timers.start()
    await pass(clock, 70_000)
    for (let turn = 0; turn < 200; turn++) await clock.yield()
    expect(new Set(woken.map(({ reference }) => reference)).size).toBe(10_000)
  })

  it('wake nobody after close', async () => {
    const { clock, timers, woken, set } = open()
    await timers.start()
    await set('one', 1_000)
    await timers.close()
    await pass(clock, DAY_MS)
    expect(woken).toEqual([])
  })
})
