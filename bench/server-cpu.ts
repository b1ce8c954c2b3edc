import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'

/**
 * CPU that all processes of a PostgreSQL on this machine have used so far, also those that have
 * ended; undefined where there is no `/proc`, or the server is elsewhere. On a machine that is
 * shared it says more than a rate: what somebody else does makes a second longer, and not this.
 */
export async function openServerCpu(url: string): Promise<() => number | undefined> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  const own = statOf(rows[0]?.pid ?? 0)
  await client.end()
  return () => (own ? familyMs(own.parent) : undefined)
}

interface Stat {
  readonly parent: number
  readonly ms: number
  readonly endedMs: number
}

/** Of Linux, whose clock of processes ticks a hundred times a second wherever Node runs. */
const TICK_MS = 10

function statOf(pid: number): Stat | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // The name may hold blanks; what follows its bracket does not.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const at = (number: number): number => Number(fields[number - 3])
  return {
    parent: at(4),
    ms: (at(14) + at(15)) * TICK_MS,
    endedMs: (at(16) + at(17)) * TICK_MS,
  }
}

function familyMs(leader: number): number | undefined {
  const stat = statOf(leader)
  if (!stat) return undefined
  let ms = stat.ms + stat.endedMs
  for (const name of readdirSync('/proc')) {
    const child = /^\d+$/.test(name) ? statOf(Number(name)) : undefined
    if (child?.parent === leader) ms += child.ms
  }
  return ms
}
