import type { Clock, Logger } from '../kernel/index.ts'
import { createJsonLogger, type LogLevel } from './json-logger.ts'

/**
 * The log of a process that was given none: one JSON object a line on stderr. The one place outside
 * the commands that prints: silence would hide that nobody is told of anything.
 */
export const createSystemLog = (options: {
  readonly clock: Pick<Clock, 'now'>
  /** What is less than this is not written. @default 'warn' */
  readonly level?: LogLevel
}): Logger =>
  createJsonLogger({
    clock: options.clock,
    level: options.level ?? 'warn',
    write: (line) => void process.stderr.write(`${line}\n`),
  })
