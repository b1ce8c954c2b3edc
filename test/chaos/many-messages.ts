// A million keys, each with one message, and one key with a million: neither may cost memory for
// what only waits, nor give up the order.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { AttackLine, Figures } from './attack.ts'

export interface ManyMessagesResult {
  readonly figures: Figures
  readonly memoryMiBMax: number
  /** Not handled by the end of the wait, and in order. */
  readonly pending: number
  /** From the last publish to the last handler. */
  readonly afterwardsMs: number
  readonly perSecond: number
  readonly faults: readonly string[]
}

const PROGRAM = join(import.meta.dirname, 'many-messages.fixture.ts')
/** The runtime's own windows and caches, and what the program itself counts with. */
const MEMORY_MIB_MAX = 700

export const runManyMessages = async (options: {
  readonly dataDir: string
  readonly messages: number
  readonly keys: number
  /** After the last publish. @default an hour */
  readonly waitMs?: number
}): Promise<ManyMessagesResult> => {
  const { dataDir, messages, keys, waitMs = 3_600_000 } = options
  const numbers = [messages, keys, waitMs].map(String)
  const child = spawn(process.execPath, [PROGRAM, dataDir, ...numbers], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  const [out, err] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  process.off('exit', kill)
  if (out === '') throw new Error(`the process said nothing: ${err.slice(-2_000)}`)
  const said: Omit<ManyMessagesResult, 'faults'> = JSON.parse(out)
  const { lost, doubled, outOfOrder, effects } = said.figures
  const faults: string[] = []
  if (lost + doubled + outOfOrder > 0) faults.push(`of ${messages} messages: ${out}`)
  if (effects !== messages - said.pending) {
    faults.push(`${effects} effects of ${messages} messages, of which ${said.pending} wait`)
  }
  if (said.memoryMiBMax > MEMORY_MIB_MAX) faults.push(`it took ${said.memoryMiBMax} MiB`)
  return { ...said, faults }
}

export const describeManyMessages = (what: string, result: ManyMessagesResult): AttackLine => ({
  what,
  figures: result.figures,
  recovery:
    `${result.perSecond} a second, ${result.pending} still waiting ` +
    `${Math.round(result.afterwardsMs / 1_000)} s after the last, ${result.memoryMiBMax} MiB`,
  faults: result.faults,
})
