import { describe, expect, it } from 'vitest'
import {
  shop,
  shopBody,
  shopEmitted,
  shopWithOutboxes,
} from '../../../test/simulation/shop.fixture.ts'
import { describeFailure, runSeed, simulate } from './simulate.ts'

describe('simulate', () => {
  it('gives what the check of its caller says, with the seed and the way to see it again', async () => {
    const { failures } = await simulate(shop, {
      seeds: [7],
      faults: 'calm',
      messages: 5,
      body: shopBody,
      check: ({ deliveries }) => [`${deliveries.length} were sent, and that is too many`],
    })

    expect(failures).toMatchObject([
      { seed: 7, sentences: ['5 were sent, and that is too many'], faultsNeeded: [] },
    ])
    expect(failures.map(describeFailure).join()).toMatch(/^seed 7 failed:\n {2}5 were sent/)
  })

  it('makes only the faults that it is given', async () => {
    const { failures, faults } = await simulate(shop, {
      seeds: [3],
      faults: { handlerThrows: 0.3, lateRepeat: 0.5 },
      messages: 10,
      body: shopBody,
      minimiseRuns: 100,
      check: async ({ disk }) => {
        const [row] = await disk.query('select count(*) as steps from steps')
        return row?.['steps'] === 0 ? ['no step was taken'] : []
      },
      onEvent: () => undefined,
    })

    expect(failures).toEqual([])
    expect(Object.keys(faults).toSorted()).toEqual(['handlerThrows', 'lateRepeat'])
  })

  it('writes to the outboxes of an integration that has no webhook', async () => {
    const { failures, accepted, effects } = await simulate(
      { ...shopWithOutboxes, webhooks: [] },
      { seeds: [5], faults: 'outbox', messages: 30, emitted: shopEmitted },
    )

    expect(failures).toEqual([])
    expect(accepted).toBe(0)
    expect(effects).toBeGreaterThan(20)
  })

  it('runs several processes on one store, and hands over between them', async () => {
    const { failures, situations } = await simulate(shop, {
      seeds: [1, 2],
      faults: { cluster: 1, restarts: 3, pauses: 3 },
      messages: 40,
      body: shopBody,
    })

    expect(failures).toEqual([])
    expect(situations['handed-over-in-order']).toBeGreaterThan(0)
  })

  it('refuses an integration that has neither webhook nor outbox, and says so', async () => {
    await expect(simulate({ ...shop, webhooks: [] }, { seeds: 1 })).rejects.toThrow(
      /this one has none/,
    )
  })

  it('tells every event of a seed, the same ones each time', async () => {
    const run = async (): Promise<readonly string[]> => {
      const events: string[] = []
      const onEvent = (line: string): void => void events.push(line)
      await runSeed(shop, { seed: 11, faults: 'crashy', messages: 20, body: shopBody, onEvent })
      return events
    }

    const first = await run()

    expect(first.length).toBeGreaterThan(100)
    expect(await run()).toEqual(first)
  })
})
