import { decodeRecord } from '../contract/index.ts'
import { JuncturaError, LIMITS } from '../kernel/index.ts'
import type { LaneRow, ProgressRow, SuspectRow } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { describeFailure } from './failure.ts'
import { buryItem } from './give-up.ts'
import { isIdle } from './held-lanes.ts'
import { laneWrite } from './lane-rows.ts'
import type { Lane } from './lane-table.ts'
import { isNewer } from './newer-version.ts'
import { runItem } from './run-item.ts'
import { itemOf, laneKey, suspectKey, type WorkItem } from './work-item.ts'

const READ_BYTES_MAX = 8_388_608
const READ_RECORDS = 256

/**
 * What the last run had claimed and not finished. Empty after a clean stop. The fetched positions
 * are noted in the runner's progress, so that the log is read on from behind them.
 */
export const collectSuspects = async (
  runner: ConsumerRunner,
  row: ProgressRow,
): Promise<readonly WorkItem[]> => {
  const { ports, consumer, progress } = runner
  const suspects: WorkItem[] = []
  if (consumer.on.record === 'transport') {
    await collectFromRecord(runner, row, suspects)
    return suspects
  }
  let afterPosition = row.watermark
  while (afterPosition < row.claimedTo) {
    const page = await ports.store.readLog({
      channel: consumer.on.channel,
      afterPosition,
      limit: READ_RECORDS,
      bytesMax: READ_BYTES_MAX,
    })
    for (const stored of page.records) {
      if (stored.position > row.claimedTo) break
      const delivered = { ...stored, record: decodeRecord(stored.bytes, stored.position) }
      const item = await takeSuspect(runner, delivered)
      if (item) suspects.push(item)
    }
    if (page.scannedTo <= afterPosition) break
    afterPosition = page.scannedTo
  }
  // Until they have run they stay claimed, whatever else is written meanwhile.
  progress.claimFetched()
  return suspects
}

/** The record is the broker: it has what was in flight, unless its retention has passed it. */
async function collectFromRecord(
  runner: ConsumerRunner,
  row: ProgressRow,
  suspects: WorkItem[],
): Promise<void> {
  if (row.claimedTo <= row.watermark) return
  const { progress, stopSignal } = runner
  const subscription = runner.subscription()
  const read = await subscription.readTo?.(row.claimedTo, stopSignal)
  for (const delivered of read ?? []) {
    const item = await takeSuspect(runner, delivered)
    if (item) suspects.push(item)
  }
  progress.passed(Math.min(subscription.scannedTo, row.claimedTo))
  progress.claimFetched()
}

async function takeSuspect(
  runner: ConsumerRunner,
  delivered: Delivered,
): Promise<WorkItem | undefined> {
  const { progress, consumer } = runner
  const { position } = delivered
  if (!runner.isMine(delivered)) {
    progress.passed(position)
    return undefined
  }
  if (progress.wasDone(position)) {
    progress.fetchedFinished(position)
    return undefined
  }
  progress.fetched(position, delivered.atMs, delivered.record.data.length)
  return asSuspect(runner, itemOf(consumer, delivered, 'log'))
}

/** The item with the attempts that it has had alone. */
async function asSuspect(runner: ConsumerRunner, item: WorkItem): Promise<WorkItem> {
  const { ports, consumer } = runner
  const known = await ports.store.row('suspects', suspectKey(consumer.name, item.position))
  const crashes = known?.attempts ?? 0
  return { ...item, attempts: crashes, crashes, isSuspect: true }
}

/**
 * Runs suspects one at a time, with nothing else of this process running: if it dies again, this
 * message did it. The attempt is counted before it begins; innocent neighbours, which only ran
 * beside a poison, keep a clean count.
 */
export const runSuspects = async (
  runner: ConsumerRunner,
  suspects: readonly WorkItem[],
): Promise<void> => {
  const { ports, consumer, lanes, held } = runner
  const crashed = held.crashed.splice(0)
  for (const row of crashed) {
    const lane = lanes.findOrCreate(row.key)
    if (row.state === 'retry' || row.state === 'parked') await runHeadAlone(runner, lane, row)
    else await runSuccessorsAlone(runner, lane, row)
  }
  for (const item of suspects) {
    if (!runner.mayGoOn) return
    const lane = lanes.findOrCreate(item.lane)
    // Nothing of it is counted: it waits behind its lane, and nobody has run it alone.
    if (lane.state === 'open') await runAlone(runner, lane, item)
    else held.arrive(lane, item)
  }
  if (suspects.length + crashed.length === 0) return
  ports.kernel.log.info(
    { consumer: consumer.name, suspects: suspects.length, lanes: crashed.length },
    'recovered what was in flight',
  )
}

/** The head of a held lane: its crash is counted in the lane row. */
async function runHeadAlone(runner: ConsumerRunner, lane: Lane, row: LaneRow): Promise<void> {
  const { consumer, ports, held } = runner
  const item = await held.reader.head(row)
  if (!item || !isIdle(lane) || lane.state !== 'held') {
    await held.release(lane.key, [])
    return
  }
  if (isWornOut(runner, item)) return bury(runner, lane, item)
  const counted: LaneRow = {
    ...row,
    attempts: row.attempts + 1,
    crashes: row.crashes + 1,
    runningEpoch: ports.epoch,
  }
  const committed = await runner.commit({ rows: [laneWrite(consumer, lane.key, counted)] })
  if (!committed) return
  lane.row = counted
  await alone(lane, () => runItem(runner, { lane, item }))
  held.settled(lane)
}

/** The successors that a draining lane had handed out. */
async function runSuccessorsAlone(runner: ConsumerRunner, lane: Lane, row: LaneRow): Promise<void> {
  const { consumer, ports, held } = runner
  const page = await ports.store.scan({
    collection: 'successors',
    index: 'byLane',
    where: [laneKey(consumer.name, lane.key)],
    to: row.position,
    limit: LIMITS.pageRowsMax,
  })
  for (const successor of page) {
    if (lane.state !== 'draining' || !runner.mayGoOn) return
    const item = await held.reader.successor(successor.row)
    if (!item) await held.expire(successor.row)
    else await runAlone(runner, lane, await asSuspect(runner, item))
  }
}

async function runAlone(runner: ConsumerRunner, lane: Lane, item: WorkItem): Promise<void> {
  const { consumer, held } = runner
  if (isWornOut(runner, item)) return bury(runner, lane, item)
  const { position } = item
  const row: SuspectRow = { consumer: consumer.name, position, attempts: item.crashes + 1 }
  const key = suspectKey(consumer.name, position)
  // From now on, or somebody who is done with the key takes the lane out of the table.
  lane.running = true
  if (!(await runner.commit({ rows: [{ collection: 'suspects', key, row }] }))) return
  await alone(lane, () => runItem(runner, { lane, item }))
  held.settled(lane)
}

async function bury(runner: ConsumerRunner, lane: Lane, item: WorkItem): Promise<void> {
  const { attempts, crashes } = item
  const error = new JuncturaError('JUNCTURA_ATTEMPT_CRASHED', { details: { crashes } })
  const failure = describeFailure(error, (text) => text)
  await alone(lane, () => buryItem(runner, { lane, item, failure, attempts }))
  runner.held.settled(lane)
}

async function alone(lane: Lane, work: () => Promise<void>): Promise<void> {
  lane.running = true
  await work()
}

/** It has crashed as often as any may, or its attempts are used up by crashes. */
const isWornOut = (runner: ConsumerRunner, item: WorkItem): boolean => {
  if (item.crashes === 0) return false
  const attemptsMax = runner.consumer.retry?.attempts ?? 1
  // No handler has seen what only newer code can read: it cannot have killed the process.
  const isOver = item.crashes >= LIMITS.crashesMax || item.attempts >= attemptsMax
  return isOver && !isNewer(runner, item)
}
