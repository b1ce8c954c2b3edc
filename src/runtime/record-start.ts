import type { Integration } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import type { Committer, Store } from '../store/index.ts'
import { VERSION } from './version.ts'

/** Of processes that start at the same moment, each gets a number of its own. */
const STARTS_AT_ONCE_MAX = 100

/**
 * Notes which Model runs from now on, and gives this start its number. The Model itself is kept
 * once per hash, so that an old dead letter can be read beside the declaration that made it.
 */
export const recordStart = async (
  integration: Integration,
  parts: { readonly store: Store; readonly kernel: Kernel; readonly committer: Committer },
): Promise<number> => {
  const { store, kernel, committer } = parts
  const { model } = integration
  const atMs = kernel.clock.now()
  for (let tries = 1; ; tries++) {
    const last = (await store.row('meta', 'epoch'))?.value
    const epoch = (typeof last === 'number' ? last : 0) + 1
    const known = await store.row('models', model.hash)
    const key = String(epoch).padStart(12, '0')
    const outcome = await committer.submit({
      guards: [{ collection: 'starts', key, is: 'absent' }],
      rows: [
        { collection: 'meta', key: 'epoch', row: { value: epoch } },
        { collection: 'models', key: model.hash, row: known ?? { model, firstAtMs: atMs } },
        {
          collection: 'starts',
          key,
          row: { atMs, modelHash: model.hash, version: VERSION, epoch },
        },
      ],
    })
    if (outcome.status === 'failed') throw outcome.error
    if (outcome.status !== 'guarded' || tries >= STARTS_AT_ONCE_MAX) return epoch
  }
}
