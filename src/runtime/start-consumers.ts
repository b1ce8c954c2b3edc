import {
  ConsumerRunner,
  type ConsumerPorts,
  type ConsumerProgressBook,
  progressKey,
  progressRow,
  timerOwner,
} from '../consumer/index.ts'
import type { Consumer, Integration } from '../contract/index.ts'
import type { Clock, Kernel } from '../kernel/index.ts'
import type { CollectionName, Committer, ProgressRow, RowWrite, Store } from '../store/index.ts'
import { eachRow, newestDeathMs, openLetters } from './paging.ts'

export interface StartConsumersOptions {
  readonly ports: ConsumerPorts
  readonly integration: Integration
  readonly book: ConsumerProgressBook
  readonly onStopped: (consumer: Consumer, error: unknown) => void
}

/** One runner for each consumer, with what its last run left; none of them runs yet. */
export const loadConsumers = async (
  options: StartConsumersOptions,
): Promise<ReadonlyMap<string, ConsumerRunner>> => {
  const { ports, integration, book } = options
  const runners = new Map<string, ConsumerRunner>()
  for (const consumer of integration.consumers) {
    const progress = await readProgress(ports, consumer)
    const runner = new ConsumerRunner({
      ports,
      consumer,
      book,
      progress,
      onStopped: (error) => options.onStopped(consumer, error),
    })
    runners.set(consumer.name, runner)
    await runner.load()
  }
  await warnOfOrphans(ports.store, ports.kernel, integration)
  return runners
}

async function readProgress(ports: ConsumerPorts, consumer: Consumer): Promise<ProgressRow> {
  const { store, committer, epoch } = ports
  const { channel } = consumer.on
  const known = await store.row('progress', progressKey(consumer.name, channel))
  if (known) return known
  for (const former of consumer.was) {
    const row = await store.row('progress', progressKey(former, channel))
    if (row) return adopt(store, committer, { former, consumer, row })
  }
  const first: ProgressRow = {
    consumer: consumer.name,
    channel,
    slots: '0-63',
    watermark: await firstWatermark(store, consumer),
    done: [],
    claimedTo: 0,
    epoch,
  }
  await committer.submit({ rows: [progressRow(first)] })
  return first
}

async function firstWatermark(store: Store, consumer: Consumer): Promise<number> {
  if (consumer.from === 'earliest') return 0
  if (consumer.from === 'now') return store.headPosition()
  return Math.max(0, consumer.from.position - 1)
}

/** Collections whose keys begin with the consumer's name. */
const KEYED_BY_CONSUMER = ['lanes', 'successors', 'suspects', 'onceResults', 'expired'] as const

/**
 * Gives a renamed consumer everything its former name had. The old progress row goes last, in one
 * commit with the new one: a crash before that starts the adoption again.
 */
async function adopt(
  store: Store,
  committer: Committer,
  rename: { readonly former: string; readonly consumer: Consumer; readonly row: ProgressRow },
): Promise<ProgressRow> {
  const { former, consumer, row } = rename
  const { name } = consumer
  for (const collection of KEYED_BY_CONSUMER)
    await rekey(store, committer, { collection, former, name })
  for await (const { key, row: timer } of eachRow(store, { collection: 'timers' })) {
    if (timer.owner !== `consumer/${former}`) continue
    const owner = `consumer/${name}`
    const moved = {
      collection: 'timers',
      key: `${owner}\n${timer.reference}`,
      row: { ...timer, owner },
    } as const
    await committer.submit({ rows: [{ collection: 'timers', key, row: undefined }, moved] })
  }
  for await (const { key, row: letter } of eachRow(store, { collection: 'deadLetters' })) {
    if (letter.consumer !== former || letter.stage !== 'handler') continue
    const moved = { ...letter, consumer: name }
    await committer.submit({ rows: [{ collection: 'deadLetters', key, row: moved }] })
  }
  const adopted = { ...row, consumer: name }
  await committer.submit({
    rows: [
      { collection: 'progress', key: progressKey(former, row.channel), row: undefined },
      progressRow(adopted),
    ],
  })
  return adopted
}

async function rekey(
  store: Store,
  committer: Committer,
  move: { readonly collection: CollectionName; readonly former: string; readonly name: string },
): Promise<void> {
  const { collection, former, name } = move
  const prefix = `${former}\n`
  for await (const { key, row } of eachRow(store, { collection, ...keysFrom(prefix) })) {
    const lane = 'lane' in row ? { lane: `${name}\n${row.lane.slice(prefix.length)}` } : {}
    const moved = { ...row, consumer: name, ...lane }
    const writes = [
      { collection, key, row: undefined },
      { collection, key: `${name}\n${key.slice(prefix.length)}`, row: moved },
    ]
    // One collection's own rows go back into it, with the name changed.
    await committer.submit({ rows: writes as readonly RowWrite[] })
  }
}

/** Bounds of the keys that begin with a prefix. */
const keysFrom = (prefix: string): { readonly from: string; readonly to: string } => ({
  from: prefix,
  to: `${prefix}\u{10ffff}`,
})

/**
 * Removes everything a retired consumer left, so that nothing of it is kept, waits or fires any
 * more. Its dead letters are dropped, and their causes told.
 */
export const retireConsumer = async (
  parts: { readonly store: Store; readonly committer: Committer; readonly clock: Clock },
  name: string,
): Promise<{ readonly removed: number; readonly causes: ReadonlySet<string> }> => {
  const { store, committer, clock } = parts
  const causes = new Set<string>()
  let removed = 0
  const write = async (row: RowWrite): Promise<void> => {
    await committer.submit({ rows: [row], isInternal: true })
    removed += 1
  }
  for (const collection of KEYED_BY_CONSUMER) {
    for await (const { key } of eachRow(store, { collection, ...keysFrom(`${name}\n`) })) {
      // A deletion is the same for every collection.
      await write({ collection, key, row: undefined })
    }
  }
  const timers = keysFrom(`${timerOwner(name)}\n`)
  for await (const { key } of eachRow(store, { collection: 'timers', ...timers })) {
    await write({ collection: 'timers', key, row: undefined })
  }
  const letters = { index: 'byConsumer', where: [name, 'open'] }
  const to = await newestDeathMs(store, letters)
  for await (const row of openLetters(store, letters, { to })) {
    if (row.stage !== 'handler') continue
    const dropped = { ...row, state: 'dropped', resolvedAtMs: clock.now() } as const
    await write({ collection: 'deadLetters', key: row.id, row: dropped })
    causes.add(row.cause)
  }
  await committer.submit({ rows: [{ collection: 'meta', key: `paused/${name}`, row: undefined }] })
  // Last, so that a retirement that was cut off can be asked for again.
  for await (const { key, row } of eachRow(store, { collection: 'progress' })) {
    if (row.consumer === name) await write({ collection: 'progress', key, row: undefined })
  }
  return { removed, causes }
}

async function warnOfOrphans(
  store: Store,
  kernel: Kernel,
  integration: Integration,
): Promise<void> {
  const declared = new Set(integration.consumers.map((consumer) => consumer.name))
  for await (const { row } of eachRow(store, { collection: 'progress' })) {
    if (declared.has(row.consumer)) continue
    kernel.log.warn(
      { consumer: row.consumer },
      'this consumer has progress in the store and is not declared: rename it with `was`, or retire it',
    )
  }
}
