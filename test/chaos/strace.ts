// How strace is asked to let one system call fail, or be the last one, and what it tells of it.
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { needProgram } from './need-program.ts'

export const INJECTIONS = ['SIGKILL', 'EIO', 'ENOSPC'] as const
export type Injection = (typeof INJECTIONS)[number]

/** This call, when it is made for the n-th time, meets this. */
export interface InjectionCase {
  readonly call: string
  readonly n: number
  readonly injection: Injection | 'EROFS'
  /** It and every one after it. */
  readonly isForGood?: boolean
}

export const nameOf = ({ call, n, injection }: InjectionCase): string =>
  `${injection} at ${call} ${n}`

/** The tracer is nobody's parent, so signals and the id are those of the traced program itself. */
const STRACE = ['strace', '-D', '-f', '-qq', '-y', '-e', 'signal=none']

/** Before a program and its arguments: writes down these calls, and stops at no others. */
export const traceArguments = (file: string, calls: readonly string[]): readonly string[] => {
  needProgram('strace', 'strace')
  return [...STRACE, '--seccomp-bpf', '-o', file, '-e', `trace=${calls.join()}`]
}

export const injectArguments = (file: string, one: InjectionCase): readonly string[] => {
  const { call, n, injection, isForGood = false } = one
  needProgram('strace', 'strace')
  const isKill = injection === 'SIGKILL'
  return [
    ...STRACE,
    // With it, strace 6.1 injects errors but no signals: these need the slow way, past every call.
    ...(isKill ? [] : ['--seccomp-bpf']),
    '-o',
    file,
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:${isKill ? 'signal=SIGKILL' : `error=${injection}`}:when=${n}${isForGood ? '+' : ''}`,
  ]
}

/** Each sync of the disk takes so much longer. */
export const slowSyncArguments = (file: string, delayMs: number): readonly string[] => {
  needProgram('strace', 'strace')
  const inject = `inject=fsync,fdatasync:delay_enter=${delayMs * 1_000}`
  return [...STRACE, '--seccomp-bpf', '-o', file, '-e', 'trace=fsync,fdatasync', '-e', inject]
}

export interface TracedCall {
  readonly thread: number
  readonly call: string
  /** A file of the store, `socket`, `pipe`, `wake-up` or `other`. */
  readonly target: string
  readonly isInjected: boolean
}

/** `4711 fsync(22</data/junctura.db-wal>) = -1 EIO (Input/output error) (INJECTED)` */
const TRACED = /^(\d+) +(\w+)\((?:\d+<([^>]*)>|"([^"]*)")?/
/** A call that SIGKILL cut off has no result. */
const INJECTED = /\(INJECTED\)|\) += \?$|<unfinished/

export const readTrace = async (file: string): Promise<readonly TracedCall[]> => {
  // The tracer writes its last lines after the process is gone.
  await delay(50)
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, thread, call = '', descriptor, path] = TRACED.exec(line) ?? []
      if (thread === undefined) return []
      const target = kindOf(descriptor ?? path ?? '')
      return [{ thread: Number(thread), call, target, isInjected: INJECTED.test(line) }]
    })
}

const kindOf = (target: string): string => {
  if (target.includes('eventfd')) return 'wake-up'
  const file = /junctura\.[\w.-]+$/.exec(target)?.[0]
  return file ?? /^(socket|pipe)/.exec(target)?.[0] ?? 'other'
}
