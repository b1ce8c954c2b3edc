import { LIMITS } from '../kernel/index.ts'
import type { LeaseHolder, Leases } from '../store/index.ts'

/** What one worker of a store does for all: retention, outboxes, alerts that others have raised. */
export const DUTIES_LEASE = 'duties'

const PARTITION = 'consumer/'
const PROGRESS = 'progress/'
const PUBLISH = 'publish/'
const RELAY = 'relay/'
const WORKER = 'worker/'

/** Held by the worker that runs the partition. */
export const partitionLease = (id: string): string => `${PARTITION}${id}`

/** Held while the rows of a consumer's progress are made to fit its declaration. */
export const progressLease = (consumer: string): string => `${PROGRESS}${consumer}`

/** Held by the process that publishes a channel to a broker; `id` names both. */
export const publishLease = (id: string): string => `${PUBLISH}${id}`

/** The numbers that workers have: whoever holds one lives, and their names need no tidying up. */
export const WORKER_LEASES: readonly string[] = numbered(WORKER)

/** The same of processes that relay and do not work. */
export const RELAY_LEASES: readonly string[] = numbered(RELAY)

/** Who holds what, at one moment. */
export interface LeaseView {
  /** Owners of the partitions that somebody has, by the partition's id. */
  readonly partitions: ReadonlyMap<string, LeaseHolder>
  /** Workers that live, by owner; each says where its management API is. */
  readonly workers: ReadonlyMap<string, LeaseHolder>
  /** Processes that live to relay, by owner. */
  readonly relays: ReadonlyMap<string, LeaseHolder>
  /** Who publishes a channel to a broker, by the id of both. */
  readonly publishers: ReadonlyMap<string, LeaseHolder>
  readonly duties: LeaseHolder | undefined
  /** Every lease that is held, by name. */
  readonly all: ReadonlyMap<string, LeaseHolder>
}

/** What is asked for where the store cannot list its leases. */
export interface LeaseNames {
  readonly partitions: readonly string[]
  readonly publishers?: readonly string[]
}

export const viewLeases = async (leases: Leases, names: LeaseNames): Promise<LeaseView> => {
  const all = (await leases.list?.()) ?? (await askEach(leases, names))
  const partitions = new Map<string, LeaseHolder>()
  const publishers = new Map<string, LeaseHolder>()
  const workers = new Map<string, LeaseHolder>()
  const relays = new Map<string, LeaseHolder>()
  for (const [name, holder] of all) {
    if (name.startsWith(PARTITION)) partitions.set(name.slice(PARTITION.length), holder)
    else if (name.startsWith(PUBLISH)) publishers.set(name.slice(PUBLISH.length), holder)
    else if (name.startsWith(WORKER)) workers.set(holder.owner, holder)
    else if (name.startsWith(RELAY)) relays.set(holder.owner, holder)
  }
  return { partitions, publishers, workers, relays, duties: all.get(DUTIES_LEASE), all }
}

async function askEach(
  leases: Leases,
  { partitions, publishers = [] }: LeaseNames,
): Promise<ReadonlyMap<string, LeaseHolder>> {
  const names = [
    ...WORKER_LEASES,
    ...RELAY_LEASES,
    DUTIES_LEASE,
    ...partitions.map(partitionLease),
    ...publishers.map(publishLease),
  ]
  const all = new Map<string, LeaseHolder>()
  for (const name of names) {
    const holder = await leases.holder(name)
    if (holder) all.set(name, holder)
  }
  return all
}

function numbered(prefix: string): readonly string[] {
  return Array.from({ length: LIMITS.workersMax }, (_, index) => `${prefix}${index + 1}`)
}
