import { type Consumer, decodeRecord } from '../contract/index.ts'
import { JuncturaError } from '../kernel/index.ts'
import type { ProgressRow, SuspectRow } from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { describeFailure } from './failure.ts'
import type { ConsumerPorts } from './ports.ts'
import { itemOf, laneKey, positionText, type WorkItem } from './work-item.ts'

/** A message that was handed out, or about to be, when the process died. */
export interface Suspect {
  readonly item: WorkItem
}

/** A message that took the process down this often, alone, is a dead letter (M20). */
export const CRASHES_MAX = 3

const READ_BYTES_MAX = 8_388_608

/**
 * What the last run had claimed and not finished. Empty after a clean stop. The fetched positions
 * are noted in the runner's progress, so that the log is read on from behind them.
 */
export const collectSuspects = async (
  ports: ConsumerPorts,
  consumer: Consumer,
  runner: Pick<ConsumerRunner, 'progress'>,
  row: ProgressRow,
): Promise<readonly Suspect[]> => {
  const suspects: Suspect[] = []
  const { progress } = runner
  let afterPosition = row.watermark
  while (afterPosition < row.claimedTo) {
    const page = await ports.store.readLog({
      channel: consumer.on.channel,
      afterPosition,
      limit: 256,
      bytesMax: READ_BYTES_MAX,
    })
    for (const stored of page.records) {
      if (stored.position > row.claimedTo) return suspects
      const delivered = { ...stored, record: decodeRecord(stored.bytes, stored.position) }
      const item = await takeSuspect(ports, consumer, progress, delivered)
      if (item) suspects.push({ item })
    }
    if (page.records.length === 0) break
    afterPosition = page.records.at(-1)?.position ?? row.claimedTo
  }
  return suspects
}

async function takeSuspect(
  ports: ConsumerPorts,
  consumer: Consumer,
  progress: ConsumerRunner['progress'],
  delivered: Delivered,
): Promise<WorkItem | undefined> {
  const { position } = delivered
  if (delivered.record.head.envelope.type !== consumer.on.name) {
    progress.passed(position)
    return undefined
  }
  if (progress.wasDone(position)) {
    progress.fetchedFinished(position)
    return undefined
  }
  progress.fetched(position, delivered.atMs)
  const known = await ports.store.row('suspects', laneKey(consumer.name, positionText(position)))
  const crashes = known?.attempts ?? 0
  return itemOf(consumer, delivered, 'suspect', { attempts: crashes, crashes })
}

/**
 * Runs suspects one at a time, with nothing else of this process running: if it dies again, this
 * message did it. The attempt is counted before it begins; innocent neighbours, which only ran
 * beside a poison, start with a clean count.
 */
export const runSuspects = async (
  runner: ConsumerRunner,
  suspects: readonly Suspect[],
): Promise<void> => {
  const { ports, consumer, lanes, held } = runner
  for (const row of held.crashedHeads.splice(0)) {
    const lane = lanes.findOrCreate(row.key)
    const crashed = { ...row, crashes: row.crashes + 1, attempts: row.attempts + 1 }
    await runner.runHeadAlone(lane, crashed)
  }
  for (const { item } of suspects) {
    const lane = lanes.findOrCreate(item.lane)
    if (lane.state !== 'open') {
      held.storeSuccessor(lane, item)
      continue
    }
    if (item.crashes >= CRASHES_MAX) {
      await held.die(lane, item, crashFailure(item.crashes), item.attempts)
      lanes.release(lane)
      continue
    }
    const counted: SuspectRow = {
      consumer: consumer.name,
      position: item.position,
      attempts: item.crashes + 1,
    }
    const key = laneKey(consumer.name, positionText(item.position))
    await runner.commitStubbornly({ rows: [{ collection: 'suspects', key, row: counted }] })
    await runner.runItem(lane, item)
    held.settled(lane)
  }
  ports.kernel.log.info(
    { consumer: consumer.name, suspects: suspects.length },
    'recovered what was in flight',
  )
}

export const crashFailure = (crashes: number): ReturnType<typeof describeFailure> =>
  describeFailure(
    new JuncturaError('JUNCTURA_ATTEMPT_CRASHED', { details: { crashes } }),
    (text) => text,
  )
