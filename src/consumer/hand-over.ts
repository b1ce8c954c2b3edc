import type { DeadLetterRow, LaneRow, RowWrite } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { isIdle } from './held-lanes.ts'
import { copiesOf, copyWrite, laneWrite, marksOf, successorWrite } from './lane-rows.ts'
import type { Lane } from './lane-table.ts'
import { itemOf, laneOfLetter, type ReplayMark, replayedKey, successorKey } from './work-item.ts'

/** Work that does not come from the log: a dead letter, or a message of a replay. */
export interface HandOver {
  readonly delivered: Delivered
  readonly letter?: DeadLetterRow
  readonly replay?: ReplayMark
  /** Whether the replay has more of this key to come, so that what is live must wait. */
  readonly more?: boolean
}

/**
 * Gives a lane work by a row, so that it survives a crash and takes its place in the order of
 * positions. False when the same work was given before, by this replay or by somebody else.
 */
export const handOver = (runner: ConsumerRunner, work: HandOver): Promise<boolean> => {
  const { consumer, lanes, ports, held } = runner
  const { letter, replay, more = false } = work
  const item = itemOf(consumer, work.delivered, 'successor', {
    ...(letter && { letter }),
    ...(replay && { replay }),
  })
  const lane = lanes.findOrCreate(item.lane)
  const doneKey = replay && replayedKey(replay.runId, consumer.name, item.position)
  return held.section(lane, async () => {
    if (replay) setHold(lane, replay.runId, more)
    const key = successorKey(consumer.name, lane.key, item.position)
    const isGiven =
      (doneKey !== undefined && (await ports.store.row('replayed', doneKey)) !== undefined) ||
      (await ports.store.row('successors', key)) !== undefined
    if (isGiven) {
      // Also where another replay gave it: the key is let go here, or held, all the same.
      if (replay) await held.rewrite(lane)
      return false
    }
    const waiting = lane.state === 'open' ? held.takeWaiting(lane) : []
    if (lane.state === 'open') lane.state = 'draining'
    // A lane that is about to be held has no row yet, and a successor without one is lost.
    const row =
      lane.state === 'draining' || lane.row === undefined ? held.drainingRow(lane) : undefined
    const done: RowWrite[] =
      doneKey === undefined
        ? []
        : [{ collection: 'replayed', key: doneKey, row: { atMs: ports.kernel.clock.now() } }]
    const committed = await runner.commit({
      rows: [
        successorWrite(consumer, item),
        ...(row ? [laneWrite(consumer, lane.key, row)] : []),
        ...waiting.map((one) => successorWrite(consumer, one)),
        ...(consumer.on.record === 'transport' ? [copyWrite(consumer, item)] : []),
        ...copiesOf(consumer, waiting),
        ...done,
      ],
      ...marksOf(consumer, waiting),
    })
    if (committed && row) lane.row = row
    held.turn(lane)
    return committed !== undefined
  })
}

export type RetryHeadResult = 'running' | 'busy' | 'not-parked' | 'expired' | 'tried'

/**
 * Runs a parked head again; a replay does so once. Were it to try again after each start, a message
 * that takes the process down would do so for ever (F13).
 */
export const retryHead = async (
  runner: ConsumerRunner,
  letter: DeadLetterRow,
  replay: ReplayMark | undefined,
): Promise<RetryHeadResult> => {
  const { store, kernel } = runner.ports
  const lane = runner.lanes.find(laneOfLetter(runner.consumer, letter))
  if (!lane) return 'not-parked'
  return runner.held.section(lane, async () => {
    const { row } = lane
    if (lane.state !== 'held' || row?.deadLetter !== letter.id) return 'not-parked'
    if (row.state !== 'parked' || !isIdle(lane)) return 'busy'
    const { replay: _, ...parked } = row
    const fresh: LaneRow = {
      ...parked,
      attempts: 0,
      crashes: 0,
      ...(replay && { replay: replay.runId }),
    }
    const tried = replay && replayedKey(replay.runId, runner.consumer.name, row.position)
    if (tried !== undefined && (await store.row('replayed', tried))) return 'tried'
    const item = await runner.held.reader.head(fresh)
    if (!item) return 'expired'
    const done: RowWrite[] =
      tried === undefined
        ? []
        : [{ collection: 'replayed', key: tried, row: { atMs: kernel.clock.now() } }]
    await runner.held.claimHead(lane, { row: fresh, extra: done }, item)
    return 'running'
  })
}

/** Replays are over, or rest: what waited for them goes on. */
export const releaseReplays = async (
  runner: ConsumerRunner,
  isOver: (runId: string) => boolean,
): Promise<void> => {
  for (const lane of Array.from(runner.lanes.all())) {
    const { replay } = lane
    if (replay !== undefined && isOver(replay)) await releaseKey(runner, lane.key, replay)
  }
}

/** A replay has no more of this key. */
export const releaseKey = async (
  runner: ConsumerRunner,
  laneName: string,
  runId: string,
): Promise<void> => {
  const lane = runner.lanes.find(laneName)
  if (!lane) return
  await runner.held.section(lane, async () => {
    if (lane.replay !== runId) return
    lane.replay = undefined
    await runner.held.rewrite(lane)
  })
}

function setHold(lane: Lane, runId: string, more: boolean): void {
  if (more) lane.replay = runId
  else if (lane.replay === runId) lane.replay = undefined
}
