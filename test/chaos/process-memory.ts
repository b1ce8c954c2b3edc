import { readFileSync } from 'node:fs'

/** Resident memory of a process: now, and the most it has had. */
export const memoryMiB = (pid: number): { readonly now: number; readonly peak: number } => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const read = (name: string): number =>
    Math.round(Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1_024)
  return { now: read('VmRSS'), peak: read('VmHWM') }
}
