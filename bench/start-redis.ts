import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface Redis {
  readonly url: string
  stop(): Promise<void>
}

const START_MS_MAX = 10_000

/** A redis-server of its own that syncs every write before it answers. */
export async function startRedis(): Promise<Redis> {
  const directory = mkdtempSync(join(tmpdir(), 'junctura-redis-'))
  const port = await freePort()
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory]
  const durability = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
  const child = spawn('redis-server', [...place, ...durability], { stdio: 'ignore' })
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await untilReady(child, port)
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `redis://127.0.0.1:${port}`, stop }
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  const startedMs = performance.now()
  while (!(await answers(port))) {
    const isOver = child.exitCode !== null || performance.now() - startedMs > START_MS_MAX
    if (isOver) throw new Error('redis-server did not start')
    await delay(20)
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const done = (isReady: boolean): void => {
      socket.destroy()
      resolve(isReady)
    }
    socket.once('data', (chunk) => done(chunk.toString('latin1').startsWith('+PONG')))
    socket.once('error', () => done(false))
  })

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
