import { partitionId, readSlots } from '../consumer/index.ts'
import type { Lease, Store } from '../store/index.ts'
import { partitionLease, progressLease, viewLeases } from './lease-names.ts'
import { refused } from './operations.ts'
import { eachRow } from './paging.ts'

/**
 * Takes everything of a consumer that a worker of a shared store would need to run it, so that none
 * begins meanwhile: a worker with another version of the code may declare it still. Nothing where
 * the store has one process.
 *
 * @throws JUNCTURA_OPERATION_REFUSED naming who runs it.
 */
export const leaseConsumer = async (store: Store, name: string): Promise<readonly Lease[]> => {
  const { leases } = store
  if (!leases) return []
  const ids = new Set([name])
  for await (const { row } of eachRow(store, { collection: 'progress' })) {
    if (row.consumer === name) ids.add(partitionId(name, readSlots(row.slots)))
  }
  const taken: Lease[] = []
  const giveBack = async (): Promise<void> => {
    for (const lease of taken.toReversed()) await lease.release()
  }
  try {
    // Who divides it anew has this one, and may be about to run parts that have no row yet.
    for (const lease of [progressLease(name), ...[...ids].map(partitionLease)]) {
      const one = await leases.take({ name: lease })
      if (one) taken.push(one)
      else throw refused(`${await holderOf(store, lease)} has ${lease}`, STOP)
    }
    const held = new Set(taken.map((lease) => lease.name))
    const view = await viewLeases(leases, { partitions: [...ids] })
    const used = [...view.partitions].find(
      ([id]) => (id === name || id.startsWith(`${name}/`)) && !held.has(partitionLease(id)),
    )
    if (used) throw refused(`${used[1].owner} runs ${used[0]}`, STOP)
    return taken
  } catch (error) {
    await giveBack()
    throw error
  }
}

const STOP = 'stop the processes that declare it first'

const holderOf = async ({ leases }: Store, name: string): Promise<string> =>
  (await leases?.holder(name))?.owner ?? 'another process'
