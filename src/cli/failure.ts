import { ERROR_CODES, type ErrorCode, isJuncturaError, messageOf } from '../kernel/index.ts'
import { escapeControl } from '../security/index.ts'
import { isSystemError } from './exit-codes.ts'
import type { Paint } from './paint.ts'

/** An error as every command shows it: what, where, what to do, where to read on. */
export interface Failure {
  readonly code: string
  readonly message: string
  readonly place?: string
  readonly fix: string
  readonly page: string
  /** Of a defect: for the report, not for the reader of a terminal. */
  readonly stack?: string
}

const SYSTEM_PAGE = 'docs/reference/cli.md#errors-of-the-system'
const SYSTEM_FIXES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Stop what listens there, or choose another port; 0 takes a free one.',
  EADDRNOTAVAIL: 'Choose an address of this machine with --host.',
  EACCES: 'Give this user the right to it, or choose another place.',
  EPERM: 'Give this user the right to it, or choose another place.',
  ENOENT: 'Check the path; it is read from the current folder.',
  ENOSPC: 'Free disk space.',
}

export const toFailure = (thrown: unknown): Failure => {
  if (isJuncturaError(thrown)) {
    const { details } = thrown
    const told = details['code']
    const code = typeof told === 'string' ? told : thrown.code
    const fix = details['fix']
    return {
      code,
      message: thrown.message,
      ...placeOf(details),
      fix: typeof fix === 'string' ? fix : adviceFor(code, thrown.advice),
      page: pageOf(code),
    }
  }
  if (isSystemError(thrown)) {
    const fix = SYSTEM_FIXES[thrown.code]
    if (fix !== undefined) {
      const page = SYSTEM_PAGE
      return { code: thrown.code, message: thrown.message, fix, page }
    }
  }
  const stack = thrown instanceof Error ? thrown.stack : undefined
  return {
    code: 'JUNCTURA_INTERNAL',
    message: messageOf(thrown),
    ...(stack !== undefined && { stack }),
    fix: 'If your own code is not in the stack, this is a defect in Junctura; please report it.',
    page: pageOf('JUNCTURA_INTERNAL'),
  }
}

/** Several lines; the message may have line breaks of its own, what came from outside has none. */
export const renderFailure = (failure: Failure, paint: Paint): string => {
  const message = failure.message.split('\n').map(escapeControl).join('\n')
  const lines = [`${paint('red', failure.code)}: ${message}`]
  if (failure.place !== undefined) lines.push(`  at:   ${escapeControl(failure.place)}`)
  lines.push(`  fix:  ${escapeControl(failure.fix)}`, `  page: ${failure.page}`)
  if (failure.stack !== undefined) lines.push(failure.stack)
  return lines.join('\n')
}

/** Where the reference explains a code; headings become anchors in lower case. */
export const pageOf = (code: string): string => `docs/reference/errors.md#${code.toLowerCase()}`

export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_CODES, code)

const adviceFor = (code: string, otherwise: string): string =>
  isErrorCode(code) ? ERROR_CODES[code].advice : otherwise

function placeOf(details: Readonly<Record<string, unknown>>): { readonly place?: string } {
  for (const name of ['place', 'file', 'directory', 'source', 'url']) {
    const place = details[name]
    if (typeof place === 'string') return { place }
  }
  return {}
}
