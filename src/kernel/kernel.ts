import { readFile } from 'node:fs/promises'
import { type Clock } from './clock.ts'
import { createIds, type Ids } from './ids.ts'
import { type Logger, silentLogger } from './logger.ts'
import { createSystemRandom, type Random } from './random.ts'
import { createSystemClock } from './system-clock.ts'

/**
 * What every room takes instead of reaching for the machine: time, chance, ids, environment, files
 * and the log. Production builds one with `createSystemKernel`, the simulator with virtual parts.
 */
export interface Kernel {
  readonly clock: Clock
  readonly random: Random
  readonly ids: Ids
  readonly files: Files
  readonly log: Logger
  /** An environment variable, or undefined. */
  env(name: string): string | undefined
}

/** The file port: what the runtime itself reads outside a store. */
export interface Files {
  read(path: string): Promise<Uint8Array>
}

export interface SystemKernelOptions {
  /** @default a logger that writes nothing */
  readonly log?: Logger
}

export const createSystemKernel = (options: SystemKernelOptions = {}): Kernel => {
  const clock = createSystemClock()
  const random = createSystemRandom()
  return {
    clock,
    random,
    ids: createIds(clock, random),
    files: { read: (path) => readFile(path) },
    log: options.log ?? silentLogger,
    env: (name) => process.env[name],
  }
}
