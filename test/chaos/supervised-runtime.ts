// The runtime as an operator has it: something starts it again whenever it ends.
import { setTimeout as delay } from 'node:timers/promises'
import { findFreePorts } from '../engines/free-ports.ts'
import { type RuntimeProcess, type StartOptions, startRuntime } from './runtime-process.ts'

export interface SupervisedRuntime {
  /** Stays the same when the process is another one. */
  readonly webhookUrl: string
  /** What each process that ended by itself said before. */
  readonly ends: readonly string[]
  /** The process that takes messages, when there is one. */
  ready(): Promise<RuntimeProcess>
  /** From the management API of whichever process answers. */
  get<T>(path: string): Promise<T>
  /** SIGTERM, and it is not started again. */
  terminate(): Promise<void>
  kill(): Promise<void>
}

export const startSupervised = async (options: StartOptions): Promise<SupervisedRuntime> => {
  const [port = 0, managementPort = 0] = await findFreePorts(2)
  const more = [
    ...(options.more ?? []),
    '--port',
    String(port),
    '--management-port',
    String(managementPort),
  ]
  const ends: string[] = []
  let isWanted = true
  let current: RuntimeProcess | undefined

  const run = async (): Promise<void> => {
    while (isWanted) {
      try {
        current = await startRuntime({ ...options, more })
        if (!isWanted) await current.kill()
        const { code } = await current.ended
        if (isWanted) ends.push(`exit ${code}: ${current.log().slice(-2_000)}`)
      } catch (error) {
        if (isWanted) ends.push(error instanceof Error ? error.message : String(error))
      }
      current = undefined
      await delay(RESTART_MS)
    }
  }
  const running = run()
  const stop = async (how: 'kill' | 'terminate'): Promise<void> => {
    isWanted = false
    await current?.[how]()
    await running
  }
  const supervised: SupervisedRuntime = {
    webhookUrl: `http://127.0.0.1:${port}/webhooks/acme`,
    ends,
    async ready() {
      const untilMs = performance.now() + READY_MS_MAX
      while (performance.now() < untilMs) {
        if (current) return current
        await delay(20)
      }
      throw new Error(`the runtime is not there:\n${ends.slice(-3).join('\n')}`)
    },
    get: async (path) => (await supervised.ready()).get(path),
    terminate: () => stop('terminate'),
    kill: () => stop('kill'),
  }
  await supervised.ready()
  return supervised
}

const RESTART_MS = 200
const READY_MS_MAX = 90_000
