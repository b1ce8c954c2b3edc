import { type ConsumerRunner, partitionsOf, progressKey, slotsText } from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'
import { METRICS } from '../observe/index.ts'
import { type LeaseView, viewLeases } from './lease-names.ts'
import type { OverviewOptions } from './overview.ts'
import { rangesOf } from './prepare-progress.ts'
import { counterOf, quantileMs, snapshotOf } from './read-metrics.ts'
import type { ConsumerPartitionStatus, ConsumerStatus } from './views.ts'

/** From memory what this process runs, else as last stored; and who runs what. */
export const consumerStatuses = async (
  options: OverviewOptions,
): Promise<readonly ConsumerStatus[]> => {
  const { store, integration } = options
  const ids = integration.consumers.flatMap((one) =>
    partitionsOf(one, rangesOf(store, one)).map(({ id }) => id),
  )
  const view = store.leases && (await viewLeases(store.leases, { partitions: ids }))
  const head = await store.headPosition()
  return Promise.all(integration.consumers.map((one) => statusOf(options, one, { view, head })))
}

interface Shared {
  readonly view: LeaseView | undefined
  readonly head: number
}

async function statusOf(
  options: OverviewOptions,
  consumer: Consumer,
  shared: Shared,
): Promise<ConsumerStatus> {
  const { store, metrics, kernel, runners } = options
  const { name } = consumer
  const all = partitionsOf(consumer, rangesOf(store, consumer))
  const here = all.map(({ id }) => runners.get(id)).filter((one) => one !== undefined)
  const partitions: ConsumerPartitionStatus[] = []
  for (const { id, slots } of all) {
    const runner = runners.get(id)
    const key = progressKey(name, consumer.on.channel, slots)
    const watermark = runner?.progress.watermark ?? (await store.row('progress', key))?.watermark
    const holder = shared.view?.partitions.get(id)
    const url = holder && shared.view?.workers.get(holder.owner)?.url
    partitions.push({
      slots: slotsText(slots),
      mode: runner ? modeOf(runner) : holder ? 'elsewhere' : 'standing-by',
      watermark: watermark ?? 0,
      holder: holder?.owner ?? null,
      managementUrl: url ?? null,
    })
  }
  const latency = snapshotOf(metrics, METRICS.endToEndLatency.name, name)
  const [retrying = 0, parked = 0] = await Promise.all(
    ['retry', 'parked'].map((state) =>
      store.count({ collection: 'lanes', index: 'byConsumer', where: [name, state] }),
    ),
  )
  const oldest = here.map(({ progress }) => progress.oldestAtMs).filter((ms) => ms !== undefined)
  return {
    name,
    owner: consumer.owner?.name ?? '',
    on: consumer.on.name,
    version: consumer.on.asked,
    mode: worstOf(partitions),
    watermark: Math.min(...partitions.map(({ watermark }) => watermark)),
    lag:
      consumer.on.record === 'transport'
        ? lagHere(options, here)
        : lagOf(options, { all: partitions, here, head: shared.head }),
    oldestPendingAgeMs:
      oldest.length === 0 ? null : Math.max(0, kernel.clock.now() - Math.min(...oldest)),
    inFlight: here.reduce((total, { inFlight }) => total + inFlight, 0),
    retrying,
    parked,
    deadLettersOpen: await openLettersOf(options, name),
    done: counterOf(metrics, METRICS.attempts.name, { consumer: name, outcome: 'done' }),
    latencyMsP50: quantileMs(latency, 0.5),
    latencyMsP99: quantileMs(latency, 0.99),
    partitions,
  }
}

const modeOf = (runner: ConsumerRunner): string =>
  runner.mode === 'running' && runner.outage.isOut ? 'outage' : runner.mode

/** What a person has to know first. */
const MODES = ['stopped', 'standing-by', 'outage', 'recovering', 'paused', 'closed', 'running']

const worstOf = (partitions: readonly ConsumerPartitionStatus[]): string => {
  const modes = new Set(partitions.map(({ mode }) => mode))
  return MODES.find((mode) => modes.has(mode)) ?? 'elsewhere'
}

/** Exact where all of it is here and at the head; else no less than what is behind. */
function lagOf(
  options: OverviewOptions,
  of: {
    readonly all: readonly ConsumerPartitionStatus[]
    readonly here: readonly ConsumerRunner[]
    readonly head: number
  },
): number {
  const elsewhere = of.all.filter(({ mode }) => mode === 'elsewhere' || mode === 'standing-by')
  return Math.max(
    lagHere(options, of.here),
    ...elsewhere.map(({ watermark }) => Math.max(0, of.head - watermark)),
  )
}

/**
 * Of those at the head what is unfinished together; of those behind, the furthest, as they read one
 * log, or all of them where each has its own.
 */
export const lagHere = (
  { lagOf: lagOfOne }: Pick<OverviewOptions, 'lagOf'>,
  here: readonly ConsumerRunner[],
): number => {
  const atHead = here.filter((runner) => runner.atHead).map(lagOfOne)
  const behind = here.filter((runner) => !runner.atHead).map(lagOfOne)
  if (here[0]?.behind !== undefined) {
    return [...atHead, ...behind].reduce((total, lag) => total + lag, 0)
  }
  return Math.max(
    atHead.reduce((total, lag) => total + lag, 0),
    ...behind,
    0,
  )
}

/** Kept in memory where one process sees them all. */
async function openLettersOf(
  { store, openLetters }: OverviewOptions,
  name: string,
): Promise<number> {
  if (!store.leases) return openLetters.handler.get(name) ?? 0
  const where = [name, 'open']
  return await store.count({ collection: 'deadLetters', index: 'byConsumer', where })
}
