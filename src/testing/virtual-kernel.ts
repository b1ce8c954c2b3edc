import {
  createIds,
  createSeededRandom,
  type Kernel,
  type Logger,
  silentLogger,
} from '../kernel/index.ts'
import { createVirtualClock, type VirtualClock } from './virtual-clock.ts'

export interface VirtualKernelOptions {
  /** @default 1 */
  readonly seed?: number
  readonly startMs?: number
  readonly env?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, Uint8Array>>
  readonly log?: Logger
}

/** A kernel with virtual time, seeded chance, and only the environment and files it is given. */
export const createVirtualKernel = (
  options: VirtualKernelOptions = {},
): Kernel & { readonly clock: VirtualClock } => {
  const clock = createVirtualClock(
    options.startMs === undefined ? {} : { startMs: options.startMs },
  )
  const random = createSeededRandom(options.seed ?? 1)
  return {
    clock,
    random,
    ids: createIds(clock, random),
    log: options.log ?? silentLogger,
    env: (name) => options.env?.[name],
    files: {
      read: (path) => {
        const bytes = options.files?.[path]
        if (bytes) return Promise.resolve(bytes)
        return Promise.reject(new Error(`no such file: ${path}`))
      },
    },
  }
}
