import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect, type Channel } from 'amqplib'
import { createEngine, type EngineInstance } from './engine-instance.ts'
import { portAt } from './recipe.ts'

/** A server of a test's own, and the two ways to look into it: an administrator's and AMQP. */
export interface RabbitmqServer {
  readonly url: string
  readonly engine: EngineInstance
  /** What `rabbitmqctl` answers. */
  control(...command: readonly string[]): Promise<string>
  /** With a plain client, as a program of somebody else has it. */
  asOther<T>(use: (channel: Channel) => Promise<T>): Promise<T>
  stop(): Promise<void>
}

const CONTROL = '/usr/lib/rabbitmq/bin/rabbitmqctl'

const run = promisify(execFile)

export const startRabbitmq = async (
  settings: Readonly<Record<string, string>> = {},
): Promise<RabbitmqServer> => {
  const engine = await createEngine('rabbitmq', { settings })
  try {
    await engine.start()
  } catch (error) {
    await engine.remove()
    throw error
  }
  const { state, url } = engine
  const env = {
    ...process.env,
    HOME: join(state.directory, 'home'),
    ERL_EPMD_PORT: String(portAt(state, 1)),
  }
  const node = `junctura-${portAt(state, 0)}@localhost`
  return {
    url,
    engine,
    async control(...command) {
      return (await run(CONTROL, ['-q', '-n', node, ...command], { env })).stdout
    },
    async asOther(use) {
      const connection = await connect(url)
      connection.on('error', () => undefined)
      const channel = await connection.createChannel()
      try {
        return await use(channel)
      } finally {
        await connection.close()
      }
    },
    stop: () => engine.remove(),
  }
}
