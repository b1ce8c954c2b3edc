import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** One process of the machine. A pid alone may have been given to somebody else since. */
export interface ProcessEntry {
  readonly pid: number
  readonly parentPid: number
  readonly groupId: number
  /** When it began, in the machine's own words: with the pid, it names one process for ever. */
  readonly born: string
}

/** Every process that runs. One that has ended and was not waited for does not count. */
export const readProcesses = (): readonly ProcessEntry[] => {
  if (process.platform === 'linux') {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => readStat(name))
  }
  const columns = ['-A', '-o', 'pid=,ppid=,pgid=,stat=,lstart=']
  return execFileSync('ps', columns, { encoding: 'utf8' })
    .split('\n')
    .flatMap((line) => {
      const [pid, parentPid, groupId, state = 'Z', ...born] = line.trim().split(/\s+/)
      if (state.startsWith('Z')) return []
      return [entry(Number(pid), Number(parentPid), Number(groupId), born.join(' '))]
    })
}

/** A process with all that it started: by descent, and by the process group that it leads. */
export const familyOf = (pid: number): readonly ProcessEntry[] => {
  const all = readProcesses()
  const family = new Map<number, ProcessEntry>()
  for (const one of all) if (one.pid === pid || one.groupId === pid) family.set(one.pid, one)
  for (let known = -1; known !== family.size;) {
    known = family.size
    for (const one of all) if (family.has(one.parentPid)) family.set(one.pid, one)
  }
  return [...family.values()]
}

export const findProcess = (pid: number): ProcessEntry | undefined =>
  process.platform === 'linux'
    ? readStat(String(pid))[0]
    : readProcesses().find((one) => one.pid === pid)

/** Sends a signal to a process that may have ended by itself. */
export const signalQuietly = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

const entry = (pid: number, parentPid: number, groupId: number, born: string): ProcessEntry => ({
  pid,
  parentPid,
  groupId,
  born,
})

/** The fields of `/proc/PID/stat` after the program's name, which may itself hold blanks. */
function readStat(name: string): readonly ProcessEntry[] {
  let text: string
  try {
    text = readFileSync(`/proc/${name}/stat`, 'utf8')
  } catch {
    return [] // It ended while the list was read.
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return []
  return [entry(Number(name), Number(fields[1]), Number(fields[2]), fields[19] ?? '')]
}
