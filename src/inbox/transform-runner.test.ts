import { describe, expect, it } from 'vitest'
import { isJuncturaError } from '../kernel/index.ts'
import { createVirtualClock } from '../testing/index.ts'
import { createTransformRunner, type TransformJob } from './transform-runner.ts'

const job = (run: TransformJob['run'], timeoutMs = 30): TransformJob => ({ run, timeoutMs })
const hang = (): never => {
  for (;;);
}

describe('the transform runner', () => {
  it('cuts off one that never returns and lets its neighbours go on (F17)', async () => {
    const runner = createTransformRunner(createVirtualClock())

    const outcomes = await Promise.all([
      runner.run(job(() => 'before')),
      runner.run(job(hang)),
      runner.run(job(() => 'after')),
    ])

    expect(outcomes[0]).toEqual({ ok: true, value: 'before' })
    expect(
      !outcomes[1].ok && isJuncturaError(outcomes[1].error, 'JUNCTURA_TRANSFORM_TIMEOUT'),
    ).toBe(true)
    expect(outcomes[2]).toEqual({ ok: true, value: 'after' })
  })

  it('runs what comes during a commit together, when the commit is over', async () => {
    const order: string[] = []
    let end: () => void = () => undefined
    const commit = new Promise<void>((resolve) => (end = resolve))
    const clock = createVirtualClock()
    const runner = createTransformRunner(clock, { whenFree: () => commit })

    const early = runner.run(job(() => order.push('early')))
    await clock.yield()
    const late = runner.run(job(() => order.push('late')))
    order.push('commit')
    end()
    await Promise.all([early, late])

    expect(order).toEqual(['commit', 'early', 'late'])
  })

  it('cuts off code that catches everything', async () => {
    const runner = createTransformRunner(createVirtualClock())

    const outcome = await runner.run(
      job(() => {
        for (;;) {
          try {
            hang()
          } catch {
            hang()
          }
        }
      }),
    )

    expect(outcome.ok).toBe(false)
  })

  it('runs a neighbour again, with fresh data, when only the batch was too long', async () => {
    const runner = createTransformRunner(createVirtualClock())
    const seen: boolean[] = []
    let isSlow = true
    const slowOnce = (again: boolean): string => {
      seen.push(again)
      if (!isSlow) return 'done'
      isSlow = false
      return hang()
    }

    const outcomes = await Promise.all([runner.run(job(() => 1)), runner.run(job(slowOnce))])

    expect(outcomes[1]).toEqual({ ok: true, value: 'done' })
    expect(seen).toEqual([false, true])
  })

  it('keeps deadlines apart that differ', async () => {
    const runner = createTransformRunner(createVirtualClock())

    const [short, long] = await Promise.all([
      runner.run(job(hang, 10)),
      runner.run(job(() => 'fine', 500)),
    ])

    expect(short.ok).toBe(false)
    expect(long).toEqual({ ok: true, value: 'fine' })
  })

  it('gives what was thrown, whatever it is', async () => {
    const runner = createTransformRunner(createVirtualClock())
    const thrown = new TypeError('no')

    const outcome = await runner.run(
      job(() => {
        throw thrown
      }),
    )

    expect(outcome).toEqual({ ok: false, error: thrown })
  })

  it('waits for a promise until the deadline and no longer', async () => {
    const clock = createVirtualClock()
    const runner = createTransformRunner(clock)
    const kept = runner.run(job(() => Promise.resolve('later')))
    const broken = runner.run(job(() => Promise.reject(new TypeError('no'))))
    const never = runner.run(job(() => new Promise(() => undefined), 1_000))

    expect(await kept).toEqual({ ok: true, value: 'later' })
    await clock.advance(1_000)

    expect(await broken).toMatchObject({ ok: false })
    expect(await never).toMatchObject({ ok: false, error: { code: 'JUNCTURA_TRANSFORM_TIMEOUT' } })
    expect(clock.pendingTimers).toEqual([])
  })

  it('leaves nothing behind on the global object', async () => {
    const before = Reflect.ownKeys(globalThis).length
    const runner = createTransformRunner(createVirtualClock())

    await runner.run(job(hang))

    expect(Reflect.ownKeys(globalThis)).toHaveLength(before)
  })
})
