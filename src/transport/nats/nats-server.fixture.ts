import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSystemKernel, sleep } from '../../kernel/index.ts'

/** A NATS server of its own for one test file. */
export interface NatsServer {
  readonly url: string
  kill(): Promise<void>
  pause(): Promise<void>
  resume(): Promise<void>
  restart(): Promise<void>
  wipe(): Promise<void>
  stop(): Promise<void>
}

const { clock } = createSystemKernel()
const BINARY = process.env['NATS_SERVER'] ?? 'nats-server'

export const startNatsServer = async (settings: readonly string[] = []): Promise<NatsServer> => {
  const folder = mkdtempSync(join(tmpdir(), 'junctura-nats-'))
  const data = join(folder, 'data')
  const [port, http] = [await freePort(), await freePort()]
  const config = join(folder, 'nats.conf')
  writeFileSync(
    config,
    [
      'host: 127.0.0.1',
      `port: ${port}`,
      `http: "127.0.0.1:${http}"`,
      `jetstream { store_dir: ${JSON.stringify(data)}, sync_interval: always }`,
      ...settings,
    ].join('\n'),
  )
  let child: ChildProcess | undefined
  const start = async (): Promise<void> => {
    child = spawn(BINARY, ['-c', config], { stdio: 'ignore' })
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${http}/healthz`).catch(() => undefined)
      if (answer?.ok) return
      await sleep(clock, 20)
    }
  }
  const end = async (): Promise<void> => {
    const running = child
    child = undefined
    if (!running) return
    const gone = new Promise((resolve) => running.once('exit', resolve))
    running.kill('SIGKILL')
    await gone
  }
  await start()
  return {
    url: `nats://127.0.0.1:${port}`,
    kill: end,
    pause: async () => void child?.kill('SIGSTOP'),
    resume: async () => void child?.kill('SIGCONT'),
    restart: async () => {
      await end()
      await start()
    },
    wipe: async () => {
      await end()
      rmSync(data, { recursive: true, force: true })
      await start()
    },
    stop: async () => {
      await end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
