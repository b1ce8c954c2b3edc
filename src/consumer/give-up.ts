import {
  type Append,
  clearTimerRow,
  type DeadLetterRow,
  type LaneRow,
  type RowWrite,
  setTimerRow,
} from '../store/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { buildDeadLetter } from './dead-letter.ts'
import { decideFailure, type Failure } from './failure.ts'
import { timerOwner } from './held-lanes.ts'
import {
  copiesOf,
  drainingRow,
  heldRow,
  laneWrite,
  leaveOrigin,
  marksOf,
  successorWrite,
} from './lane-rows.ts'
import type { Lane } from './lane-table.ts'
import { newerVersionCause } from './newer-version.ts'
import type { WorkItem } from './work-item.ts'

/** An item whose attempt failed, and the attempts it has had. */
export interface FailedItem {
  readonly lane: Lane
  readonly item: WorkItem
  readonly failure: Failure
  readonly attempts: number
}

/** After an attempt failed: schedules the next one, or writes the dead letter. */
export const failItem = async (runner: ConsumerRunner, failed: FailedItem): Promise<void> => {
  const { consumer, ports } = runner
  const { lane, item, failure, attempts } = failed
  if (item.origin === 'volatile') return runner.volatile.drop(item)
  const decision = decideFailure(consumer, attempts, failure, ports.kernel.random)
  if (decision.kind === 'dead-letter') return buryItem(runner, failed)
  const dueAtMs = ports.steady.now() + decision.delayMs
  const row = heldRow(consumer, item, {
    state: 'retry',
    attempts,
    dueAtMs,
    firstFailedAtMs: item.firstFailedAtMs ?? ports.kernel.clock.now(),
    failure,
    deadLetter: item.letter?.id,
  })
  const timer = { owner: timerOwner(consumer.name), reference: lane.key, dueAtMs }
  if (!(await hold(runner, failed, { row, extra: [setTimerRow(timer)] }))) return
  ports.timers.scheduled(timer)
  tellReplay(runner, item, 'retrying')
  const messageId = item.record.head.envelope.id
  ports.observer.retryScheduled({ consumer: consumer.name, messageId, dueAtMs })
}

/** Writes the dead letter; its key parks or goes on, as the consumer declares. */
export const buryItem = async (runner: ConsumerRunner, failed: FailedItem): Promise<void> => {
  const { consumer, ports } = runner
  const { item, failure, attempts } = failed
  const nowMs = ports.kernel.clock.now()
  const letter = buildDeadLetter({
    id: item.letter?.id ?? ports.kernel.ids.next('dead'),
    consumer,
    item,
    failure,
    attempts,
    crashes: item.crashes,
    nowMs,
    modelHash: ports.modelHash,
  })
  const { cause, causeTitle: title } = letter
  const extra: RowWrite[] = [
    { collection: 'deadLetters', key: letter.id, row: letter },
    ...ports.raiseAlert({ kind: 'dead-letter', cause, title, consumer, atMs: nowMs }),
  ]
  const appends = ports.onGivenUp?.(consumer, item, `${failure.name}: ${failure.message}`) ?? []
  const isDurable = letter.parked
    ? await hold(runner, failed, { row: parkedRow(runner, failed, letter), extra, appends })
    : await skip(runner, failed, { extra, appends })
  if (!isDurable) return
  tellReplay(runner, item, 'failed')
  const { id, messageId, key, type } = letter
  const told = { consumer: consumer.name, id, messageId, key, type, cause }
  const previousCause = item.letter?.cause
  ports.observer.deadLettered(previousCause === undefined ? told : { ...told, previousCause })
}

/**
 * Parks a message that only newer code can read, and its key with it (M41). Nothing has failed: no
 * attempt is counted, and the next start looks whether its code knows the version.
 */
export const parkNewer = async (
  runner: ConsumerRunner,
  { lane, item, failure }: Omit<FailedItem, 'attempts'>,
): Promise<void> => {
  const { consumer, ports } = runner
  // Held in memory only, it cannot wait for another process.
  if (item.origin === 'volatile') return runner.volatile.drop(item)
  const { id: messageId, type, contractversion: newerVersion } = item.record.head.envelope
  const atMs = ports.kernel.clock.now()
  const { attempts, firstFailedAtMs = atMs, letter } = item
  const row = heldRow(consumer, item, {
    state: 'parked',
    attempts,
    dueAtMs: atMs,
    firstFailedAtMs,
    failure,
    deadLetter: letter?.id,
    newerVersion,
  })
  const cause = newerVersionCause({ consumer: consumer.name, type, version: newerVersion })
  const title = `${consumer.name} parks what it cannot read yet: ${failure.message}`
  const extra = ports.raiseAlert({ kind: 'newer-version', cause, title, consumer, atMs })
  const failed = { lane, item, failure, attempts }
  if (!(await hold(runner, failed, { row, extra }))) return
  tellReplay(runner, item, 'retrying')
  const fields = { consumer: consumer.name, messageId, type, version: newerVersion }
  ports.kernel.log.warn(fields, 'a message waits for code that knows its version')
}

const parkedRow = (
  { consumer }: ConsumerRunner,
  { item, attempts, failure }: FailedItem,
  letter: DeadLetterRow,
): LaneRow =>
  heldRow(consumer, item, {
    state: 'parked',
    attempts,
    dueAtMs: letter.diedAtMs,
    firstFailedAtMs: letter.firstFailedAtMs,
    failure,
    deadLetter: letter.id,
  })

/** What commits with what becomes of the message. */
interface Beside {
  readonly extra: readonly RowWrite[]
  readonly appends?: readonly Append[]
}

/** Holds the lane: its row, and a successor row for everything that waited in memory. */
function hold(
  runner: ConsumerRunner,
  { lane, item }: FailedItem,
  { row, extra, appends = [] }: Beside & { readonly row: LaneRow },
): Promise<boolean> {
  const { consumer, held } = runner
  // From this moment arrivals wait for their rows.
  lane.state = 'held'
  return held.section(lane, async () => {
    const waiting = held.takeWaiting(lane)
    // What is left came from rows, and is read from them again.
    lane.queue = []
    const committed = await runner.commit({
      rows: [
        ...leaveOrigin(consumer, lane, item),
        laneWrite(consumer, lane.key, row),
        ...waiting.map((one) => successorWrite(consumer, one)),
        ...copiesOf(consumer, [item, ...waiting]),
        ...extra,
      ],
      appends,
      ...marksOf(consumer, [item, ...waiting]),
    })
    if (committed) lane.row = row
    return committed !== undefined
  })
}

/** The key goes on without its dead letter. */
function skip(
  runner: ConsumerRunner,
  { lane, item }: FailedItem,
  { extra, appends = [] }: Beside,
): Promise<boolean> {
  const { consumer, held } = runner
  return held.section(lane, async () => {
    const isHead = item.origin === 'head'
    const row = drainingRow(consumer, lane)
    const committed = await runner.commit({
      rows: [
        ...leaveOrigin(consumer, lane, item),
        ...(isHead
          ? [laneWrite(consumer, lane.key, row), clearTimerRow(timerOwner(consumer.name), lane.key)]
          : []),
        ...copiesOf(consumer, [item]),
        ...extra,
      ],
      appends,
      ...marksOf(consumer, [item]),
    })
    if (committed && isHead) {
      lane.row = row
      lane.state = 'draining'
    }
    return committed !== undefined
  })
}

function tellReplay(
  { consumer, ports }: ConsumerRunner,
  item: WorkItem,
  outcome: 'retrying' | 'failed',
): void {
  if (!item.replay) return
  const { runId } = item.replay
  ports.observer.replayed({ runId, consumer: consumer.name, position: item.position, outcome })
}
