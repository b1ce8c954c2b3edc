import { JuncturaError, type Random } from '../../kernel/index.ts'
import { createMemoryStore, type MemoryDisk, type Store } from '../../store/index.ts'
import type { FaultDice } from './fault-dice.ts'
import type { SharedStoreHost } from './shared-store.ts'
import type { SimulatedFile } from './simulated-file.ts'
import type { SituationBook } from './situations.ts'

/** The process that opens a store. */
export interface StoreHost extends SharedStoreHost {
  readonly random: Random
}

export interface SoleStoreOptions {
  readonly disk: MemoryDisk
  readonly file: SimulatedFile
  readonly partitionBytesMax: number
  readonly dice: FaultDice
  readonly situations: SituationBook
}

const SLOW_READ_MS_MAX = 5

/** A store for one process at a time, on a disk of its own. */
export const openSoleStore = (options: SoleStoreOptions, host: StoreHost): Store => {
  const { disk, file, partitionBytesMax } = options
  const { clock, random } = host
  file.hold(host)
  const fault = (point: FatePoint): Promise<void> => meetFate(point, options, host)
  return createMemoryStore({ clock, random, disk, fault, partitionBytesMax })
}

type FatePoint = 'before-commit' | 'after-commit' | 'read'

async function meetFate(
  point: FatePoint,
  { dice, situations }: SoleStoreOptions,
  { clock, isServing, die }: StoreHost,
): Promise<void> {
  if (point === 'read') {
    if (dice.happens('slowRead')) {
      const ms = dice.random('slowRead').next() * SLOW_READ_MS_MAX
      await new Promise<void>((resolve) => clock.wake(ms, resolve))
    }
    if (dice.happens('readFails')) throw storeFailed()
  } else if (point === 'before-commit') {
    if (dice.happens('commitFails')) throw storeFailed()
  } else if (dice.happens('crashAfterCommit')) {
    if (isServing()) situations.hit('crash-after-commit')
    die()
    await new Promise(() => undefined)
  }
}

const storeFailed = (): JuncturaError =>
  new JuncturaError('JUNCTURA_STORE_FAILED', { details: { problem: 'simulated' } })
