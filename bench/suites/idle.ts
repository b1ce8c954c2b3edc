import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { milliseconds, startOrders, type Suite } from '../harness.ts'

/** The kernel counts a hundred ticks a second for every process. */
const TICK_MS = 10

/** CPU time of a process so far, and its memory. Linux only. */
function usageOf(pid: number): { readonly cpuMs: number; readonly memoryMb: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const memoryKb = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS, memoryMb: memoryKb / 1_024 }
}

/** What the orders example costs while nothing happens. */
export const idle: Suite = {
  name: 'idle',
  async run({ isQuick }) {
    const startedMs = performance.now()
    const server = await startOrders()
    const readyMs = performance.now() - startedMs
    await delay(2_000)
    const before = usageOf(server.pid)
    const seconds = isQuick ? 2 : 20
    await delay(seconds * 1_000)
    const after = usageOf(server.pid)
    await server.stop()
    const share = (after.cpuMs - before.cpuMs) / (seconds * 10)
    return {
      rounds: { readyMs, before, after, seconds },
      rows: [
        {
          what: 'Idle: CPU, memory, time from start to ready',
          against: '',
          ours: `${share.toFixed(1)} %, ${Math.round(after.memoryMb)} MB, ${milliseconds(readyMs)}`,
          theirs: '',
          goal: '< 2 % CPU, < 150 MB',
          holds: share < 2 && after.memoryMb < 150,
        },
      ],
    }
  },
}
