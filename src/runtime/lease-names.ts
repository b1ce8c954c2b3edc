import { LIMITS } from '../kernel/index.ts'
import type { LeaseHolder, Leases } from '../store/index.ts'

/** What one worker of a store does for all: retention, outboxes, alerts that others have raised. */
export const DUTIES_LEASE = 'duties'

/** With a broker, who publishes to it also takes every message and runs every consumer. */
export const BROKER_LEASE = 'broker'

const PARTITION = 'consumer/'
const PROGRESS = 'progress/'
const WORKER = 'worker/'

/** Held by the worker that runs the partition. */
export const partitionLease = (id: string): string => `${PARTITION}${id}`

/** Held while the rows of a consumer's progress are made to fit its declaration. */
export const progressLease = (consumer: string): string => `${PROGRESS}${consumer}`

/** The numbers that workers have: whoever holds one lives, and their names need no tidying up. */
export const WORKER_LEASES: readonly string[] = Array.from(
  { length: LIMITS.workersMax },
  (_, index) => `${WORKER}${index + 1}`,
)

/** Who holds what, at one moment. */
export interface LeaseView {
  /** Owners of the partitions that somebody has, by the partition's id. */
  readonly partitions: ReadonlyMap<string, LeaseHolder>
  /** Workers that live, by owner; each says where its management API is. */
  readonly workers: ReadonlyMap<string, LeaseHolder>
  readonly duties: LeaseHolder | undefined
  /** Every lease that is held, by name. */
  readonly all: ReadonlyMap<string, LeaseHolder>
}

/** `ids` are the partitions asked for where the store cannot list its leases. */
export const viewLeases = async (leases: Leases, ids: readonly string[]): Promise<LeaseView> => {
  const all = (await leases.list?.()) ?? (await askEach(leases, ids))
  const partitions = new Map<string, LeaseHolder>()
  const workers = new Map<string, LeaseHolder>()
  for (const [name, holder] of all) {
    if (name.startsWith(PARTITION)) partitions.set(name.slice(PARTITION.length), holder)
    else if (name.startsWith(WORKER)) workers.set(holder.owner, holder)
  }
  return { partitions, workers, duties: all.get(DUTIES_LEASE), all }
}

async function askEach(
  leases: Leases,
  ids: readonly string[],
): Promise<ReadonlyMap<string, LeaseHolder>> {
  const names = [...WORKER_LEASES, DUTIES_LEASE, BROKER_LEASE, ...ids.map(partitionLease)]
  const all = new Map<string, LeaseHolder>()
  for (const name of names) {
    const holder = await leases.holder(name)
    if (holder) all.set(name, holder)
  }
  return all
}
