import type { Integration } from '../contract/index.ts'
import type { LaneRow, ReplayRow, Store } from '../store/index.ts'
import { eachRow } from './paging.ts'
import type { ReplayWait } from './views.ts'

/** Shown of one replay; who waits for more knows enough. */
const WAITS_SHOWN = 20
/** Parked keys of a consumer, and messages behind one of them, that are looked at. */
const PARKED_LOOKED_AT = 1_000
const BEHIND_LOOKED_AT = 1_000

/**
 * The parked keys that a running replay waits for: it has handed messages over that stand behind a
 * dead letter, and is over only when a person has dealt with that one.
 */
export const replayWaits = async (
  { store, integration }: { readonly store: Store; readonly integration: Integration },
  { id, state }: Pick<ReplayRow, 'id' | 'state'>,
): Promise<readonly ReplayWait[]> => {
  const waits: ReplayWait[] = []
  if (state !== 'running') return waits
  for (const { name } of integration.consumers) {
    const parked = { collection: 'lanes', index: 'byConsumer', where: [name, 'parked'] } as const
    for await (const { row } of eachRow(store, parked, PARKED_LOOKED_AT)) {
      if (waits.length >= WAITS_SHOWN) return waits
      const isHeld = row.replay === id || (await standsBehind(store, row, id))
      if (isHeld) waits.push(await waitOf(store, row))
    }
  }
  return waits
}

async function standsBehind(store: Store, lane: LaneRow, replay: string): Promise<boolean> {
  const where = [`${lane.consumer}\n${lane.key}`]
  const behind = { collection: 'successors', index: 'byLane', where } as const
  for await (const { row } of eachRow(store, behind, BEHIND_LOOKED_AT)) {
    if (row.replay === replay) return true
  }
  return false
}

async function waitOf(store: Store, lane: LaneRow): Promise<ReplayWait> {
  const { consumer, key, firstFailedAtMs, newerVersion, deadLetter } = lane
  if (newerVersion !== undefined) {
    const because = `its first message has version ${newerVersion}, which only newer code knows`
    return { consumer, key, sinceMs: firstFailedAtMs, because, deadLetter: null }
  }
  const letter = deadLetter === undefined ? undefined : await store.row('deadLetters', deadLetter)
  return {
    consumer,
    key,
    sinceMs: letter?.diedAtMs ?? firstFailedAtMs,
    because: letter?.causeTitle ?? 'its first message is a dead letter',
    deadLetter: deadLetter ?? null,
  }
}
