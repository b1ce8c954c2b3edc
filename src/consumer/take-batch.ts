import type { LaneTable } from './lane-table.ts'
import type { TakenItem } from './run-item.ts'
import type { WorkItem } from './work-item.ts'

/** Items for one attempt: of several lanes, and of each lane the next ones in order. */
export const takeBatch = (
  lanes: LaneTable,
  mayRun: (item: WorkItem) => boolean,
  max: number,
): readonly TakenItem[] => {
  const taken: TakenItem[] = []
  while (taken.length < max) {
    const next = lanes.take()
    if (!next) break
    const { lane, item } = next
    // What has failed before, or has a row of its own, runs alone.
    const isAlone = item.attempts > 0 || item.origin !== 'log'
    if (!mayRun(item) || (isAlone && taken.length > 0)) {
      lanes.putBack(lane, item)
      lanes.release(lane)
      break
    }
    taken.push(next)
    if (isAlone) break
    while (taken.length < max) {
      const more = lane.queue[0]
      if (more?.origin !== 'log' || !mayRun(more)) break
      lanes.takeMore(lane)
      taken.push({ lane, item: more })
    }
  }
  return taken
}
