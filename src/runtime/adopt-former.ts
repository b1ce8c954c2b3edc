import { type ConsumerPorts, progressRow } from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'
import type { CollectionName, Committer, RowWrite, Store } from '../store/index.ts'
import { eachRow } from './paging.ts'

/** Collections whose keys begin with the consumer's name. */
export const KEYED_BY_CONSUMER = [
  'lanes',
  'successors',
  'suspects',
  'onceResults',
  'expired',
  'copies',
] as const

/**
 * Gives a renamed consumer everything its former name had. The old progress row goes last, in one
 * commit with the new one: a crash before that starts the adoption again.
 */
export const adoptFormer = async (
  { store, committer }: Pick<ConsumerPorts, 'store' | 'committer'>,
  { former, consumer }: { readonly former: string; readonly consumer: Consumer },
): Promise<void> => {
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
  const progress: RowWrite[] = []
  const prefix = `${former}/${consumer.on.channel}/`
  for await (const { key, row } of eachRow(store, {
    collection: 'progress',
    ...keysFrom(prefix),
  })) {
    progress.push({ collection: 'progress', key, row: undefined })
    progress.push(progressRow({ ...row, consumer: name }))
  }
  await committer.submit({ rows: progress })
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
export const keysFrom = (prefix: string): { readonly from: string; readonly to: string } => ({
  from: prefix,
  to: `${prefix}\u{10ffff}`,
})
