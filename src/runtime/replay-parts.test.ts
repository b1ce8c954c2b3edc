import { describe, expect, it } from 'vitest'
import { integration } from '../contract/index.ts'
import { silentLogger } from '../kernel/index.ts'
import { createCommitter, createMemoryStore, type ReplayRow, type Store } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createProgressBook } from '../consumer/index.ts'
import { leasesOf } from './leases.fixture.ts'
import { createReplayParts, type ReplayParts } from './replay-parts.ts'
import { guarded, numbers, plan, run, stateOf } from './replays.fixture.ts'
import type { SaveReplay } from './replay-run.ts'
import { createWorld, effect, placedConsumer } from './world.fixture.ts'

const planned: ReplayRow = {
  id: 'replay_1',
  state: 'planned',
  filter: { from: 'dead-letters', frozenAtMs: 0, fromPosition: 1, toPosition: 0 },
  plan: {},
  token: 'token',
  createdAtMs: 0,
  actor: 'tester',
  reason: 'a test',
  ratePerSecond: 1_000,
  cursor: '',
  released: 0,
  skipped: 0,
  failed: 0,
  total: 0,
}

interface Parts {
  readonly parts: ReplayParts
  readonly store: Store
  readonly save: SaveReplay
  readonly state: () => Promise<string | undefined>
}

/** The parts of a replay without consumers: those that whoever has the duties runs. */
const openParts = (beforeSave: (parts: ReplayParts) => Promise<void>): Parts => {
  const kernel = createVirtualKernel({ seed: 1 })
  const { clock } = kernel
  const store = createMemoryStore({ clock })
  const committer = createCommitter({
    store,
    clock,
    log: silentLogger,
    progress: createProgressBook(),
    onAppended: () => undefined,
  })
  const save: SaveReplay = async (row, along = []) => {
    await beforeSave(parts)
    await committer.submit({ rows: [{ collection: 'replays', key: row.id, row }, ...along] })
    return row
  }
  const parts = createReplayParts(
    {
      store,
      committer,
      kernel,
      integration: integration('demo', { parts: [] }),
      runners: new Map(),
      requests: { ring: () => Promise.resolve(), partitionOf: () => undefined },
      duties: { areHere: true },
      deadLetters: { retry: () => Promise.resolve('done') },
    },
    save,
  )
  return {
    parts,
    store,
    save,
    state: async () => {
      for (let turn = 0; turn < 20; turn++) await clock.yield()
      return (await store.row('replays', planned.id))?.state
    },
  }
}

describe('the parts of a replay', () => {
  it('run also when a worker looks while the replay begins', async () => {
    let looks = 0
    const { parts, state } = openParts(async (all) => {
      if (looks++ === 0) await all.look()
    })

    await parts.begin({ ...planned, state: 'running', startedAtMs: 1 }, [])
    await parts.look()

    expect(await state()).toBe('done')
    await parts.close()
  })

  it('end the replay at the next look when whoever ran the last one died before it could', async () => {
    const { parts, store, save, state } = openParts(() => Promise.resolve())
    const row: ReplayRow = { ...planned, state: 'running', parts: ['/rest'] }
    const part = { ...row, state: 'done', released: 3, partition: '/rest' } as const
    await save(row, [{ collection: 'replayParts', key: 'replay_1\n/rest', row: part }])

    await parts.look()

    expect(await state()).toBe('done')
    expect(await store.row('replays', 'replay_1')).toMatchObject({ released: 3 })
  })

  const filter = { from: 'messages', consumer: 'ship' } as const
  const partitioned = (partitions: number, gate: Promise<void> = Promise.resolve()) => [
    placedConsumer('ship', { ...guarded, partitions }, async (order, ctx) => {
      if (ctx.replay) await gate
      await effect('ship', order, ctx)
    }),
  ]

  it('fail when their consumer is divided otherwise, so that no replay runs for ever', async () => {
    const world = createWorld()
    await world.start(partitioned(1), { leases: leasesOf() })
    await world.publish(...numbers(20))
    await world.runtime.idle()
    const row = await plan(world, filter, 1)
    await run(world, row)
    await world.pass(3_000)
    await world.runtime.close()

    await world.start(partitioned(2), { leases: leasesOf() })
    await world.pass(5_000)

    expect(await stateOf(world, row)).toMatchObject({ state: 'failed', total: 20 })
  })

  it('do not begin again on a partition that is being given to another worker', async () => {
    const world = createWorld()
    const others: string[] = []
    const told: string[] = []
    const log = { ...silentLogger, warn: (_: unknown, text: string) => void told.push(text) }
    const gate = Promise.withResolvers<void>()
    await world.start(partitioned(2, gate.promise), { leases: leasesOf(others), log })
    await world.publish(...numbers(200))
    await world.runtime.idle()
    await run(world, await plan(world, filter, 2))
    await world.pass(2_000)

    others.push('worker/2')
    await world.pass(1_000)
    // Rings, so that every worker looks for what it has to do.
    await world.operate({ kind: 'consumer.resume', name: 'ship' })
    await world.pass(30_000)

    expect(told).not.toContain('a replay waits for its store')
    gate.resolve()
    await world.runtime.close()
  })
})
