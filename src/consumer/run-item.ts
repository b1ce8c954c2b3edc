import type { BatchItem, Consumer } from '../contract/index.ts'
import { LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { CommitUnit } from '../store/index.ts'
import { type AttemptResult, beginAttempt, STORE_RETRY_MS, type SuccessParts } from './attempt.ts'
import { consumedMessage } from './attempt-context.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import { settleEmits } from './emitted.ts'
import { expiredUnit, isExpired } from './expiry.ts'
import { describeFailure, isPermanent } from './failure.ts'
import { failItem, parkNewer } from './give-up.ts'
import { drainingRow, successUnit } from './lane-rows.ts'
import type { Lane } from './lane-table.ts'
import { isNewerError } from './newer-version.ts'
import type { WorkItem } from './work-item.ts'

/** An item and the lane it runs in. */
export interface TakenItem {
  readonly lane: Lane
  readonly item: WorkItem
}

/**
 * Runs one message to its end: done, a retry that is scheduled, or a dead letter. Ends without one
 * only when the runtime stops, or its store cannot be trusted any more: then it is redelivered.
 */
export const runItem = async (runner: ConsumerRunner, taken: TakenItem): Promise<void> => {
  const { ports, consumer } = runner
  const { item } = taken
  const attempt = item.attempts + 1
  while (runner.mayGoOn) {
    const startedMs = ports.kernel.clock.monotonicMs()
    const run = { taken, attempt, startedMs }
    const read = readItem(runner, item)
    if (read.kind === 'failed') {
      if (isNewerError(read.error)) {
        return parkNewer(runner, { ...taken, failure: describeFailure(read.error, (text) => text) })
      }
      return failed(runner, run, { ...read, timedOut: false })
    }
    if (read.kind === 'expired') return expire(runner, taken)
    const success = successUnit(consumer, { ...taken, nowMs: ports.kernel.clock.now() })
    if (read.kind === 'filtered') {
      const refusal = await complete(runner, item, success)
      if (refusal === 'stopped') return
      if (refusal) return failed(runner, run, { ...refusal, timedOut: false, data: undefined })
      return done(runner, taken, 'filtered')
    }
    const onceKeys = mayHaveOnceKeys(item) ? await onceKeysOf(runner, item) : []
    const mask = maskOf(runner, read.data)
    const result = await runAttempt(runner, { ...run, data: read.data, success, onceKeys, mask })
    if (result.kind === 'store') {
      // An attempt of an at-most-once message may have begun: there is no second one.
      if (item.origin === 'volatile') return runner.volatile.drop(item)
      await sleep(ports.kernel.clock, STORE_RETRY_MS, runner.stopSignal)
      continue
    }
    if (result.kind === 'failed') return failed(runner, run, { ...result, data: read.data })
    const refusal =
      result.kind === 'returned' ? await complete(runner, item, result.unit ?? success) : undefined
    if (refusal === 'stopped') return
    if (refusal) {
      return failed(runner, run, { error: refusal.error, timedOut: false, data: read.data })
    }
    return succeeded(runner, run)
  }
}

/** Runs the handler once; what success writes is known before. */
function runAttempt(
  { ports, consumer, watch }: ConsumerRunner,
  run: Run & {
    readonly data: unknown
    readonly batch?: readonly BatchItem<unknown>[]
    readonly success: SuccessParts
    readonly onceKeys: readonly string[]
    readonly mask: (text: string) => string
  },
): Promise<AttemptResult> {
  const { taken, data, batch, attempt, startedMs, success, onceKeys, mask } = run
  return new Promise((ended) =>
    beginAttempt({
      ports,
      consumer,
      watch,
      item: taken.item,
      data,
      batch,
      attempt,
      startedMs,
      onceKeys,
      hasRows: success.rows !== undefined && success.rows.length > 0,
      success: () => success,
      mask,
      ended,
    }),
  )
}

/** Too late to be worth handling: finished without its handler, and without a dead letter (M16). */
async function expire(runner: ConsumerRunner, taken: TakenItem): Promise<void> {
  const { item } = taken
  const onceKeys = mayHaveOnceKeys(item) ? await onceKeysOf(runner, item) : []
  const refusal = await complete(runner, item, expiredUnit(runner, taken, onceKeys))
  if (refusal === 'stopped') return
  // Our own rows: there is nobody else whose fault it could be.
  if (refusal) throw refusal.error
  done(runner, taken, 'expired')
}

/**
 * Runs several messages in one attempt. Which of them is at fault when it fails is not known: then
 * each runs alone, and only that counts (M19).
 */
export const runBatch = async (
  runner: ConsumerRunner,
  taken: readonly TakenItem[],
): Promise<void> => {
  if (await attemptBatch(runner, taken)) return
  for (const [index, one] of taken.entries()) {
    if (!runner.mayGoOn) return
    if (runner.outage.isOut) return giveBack(runner, taken.slice(index))
    if (one.lane.state === 'open') await runItem(runner, one)
    else runner.held.arrive(one.lane, one.item)
  }
}

/** Has them wait again, each in its place: an outage began among those before. */
function giveBack(runner: ConsumerRunner, taken: readonly TakenItem[]): void {
  for (const { lane, item } of taken) {
    if (lane.state !== 'open') runner.held.arrive(lane, item)
  }
  for (const { lane, item } of taken.toReversed()) {
    if (lane.state === 'open') runner.lanes.putBack(lane, item)
  }
}

async function attemptBatch(runner: ConsumerRunner, taken: readonly TakenItem[]): Promise<boolean> {
  const { ports, consumer } = runner
  const startedMs = ports.kernel.clock.monotonicMs()
  const readable: TakenItem[] = []
  const batch: BatchItem<unknown>[] = []
  const filtered: TakenItem[] = []
  const expired: TakenItem[] = []
  for (const one of taken) {
    const read = readItem(runner, one.item)
    if (read.kind === 'failed') return false
    if (read.kind === 'filtered') filtered.push(one)
    else if (read.kind === 'expired') expired.push(one)
    else {
      readable.push(one)
      batch.push({ data: read.data, message: consumedMessage(one.item) })
    }
  }
  const notes = expired.flatMap((one) => expiredUnit(runner, one, []).rows ?? [])
  const success = { ...batchMarks(consumer, taken), rows: notes }
  const [first] = readable
  const [head] = taken
  if (!first) {
    if (!head) return true
    const refusal = await complete(runner, head.item, success)
    if (refusal) return refusal === 'stopped'
  } else {
    const result = await runAttempt(runner, {
      taken: first,
      data: batch[0]?.data,
      batch,
      attempt: 1,
      startedMs,
      success,
      onceKeys: [],
      mask: (text) => text,
    })
    if (result.kind === 'failed') return false
    if (result.kind === 'store') {
      await sleep(ports.kernel.clock, STORE_RETRY_MS, runner.stopSignal)
      return false
    }
    const refusal =
      result.kind === 'returned'
        ? await complete(runner, first.item, result.unit ?? success)
        : undefined
    if (refusal) return refusal === 'stopped'
  }
  for (const one of readable) {
    succeeded(runner, { taken: one, attempt: 1, startedMs })
  }
  for (const one of filtered) done(runner, one, 'filtered')
  for (const one of expired) done(runner, one, 'expired')
  return true
}

/** One mark for all of them that were fetched. */
function batchMarks(consumer: Consumer, taken: readonly TakenItem[]): Pick<CommitUnit, 'marks'> {
  const positions: number[] = []
  for (const { item } of taken) {
    if (item.origin === 'log') positions.push(item.position)
  }
  return positions.length > 0 ? { marks: [{ consumer: consumer.name, positions }] } : {}
}

/**
 * Commits what a handler that returned has to write. Progress alone is not waited for: a crash
 * before its commit redelivers the message, as one before the handler returned would, and the next
 * message of the key runs at once.
 */
export async function complete(
  runner: ConsumerRunner,
  item: WorkItem,
  unit: CommitUnit,
): Promise<undefined | 'stopped' | { readonly error: unknown }> {
  const { marks = [] } = unit
  if (isOnlyMarks(unit)) {
    const { committer } = runner.ports
    if (committer.mode !== 'open') return 'stopped'
    for (const mark of marks) committer.mark(mark)
    return undefined
  }
  try {
    const outcome = await runner.commit(unit)
    if (!outcome) return 'stopped'
    if (unit.appends && unit.appends.length > 0) {
      const messageId = item.record.head.envelope.id
      const { appends } = unit
      await settleEmits(runner.ports, {
        consumer: runner.consumer.name,
        messageId,
        appends,
        outcome,
      })
    }
    return undefined
  } catch (error) {
    // Only this unit was refused: what the handler asked for cannot be written.
    return { error }
  }
}

const isOnlyMarks = ({ rows = [], appends = [], volatile = [] }: CommitUnit): boolean =>
  rows.length + appends.length + volatile.length === 0

/** A first attempt has kept nothing. */
function mayHaveOnceKeys(item: WorkItem): boolean {
  const isFirst = item.attempts === 0 && item.isSuspect !== true && !item.letter
  return !isFirst && item.origin !== 'volatile'
}

/** What earlier attempts kept through `ctx.once`. */
async function onceKeysOf(runner: ConsumerRunner, item: WorkItem): Promise<readonly string[]> {
  const { ports, consumer } = runner
  try {
    const kept = await ports.store.scan({
      collection: 'onceResults',
      index: 'byMessage',
      where: [consumer.name, item.position],
      limit: LIMITS.pageRowsMax,
    })
    return kept.map(({ key }) => key)
  } catch (error) {
    // It only tidies up: the attempt itself reads what it needs.
    const fields = { consumer: consumer.name, problem: messageOf(error) }
    ports.kernel.log.warn(fields, 'what ctx.once kept could not be listed')
    return []
  }
}

type ReadResult =
  | { readonly kind: 'read'; readonly data: unknown }
  | { readonly kind: 'filtered' }
  | { readonly kind: 'expired' }
  | { readonly kind: 'failed'; readonly error: unknown; readonly data: unknown }

export function readItem(runner: ConsumerRunner, item: WorkItem): ReadResult {
  const { ports, consumer } = runner
  const { record } = item
  if (isExpired(runner, item)) return { kind: 'expired' }
  let data: unknown
  try {
    data = ports.readData(consumer, record.head.envelope, record.data)
    return consumer.filter && !consumer.filter(data) ? { kind: 'filtered' } : { kind: 'read', data }
  } catch (error) {
    return { kind: 'failed', error, data: data ?? rawData(record.data) }
  }
}

/** What could not be lifted still says which texts are personal. */
function rawData(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
}

const maskOf =
  ({ ports, consumer }: ConsumerRunner, data: unknown) =>
  (text: string): string =>
    ports.maskText(consumer, text, data)

export interface Run {
  readonly taken: TakenItem
  readonly attempt: number
  readonly startedMs: number
}

export async function failed(
  runner: ConsumerRunner,
  run: Run,
  result: { readonly error: unknown; readonly timedOut: boolean; readonly data: unknown },
): Promise<void> {
  const failure = describeFailure(result.error, maskOf(runner, result.data))
  tellAttempt(runner, run, {
    outcome: result.timedOut ? 'timeout' : 'failed',
    error: `${failure.name}: ${failure.message}`,
  })
  if (!isPermanent(runner.consumer, failure.error)) runner.outage.failed(run.taken.item, failure)
  await failItem(runner, { ...run.taken, failure, attempts: run.attempt })
}

export function succeeded(runner: ConsumerRunner, run: Run): void {
  const { consumer, ports } = runner
  const { taken, attempt, startedMs } = run
  runner.outage.succeeded()
  leave(runner, taken, 'done')
  ports.observer.succeeded({ item: taken.item, consumer, attempt, startedMs })
}

export function done(runner: ConsumerRunner, taken: TakenItem, how: 'filtered' | 'expired'): void {
  const { consumer, ports } = runner
  const { item } = taken
  leave(runner, taken, 'skipped')
  ports.observer.finished({
    consumer: consumer.name,
    messageId: item.record.head.envelope.id,
    position: item.position,
    receivedAtMs: item.atMs,
    finishedAtMs: ports.kernel.clock.now(),
    how,
  })
}

/** What had a row of its own is gone with it. */
function leave(
  { consumer, ports }: ConsumerRunner,
  { lane, item }: TakenItem,
  outcome: 'done' | 'skipped',
): void {
  if (item.origin === 'head') {
    lane.state = 'draining'
    lane.row = drainingRow(consumer, lane)
  }
  if (item.letter) ports.observer.letterResolved(item.letter)
  if (item.replay) {
    const { runId } = item.replay
    ports.observer.replayed({ runId, consumer: consumer.name, position: item.position, outcome })
  }
}

function tellAttempt(
  { consumer, ports }: ConsumerRunner,
  { taken: { item }, attempt, startedMs }: Run,
  end: { readonly outcome: 'failed' | 'timeout'; readonly error: string },
): void {
  const { envelope } = item.record.head
  ports.observer.attempt({
    consumer: consumer.name,
    messageId: envelope.id,
    position: item.position,
    key: envelope.partitionkey,
    attempt,
    ...end,
    durationMs: ports.kernel.clock.monotonicMs() - startedMs,
  })
}
