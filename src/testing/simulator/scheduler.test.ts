import { describe, expect, it } from 'vitest'
import { createSeededRandom } from '../../kernel/index.ts'
import { createNodeClock } from './node-clock.ts'
import { createScheduler, type Scheduler } from './scheduler.ts'

const runAll = async (scheduler: Scheduler): Promise<void> => {
  while (await scheduler.step()) continue
}

const shuffled = async (seed: number): Promise<readonly number[]> => {
  const scheduler = createScheduler(createSeededRandom(seed))
  const order: number[] = []
  for (let n = 0; n < 20; n++) scheduler.at(5, () => order.push(n))
  await runAll(scheduler)
  return order
}

describe('the scheduler', () => {
  it('runs what is due in order of time, and leaves out what was cancelled', async () => {
    const scheduler = createScheduler(createSeededRandom(1))
    const seen: number[] = []
    const delays = Array.from({ length: 200 }, (_, n) => (n * 7_919) % 501)
    const timers = delays.map((delay) => scheduler.at(delay, () => seen.push(scheduler.nowMs)))
    timers.forEach((timer, n) => {
      if (n % 3 === 0) timer.cancel()
    })

    await runAll(scheduler)

    expect(seen).toEqual(delays.filter((_, n) => n % 3 !== 0).toSorted((a, b) => a - b))
  })

  it('draws the order of what comes due at the same moment from the seed', async () => {
    const first = await shuffled(1)

    expect(await shuffled(1)).toEqual(first)
    expect(await shuffled(2)).not.toEqual(first)
    expect(first.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n))
  })
})

describe('the clock of a simulated process', () => {
  const world = () => {
    const scheduler = createScheduler(createSeededRandom(1))
    return { scheduler, clock: createNodeClock(scheduler, () => 0) }
  }

  it('keeps what comes due while it is paused until it goes on (F39)', async () => {
    const { scheduler, clock } = world()
    const seen: number[] = []
    clock.setTimer(10, () => seen.push(scheduler.nowMs))
    clock.pause()
    scheduler.at(50, () => clock.resume())

    await runAll(scheduler)

    expect(seen).toEqual([50])
  })

  it('never wakes a process that is dead, also when it had been paused', async () => {
    const { scheduler, clock } = world()
    const seen: string[] = []
    clock.setTimer(10, () => seen.push('timer'))
    void clock.yield().then(() => seen.push('turn'))
    clock.pause()
    scheduler.at(20, () => clock.kill())
    scheduler.at(30, () => clock.resume())

    await runAll(scheduler)

    expect(seen).toEqual([])
  })

  it('jumps, drifts and is set right, while its monotonic time only ever grows (F35)', async () => {
    const { scheduler, clock } = world()
    const startMs = clock.now()
    clock.jump(-3_600_000)
    expect(clock.now() - startMs).toBe(-3_600_000)
    expect(clock.monotonicMs()).toBe(0)
    clock.drift(1.05)
    scheduler.at(1_000, () => undefined)
    await runAll(scheduler)

    expect(clock.monotonicMs()).toBeCloseTo(1_050)
    clock.correct()
    expect(clock.now() - startMs).toBe(1_000)
    expect(clock.monotonicMs()).toBeCloseTo(1_050)
  })
})
