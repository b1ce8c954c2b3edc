import { type ErrorCode, isJuncturaError } from '../kernel/index.ts'

/**
 * What the command leaves to the shell. A finding never shares a code with a crash, so a pipeline
 * can tell "the answer is no" from "there was no answer".
 *
 * @see sysexits(3) for 64, 69 and 70
 */
export const EXIT = {
  /** Done, and everything was as asked. */
  ok: 0,
  /** The answer is no: a refused start, a failed check, an outcome that was not as asked. */
  findings: 1,
  /** The command line cannot be understood. */
  usage: 64,
  /** Nothing answers, or it answers that it cannot now. */
  unreachable: 69,
  /** A defect, ours or the integration's. */
  software: 70,
  /** Stopped by Ctrl-C. */
  interrupted: 130,
} as const

export type ExitCode = number

const BY_CODE: Partial<Readonly<Record<ErrorCode, ExitCode>>> = {
  JUNCTURA_USAGE: EXIT.usage,
  JUNCTURA_UNREACHABLE: EXIT.unreachable,
  JUNCTURA_INVARIANT: EXIT.software,
  JUNCTURA_INTERNAL: EXIT.software,
}

/** The exit code of a command that ended with this error. */
export const exitCodeOf = (thrown: unknown): ExitCode => {
  if (isSystemError(thrown) && FINDING_SYSTEM_CODES.has(thrown.code)) return EXIT.findings
  if (!isJuncturaError(thrown)) return EXIT.software
  const status = thrown.code === 'JUNCTURA_API_REFUSED' ? thrown.details['status'] : undefined
  if (status !== undefined && USAGE_CODES.has(String(thrown.details['code']))) return EXIT.usage
  if (status === 503 || status === 502 || status === 504) return EXIT.unreachable
  if (typeof status === 'number' && status >= 500) return EXIT.software
  return BY_CODE[thrown.code] ?? EXIT.findings
}

/** Said by the other side about what was typed here. */
const USAGE_CODES: ReadonlySet<string> = new Set(['JUNCTURA_USAGE', 'JUNCTURA_PARAMETER_INVALID'])

/** What a person mends outside the program: a port, a path, a right. */
const FINDING_SYSTEM_CODES: ReadonlySet<string> = new Set([
  'EADDRINUSE',
  'EADDRNOTAVAIL',
  'EACCES',
  'EPERM',
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'EROFS',
  'ENOSPC',
])

export interface SystemError extends Error {
  readonly code: string
}

/** An error of the operating system, as Node gives it. */
export const isSystemError = (value: unknown): value is SystemError =>
  value instanceof Error && 'syscall' in value && 'code' in value && typeof value.code === 'string'
